"""Is the process alive, can it work, and what has it counted."""

import time
from functools import lru_cache

import httpx
from fastapi import APIRouter, Response
from pydantic import BaseModel, Field
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from api.errors import ErrorAnswer
from api.metrics import exposition
from models.kernel.db import engine
from models.kernel.settings import settings
from models.migrations.apply import head

router = APIRouter(tags=["health"])

PREFECT_TIMEOUT_SECONDS = 1
PREFECT_ASKED_EVERY_SECONDS = 5


class Alive(BaseModel):
    """The process answers."""

    status: str = "alive"


class Readiness(BaseModel):
    """What the hub needs to work; Prefect being away stops runs, but nothing that is posted here."""

    is_ready: bool
    database: str = Field(description="ok or unreachable")
    migrations: str = Field(description="ok, behind, or unknown while the database is unreachable")
    prefect: str = Field(description="reachable or unreachable")


@router.get("/healthz", responses={500: {"model": ErrorAnswer}})
async def healthz() -> Alive:
    """The process lives."""
    return Alive()


@router.get("/readyz", responses={503: {"model": Readiness, "description": "Not ready"}, 500: {"model": ErrorAnswer}})
def readyz(response: Response) -> Readiness:
    """Ready: the database answers and has the schema this version expects. Prefect is stated, not required."""
    database, migrations = _database_state()
    is_ready = (database, migrations) == ("ok", "ok")
    response.status_code = 200 if is_ready else 503
    prefect = _prefect_state(int(time.monotonic() / PREFECT_ASKED_EVERY_SECONDS))
    return Readiness(is_ready=is_ready, database=database, migrations=migrations, prefect=prefect)


@router.get(
    "/metrics",
    response_class=Response,
    responses={200: {"content": {"text/plain": {"schema": {"type": "string"}}}}, 500: {"model": ErrorAnswer}},
)
def metrics() -> Response:
    """Counts and times for Prometheus."""
    content, media_type = exposition()
    return Response(content, media_type=media_type)


def _database_state() -> tuple[str, str]:
    try:
        with engine().connect() as connection:
            present = connection.scalars(text("SELECT version_num FROM alembic_version")).all()
    except SQLAlchemyError:
        return "unreachable", "unknown"
    return "ok", "ok" if list(present) == [head()] else "behind"


@lru_cache(maxsize=1)
def _prefect_state(slot: int) -> str:
    """Asked at most once per `slot` of time."""
    config = settings()
    address = config.prefect_api_url or f"http://127.0.0.1:{config.prefect_port}/api"
    try:
        httpx.get(f"{address.rstrip('/')}/health", timeout=PREFECT_TIMEOUT_SECONDS)
    except httpx.HTTPError:
        return "unreachable"
    return "reachable"
