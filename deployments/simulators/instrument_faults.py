"""What can go wrong with the simulated analyser: a table of faults, and the switchboard that turns them on."""

import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Operation = Literal["queue", "results", "status"]
OPERATIONS: tuple[Operation, ...] = ("queue", "results", "status")
Value = bool | int | float | str

# name: (what it does and what its value means, the value used when none is given)
FAULTS: dict[str, tuple[str, Value]] = {
    "latency_ms": ("wait so many ms before the answer leaves; the request has already taken effect", 50),
    "refuse_connections": ("stop listening and cut every connection", True),
    "timeout_before_accepting": ("take no notice of the request: answer 504 after so many s, or never (true)", True),
    "timeout_after_accepting": ("queue it, then answer after so many s, or never (true)", True),
    "server_error": ("answer this 5xx status, queue nothing", 500),
    "rate_limited": ("answer 429 with this Retry-After in s", 1),
    "unavailable": ("answer 503 with this Retry-After in s", 1),
    "broken_json": ("cut the answer's JSON in half", True),
    "slow_body": ("send the answer byte by byte, so many s in all", 1),
    "oversize_body": ("fill the answer up to so many bytes", 20_000_000),
    "repeat_id": ("answer a new request with the id of the one before", True),
    "fail_run": ("the run fails with these remarks", "Aspiration error: clot detected"),
    "stuck": ("the entry stays 'queued' or 'running' for ever", "running"),
    "wrong_id": ("the result carries this id", 999_999_999),
    "wrong_patient": ("the result carries this patientId", "PAT-OTHER"),
    "wrong_test": ("the result carries this testName", "Other test"),
    "wrong_unit": ("the result carries this unit", "mmol/mol"),
    "wrong_sample": ("the result carries this sampleId", "SAMP-OTHER"),
    "failed_qc": ("the result's qualityControl is this word", "Failed"),
    "unparsable_value": ("the result's value is this text", "#####"),
    "missing_value": ("the result is completed with a null value", True),
    "unknown_status": ("the result's status is this word", "paused"),
    "completed_in_future": ("completedAt is so many hours ahead", 24),
    "completed_before_queued": ("completedAt is so many hours before the queueing", 1),
    "completed_without_zone": ("completedAt has no Z", True),
    "push_twice": ("a pushed result is pushed a second time after it was taken", True),
    "status_word": ("GET /api/status answers this word", "maintenance"),
}
# Faults of the address, not of one request: no limit by count, request or operation makes sense for them.
UNLIMITED = frozenset({"refuse_connections"})


@dataclass(slots=True)
class Fault:
    """One fault that is on, and what limits it."""

    name: str
    value: Value
    times: int | None = None
    request_id: str | None = None
    operation: Operation | None = None

    def concerns(self, operation: Operation, request_id: str | None) -> bool:
        """True when the fault applies to such a request."""
        return self.operation in (None, operation) and self.request_id in (None, request_id)


@dataclass
class Faults:
    """The switchboard; safe to use from any thread. `on_change` is called after each change, outside the lock."""

    on_change: Callable[[], None] | None = None
    _on: list[Fault] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def set(
        self,
        name: str,
        value: Value | None = None,
        *,
        times: int | None = None,
        request_id: str | None = None,
        operation: Operation | None = None,
    ) -> Fault:
        """Turn a fault on, or replace it: for the next `times` requests, one requestId, one operation; ValueError."""
        if name not in FAULTS:
            raise ValueError(f"no such fault: {name}; there are {', '.join(FAULTS)}")
        if name in UNLIMITED and (times, request_id, operation) != (None, None, None):
            raise ValueError(f"{name} cannot be limited")
        if times is not None and times < 1:
            raise ValueError("times must be at least 1")
        if operation is not None and operation not in OPERATIONS:
            raise ValueError(f"operation must be one of {', '.join(OPERATIONS)}")
        fault = Fault(name, _checked(name, value), times, request_id, operation)
        with self._lock:
            same = (name, request_id, operation)
            others = [one for one in self._on if (one.name, one.request_id, one.operation) != same]
            self._on = [*others, fault]
        self._changed()
        return fault

    def clear(self, name: str | None = None) -> None:
        """Turn one fault off, or all of them."""
        with self._lock:
            self._on = [fault for fault in self._on if name is not None and fault.name != name]
        self._changed()

    def take(self, name: str, operation: Operation, request_id: str | None = None) -> Fault | None:
        """The fault of that name if it applies to this request, using up one of its times."""
        if not self._on:
            return None
        with self._lock:
            for fault in self._on:
                if fault.name == name and fault.concerns(operation, request_id):
                    if fault.times is not None:
                        fault.times -= 1
                        if fault.times == 0:
                            self._on = [other for other in self._on if other is not fault]
                    return fault
        return None

    def is_on(self, name: str) -> bool:
        """True while the fault is on, whatever limits it."""
        return any(fault.name == name for fault in self._on)

    def any_on(self) -> bool:
        """True while any fault is on: the cheap question asked first on every request."""
        return bool(self._on)

    def as_list(self) -> list[dict[str, Any]]:
        """Every fault that is on, as data."""
        with self._lock:
            return [asdict(fault) for fault in self._on]

    def _changed(self) -> None:
        if self.on_change is not None:
            self.on_change()


def _checked(name: str, value: Value | None) -> Value:
    """The value to use: the default for none or true; ValueError when it is of another kind than the default."""
    default = FAULTS[name][1]
    if value is None or value is True:
        return default
    if name in ("timeout_before_accepting", "timeout_after_accepting"):
        fits = isinstance(value, int | float) and value >= 0 and value is not False
    elif isinstance(default, bool):
        fits = False
    elif isinstance(default, str):
        fits = isinstance(value, str)
    else:
        fits = isinstance(value, int | float) and value is not False and value >= 0
    if not fits:
        raise ValueError(f"{name}: {value!r} does not fit ({FAULTS[name][0]})")
    return value
