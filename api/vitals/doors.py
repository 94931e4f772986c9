"""What devices may ask, as documented: one reading, several, how they stand. Every answer comes after the commit."""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

from fastapi import Request as HttpRequest
from fastapi import Response
from fastapi.concurrency import run_in_threadpool
from pydantic_core import to_json

from api.runs import deliver_now
from api.security import client_address
from api.vitals.keys import UNKNOWN_KEYS, look_up, remembered
from api.vitals.limits import Limits
from api.vitals.writer import TOO_MANY, DoorWriter
from models.kernel.clock import utc_now
from models.kernel.errors import InvalidError
from models.kernel.tenancy import tenant_session
from models.vitals import readings
from models.vitals.readings import Reading
from models.vitals.stores.admission import UNASSIGNED, Outcome, Request
from models.vitals.stores.keys import KnownKey
from models.vitals.stores.standing import standing
from models.vitals.stores.storing import Stored

MOST_READINGS = 1000
"""Of one batch."""

LIMITS = Limits()
log = logging.getLogger(__name__)
_writer: DoorWriter | None = None


@dataclass(frozen=True, slots=True)
class Visit:
    """A request whose key is known."""

    key: KnownKey
    door: str
    received_at: datetime
    ip_address: str | None

    async def admit(self, *read: Reading, refused: tuple[int, str] | None = None) -> Outcome:
        """Let it in, or write down why not."""
        request = Request(
            key_id=self.key.key_id,
            device_id=self.key.device_id,
            door=self.door,
            received_at=self.received_at,
            ip_address=self.ip_address,
            readings=read,
            refused=refused,
            writes=self.door != "status",
        )
        outcome = await writer().admit(self.key.tenant_id, request)
        if any(stored is not None and stored.is_new and stored.alerts_triggered for stored in outcome.stored):
            deliver_now("")  # whoever is asked or told should not wait for the minute's run
        return outcome

    @property
    def zone(self) -> ZoneInfo | None:
        """The device's."""
        return ZoneInfo(self.key.time_zone) if self.key.time_zone else None


async def submit(request: HttpRequest) -> Response:
    """One reading."""
    body = await request.body()
    visit = await _visit(request, "vitals")
    if isinstance(visit, Response):
        return visit
    try:
        given = _object(readings.load(body))
        _own(given, visit)
        reading = readings.parse(given, zone=visit.zone, raw=body.decode())
    except _RefusalError as refusal:
        return _refused(await visit.admit(refused=refusal.answer))
    except InvalidError as error:
        return _refused(await visit.admit(refused=(400, str(error))))
    if _full(visit) is not None:
        return _turned_away(visit, await visit.admit(refused=TOO_MANY))
    outcome = await visit.admit(reading)
    if outcome.status != 200:
        return _turned_away(visit, outcome)
    (stored,) = outcome.stored
    return _single(visit, reading, stored)


async def submit_batch(request: HttpRequest) -> Response:
    """Several readings: the good ones are stored, each bad one is named."""
    body = await request.body()
    visit = await _visit(request, "batch")
    if isinstance(visit, Response):
        return visit
    try:
        content, texts = readings.load_several(body)
        given = _object(content)
        _own(given, visit)
        items = given.get("readings")
        if not isinstance(items, list) or not items:
            raise InvalidError("Missing required field: readings", field="readings")
        if len(items) > MOST_READINGS:
            raise InvalidError(f"readings must be at most {MOST_READINGS}", field="readings")
    except _RefusalError as refusal:
        return _refused(await visit.admit(refused=refusal.answer))
    except InvalidError as error:
        return _refused(await visit.admit(refused=(400, str(error))))
    if _full(visit) is not None:
        return _turned_away(visit, await visit.admit(refused=TOO_MANY))
    good, errors = _parsed(items, texts, visit)
    if not good:
        return _refused(await visit.admit(refused=(400, "No acceptable reading")), errors=errors, total=len(items))
    outcome = await visit.admit(*good.values())
    if outcome.status != 200:
        return _turned_away(visit, outcome)
    return _several(visit, len(items), dict(zip(good, outcome.stored, strict=True)), errors)


async def status(request: HttpRequest) -> Response:
    """How the device stands with us; the patient only for keys that may read it."""
    visit = await _visit(request, "status")
    if isinstance(visit, Response):
        return visit
    outcome = await visit.admit()
    if outcome.status != 200:
        return _refused(outcome)
    answer = await run_in_threadpool(_standing, visit.key, outcome.can_read_patient)
    return _json({"success": True, **answer})


def writer() -> DoorWriter:
    """The writer of this process's loop."""
    global _writer  # one a process, made when it is first needed
    if _writer is None or not _writer.is_of(asyncio.get_running_loop()):
        _writer = DoorWriter(LIMITS.hear, _is_full)
    return _writer


class _RefusalError(Exception):
    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.answer = status, text


