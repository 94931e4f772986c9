"""The API and the pages: every area that has a routes or pages module is served."""

import logging
import re
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from fastapi import APIRouter, FastAPI
from fastapi.routing import APIRoute, iter_route_contexts
from fastapi.staticfiles import StaticFiles

from api import errors, health
from api.direct import ByToken, Direct, Handler
from api.middleware import Door

HERE = Path(__file__).parent
DESCRIPTION = """
The integration hub of a laboratory and clinic.

Send an API token as `Authorization: Bearer …`, or sign in by `POST /api/v1/sessions` and keep the cookie; with the
cookie, requests that change something also carry the header `X-CSRF-Token`. An id of another laboratory is answered
like one that does not exist. Every error has the same shape: `{"success": false, "error": "…"}`, with `fields` for 422.
"""
SECRET_IN_ADDRESS = re.compile(r"(/reset/|/alerts/question/)[^\s?\"]+|((?:token|key|code)=)[^&\s\"]+")


def create_app() -> FastAPI:
    """A new application; nothing outside is contacted until a request needs it."""
    app = FastAPI(
        title="labwire",
        version="1",
        description=DESCRIPTION,
        docs_url=None,  # their pages load scripts from elsewhere
        redoc_url=None,
        generate_unique_id_function=_operation_id,
        telemetry={"tracing": False, "metrics": False, "logs": False, "auto_configure": False},  # /metrics has them
    )
    errors.install(app)
    direct: dict[tuple[str, str], tuple[str, Handler]] = {}
    app.include_router(health.router)
    large: tuple[str, ...] = ()
    by_token: tuple[ByToken, ...] = ()
    around: tuple[Any, ...] = ()
    for area in areas():
        for kind in ("routes", "pages"):
            if find_spec(f"api.{area}.{kind}") is not None:
                module = import_module(f"api.{area}.{kind}")
                direct |= getattr(module, "DIRECT", {})
                large += getattr(module, "LARGE_BODIES", ())
                by_token += getattr(module, "BY_TOKEN", ())
                around += getattr(module, "MIDDLEWARE", ())
                router: APIRouter = module.router
                app.include_router(router, include_in_schema=kind == "routes")
    app.add_middleware(Direct, handlers=direct, by_token=by_token)
    for middleware in around:
        app.add_middleware(middleware)
    app.add_middleware(Door, large_bodies=large)
    app.mount("/static", StaticFiles(directory=HERE / "static"), name="static")
    app.state.page_paths = frozenset(route.path for route in iter_route_contexts(app.routes))
    logging.getLogger("uvicorn.access").addFilter(without_secrets)
    return app


def areas() -> list[str]:
    """The areas that lie below this folder."""
    return sorted(folder.parent.name for folder in HERE.glob("*/__init__.py"))


def without_secrets(record: logging.LogRecord) -> bool:
    """Take tokens out of the addresses a server writes into its access log."""
    if isinstance(record.args, tuple):
        record.args = tuple(
            SECRET_IN_ADDRESS.sub(r"\1\2…", value) if isinstance(value, str) else value for value in record.args
        )
    return True


def _operation_id(route: APIRoute) -> str:
    return route.name
