"""The devices' door at its documented addresses, and the JSON API about devices and readings."""

from typing import Any

from fastapi import APIRouter

from api.direct import Handler
from api.errors import errors
from api.vitals import answers, device_routes, doors, reading_routes

router = APIRouter()
DIRECT: dict[tuple[str, str], tuple[str, Handler]] = {}
"""Method and address, to the address that is counted and the door."""
KEY: dict[str, Any] = {"security": [{"HTTPBearer": []}]}


def _serve(path: str, door: Any, method: str, documented: dict[str, Any]) -> None:
    """With and without the slash at its end: some clients cannot follow a redirect with a body."""
    documented = {**documented, "openapi_extra": {**documented["openapi_extra"], **KEY}}
    router.add_api_route(path, door, methods=[method], tags=["devices"], **documented)
    router.add_api_route(path.rstrip("/"), door, methods=[method], include_in_schema=False)
    for address in (path, path.rstrip("/")):
        DIRECT[method, address] = (path, door)


_serve("/api/iot/vitals/", doors.submit, "POST", answers.SUBMIT)
_serve("/api/iot/vitals/batch/", doors.submit_batch, "POST", answers.BATCH)
_serve("/api/iot/status/", doors.status, "GET", answers.STATUS)

desk = APIRouter(prefix="/api/v1", responses=errors())
for part in (device_routes, reading_routes):
    desk.include_router(part.router)
router.include_router(desk)
