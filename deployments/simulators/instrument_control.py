"""The simulated analysers' control panel: JSON over HTTP, for tests and demonstrations, on loopback alone."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from deployments.simulators.instrument_catalogue import CATALOGUE
from deployments.simulators.instrument_faults import FAULTS, Operation, Value

if TYPE_CHECKING:
    from deployments.simulators.instrument import SimulatedInstrument

LOOPBACK_NAMES = ["127.0.0.1", "localhost", "[::1]"]
B = TypeVar("B", bound=BaseModel)


class Body(BaseModel):
    """A control body: no unknown fields, no conversions."""

    model_config = ConfigDict(extra="forbid", strict=True)


class FaultBody(Body):
    """One fault to turn on."""

    name: str
    value: Value | None = None
    times: int | None = None
    request_id: str | None = None
    operation: Operation | None = None


class ForgetBody(Body):
    """Which orders to lose: those of one requestId, or all."""

    request_id: str | None = None


class AdvanceBody(Body):
    """How much older everything on board becomes."""

    hours: int | float


class OptionsBody(Body):
    """Settings to change while running; those left out stay."""

    api_keys: list[str] | None = None
    auth_header: str | None = None
    public_status: bool | None = None
    honours_keys: bool | None = None
    returns_sample: bool | None = None
    omits_unfinished: bool | None = None
    queue_seconds: int | float | None = None
    run_seconds: int | float | None = None
    retention_hours: int | float | None = None
    last_calibration: str | None = None
    push_url: str | None = None
    push_token: str | None = None


def _read(model: type[B], body: bytes) -> B:
    return model.model_validate_json(body or b"{}")


class Control:
    """The panel's handlers; each names its analyser by ?instrument=N, counting from 0."""

    def __init__(self, instruments: Sequence["SimulatedInstrument"]) -> None:
        self._instruments = instruments

    def overview(self, request: Request, body: bytes) -> Any:
        """Every analyser, and every fault there is."""
        instruments = [
            {
                "instrument": number,
                "name": instrument.options.name,
                "url": instrument.url,
                "queueLength": instrument.queue.length(),
                "faults": instrument.faults.as_list(),
            }
            for number, instrument in enumerate(self._instruments)
        ]
        known = {name: {"meaning": meaning, "value": value} for name, (meaning, value) in FAULTS.items()}
        return {"instruments": instruments, "faults": known}

    def faults(self, request: Request, body: bytes) -> Any:
        """GET: the faults that are on; POST: turn one on; DELETE: turn off ?name= or all."""
        faults = self._chosen(request).faults
        if request.method == "POST":
            wanted = _read(FaultBody, body)
            limits = {"times": wanted.times, "request_id": wanted.request_id, "operation": wanted.operation}
            faults.set(wanted.name, wanted.value, **limits)  # type: ignore[arg-type]  # a dict of mixed types
        elif request.method == "DELETE":
            faults.clear(request.query_params.get("name"))
        return faults.as_list()

    def journal(self, request: Request, body: bytes) -> Any:
        """GET: every request received, oldest first; DELETE: start afresh."""
        journal = self._chosen(request).journal
        if request.method == "DELETE":
            journal.clear()
        return journal.as_list()

    def queue(self, request: Request, body: bytes) -> Any:
        """Every order on board, oldest first."""
        queue = self._chosen(request).queue
        return [
            {
                "id": entry.id,
                "state": queue.state(entry),
                "queuedAt": entry.queued_at,
                "idempotencyKey": entry.idempotency_key,
                "request": entry.request.model_dump(by_alias=True),
            }
            for entry in queue.entries()
        ]

    def forget(self, request: Request, body: bytes) -> Any:
        """Lose orders now."""
        return {"forgotten": self._chosen(request).forget(_read(ForgetBody, body).request_id)}

    def advance(self, request: Request, body: bytes) -> Any:
        """Make everything on board older."""
        hours = _read(AdvanceBody, body).hours
        self._chosen(request).advance_hours(hours)
        return {"advanced_hours": hours}

    def options(self, request: Request, body: bytes) -> Any:
        """Change settings while running."""
        changes = _read(OptionsBody, body).model_dump(exclude_unset=True)
        options = self._chosen(request).options
        for name, value in changes.items():
            setattr(options, name, tuple(value) if name == "api_keys" else value)
        return {"changed": sorted(changes)}

    def tests(self, request: Request, body: bytes) -> Any:
        """The catalogue of tests on board."""
        return [{name: str(value) for name, value in asdict(test).items()} for test in CATALOGUE.values()]

    def _chosen(self, request: Request) -> "SimulatedInstrument":
        number = request.query_params.get("instrument", "0")
        if not number.isdecimal() or int(number) >= len(self._instruments):
            raise ValueError(f"there is no instrument {number}")
        return self._instruments[int(number)]


def control_app(instruments: Sequence["SimulatedInstrument"]) -> Starlette:
    """The panel for these analysers; the host check keeps web pages of other names out, the media type their forms."""
    control = Control(instruments)
    routes = [
        ("/control", control.overview, ["GET"]),
        ("/control/faults", control.faults, ["GET", "POST", "DELETE"]),
        ("/control/journal", control.journal, ["GET", "DELETE"]),
        ("/control/queue", control.queue, ["GET"]),
        ("/control/forget", control.forget, ["POST"]),
        ("/control/advance", control.advance, ["POST"]),
        ("/control/options", control.options, ["POST"]),
        ("/control/tests", control.tests, ["GET"]),
    ]
    return Starlette(
        routes=[Route(path, _endpoint(handler), methods=methods) for path, handler, methods in routes],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=LOOPBACK_NAMES)],
    )


def _endpoint(handler: Callable[[Request, bytes], Any]) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        body = await request.body()
        if request.method == "POST" and request.headers.get("content-type", "").partition(";")[0] != "application/json":
            return JSONResponse({"error": "Content-Type must be application/json"}, 415)
        try:
            # In a thread: turning an address off waits for the loop this runs on.
            return JSONResponse(await asyncio.to_thread(handler, request, body))
        except (ValidationError, ValueError) as wrong:
            return JSONResponse({"error": str(wrong)}, 422)

    return endpoint