async def _visit(request: HttpRequest, door: str) -> Visit | Response:
    scheme, _, key = request.headers.get("authorization", "").partition(" ")
    key = key.strip()
    if scheme.lower() != "bearer" or not key:
        return _error(401, "Missing API key")
    is_known, known = remembered(key)
    if not is_known:
        known = await run_in_threadpool(look_up, key)
        if known is None:  # told once in UNKNOWN_SECONDS, counted each time
            log.warning("unknown device key at the door %s, from %s", door, client_address(request))
    if known is None:
        UNKNOWN_KEYS.inc()
        return _error(401, "Invalid API key")
    return Visit(known, door, utc_now(), client_address(request))


def _object(given: Any) -> Mapping[str, Any]:
    if not isinstance(given, dict):
        raise InvalidError("Invalid JSON format")
    return given


def _own(given: Mapping[str, Any], visit: Visit) -> None:
    if given.get("device_id") is None:
        raise InvalidError("Missing required field: device_id", field="device_id")
    if given["device_id"] != visit.key.code:
        raise _RefusalError(403, "device_id does not match the authenticated device")


def _parsed(items: list[Any], texts: list[str], visit: Visit) -> tuple[dict[int, Reading], list[dict[str, Any]]]:
    good: dict[int, Reading] = {}
    errors: list[dict[str, Any]] = []
    for index, (item, text) in enumerate(zip(items, texts, strict=True)):
        try:
            given = _object(item)
            if given.get("device_id", visit.key.code) != visit.key.code:
                raise InvalidError("device_id does not match the authenticated device", field="device_id")
            good[index] = readings.parse(given, zone=visit.zone, raw=text)
        except InvalidError as error:
            errors.append({"index": index, "field": error.field, "reason": str(error)})
    return good, errors


def _is_full(tenant_id: int, request: Request) -> bool:
    return LIMITS.exceeded(tenant_id, request.device_id, request.received_at) is not None


def _turned_away(visit: Visit, outcome: Outcome) -> Response:
    if outcome.status != 429:
        return _refused(outcome)
    return _full(visit) or _error(429, outcome.error or "", {"Retry-After": "1"})  # the minute is over


def _full(visit: Visit) -> Response | None:
    exceeded = LIMITS.exceeded(visit.key.tenant_id, visit.key.device_id, visit.received_at)
    if exceeded is None:
        return None
    return _error(*TOO_MANY, {**exceeded.headers, "Retry-After": str(exceeded.reset_seconds)})


def _headers(visit: Visit) -> dict[str, str]:
    allowance = LIMITS.allowance(visit.key.tenant_id, visit.key.device_id, visit.received_at)
    return allowance.headers if allowance is not None else {}


def _single(visit: Visit, reading: Reading, stored: Stored | None) -> Response:
    moment = _iso(reading.recorded_at)
    if stored is not None and stored.held:
        held = [{"field": finding.field, "rule": finding.rule} for finding in stored.held]
        content = {"success": False, "message": "Reading held for review", "vital_sign_id": None, "held": held}
        return _json(content | {"timestamp": moment}, 202, _headers(visit))
    if stored is None:
        return _error(400, UNASSIGNED)
    content = {
        "success": True,
        "message": "Vital signs received successfully",
        "vital_sign_id": stored.vital_sign_id,
        "alerts_triggered": stored.alerts_triggered,
        "timestamp": moment,
    }
    return _json(content, 200, _headers(visit))


def _several(visit: Visit, total: int, stored: Mapping[int, Stored | None], errors: list[dict[str, Any]]) -> Response:
    created, held, alerts = [], [], 0
    for index, result in stored.items():
        if result is None:
            errors.append({"index": index, "field": "timestamp", "reason": UNASSIGNED})
        elif result.held:
            found = [{"field": finding.field, "rule": finding.rule} for finding in result.held]
            held.append({"index": index, "held": found})
        else:
            created.append(result.vital_sign_id)
            alerts += result.alerts_triggered
    content: dict[str, Any] = {
        "success": bool(created),
        "message": "Batch submitted successfully" if created else "No reading was stored",
        "total_readings": total,
        "processed": len(created),
        "failed": total - len(created),
        "vitals_created": created,
        "alerts_triggered": alerts,
    }
    if errors:
        content["errors"] = sorted(errors, key=lambda error: error["index"])
    if held:
        content["held"] = held
    code = 200 if created else (202 if held else 400)
    if code == 400:
        content["error"] = "No acceptable reading"
    return _json(content, code, _headers(visit))


def _refused(outcome: Outcome, *, errors: list[dict[str, Any]] | None = None, total: int = 0) -> Response:
    more = {"errors": errors, "total_readings": total, "processed": 0, "failed": total} if errors else {}
    return _error(outcome.status, outcome.error or "", more=more)


def _error(
    code: int, text: str, headers: Mapping[str, str] | None = None, *, more: Mapping[str, Any] | None = None
) -> Response:
    challenge = {"WWW-Authenticate": "Bearer"} if code == 401 else {}
    return _json({"success": False, "error": text, **(more or {})}, code, {**challenge, **(headers or {})})


def _json(content: Mapping[str, Any], code: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    return Response(to_json(content), code, headers, "application/json")


def _standing(key: KnownKey, can_read_patient: bool) -> dict[str, Any]:
    with tenant_session(key.tenant_id) as session:
        return standing(session, key.tenant_id, key.device_id, can_read_patient=can_read_patient)


def _iso(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
