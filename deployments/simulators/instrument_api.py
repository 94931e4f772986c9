"""The documented HTTP interface of the analyser, as a bare ASGI application: no routing layer, to stay cheap."""

import time
from collections.abc import Callable
from typing import Any

from pydantic import ValidationError
from starlette.types import Receive, Scope, Send

from deployments.simulators.instrument_call import Call, RefusedError, refusal_of
from deployments.simulators.instrument_delivery import deliver, read_body
from deployments.simulators.instrument_faults import Faults, Operation
from deployments.simulators.instrument_journal import Journal, JournalEntry
from deployments.simulators.instrument_options import InstrumentOptions, QueueRequest, peek_request_id
from deployments.simulators.instrument_queue import Entry, InstrumentQueue, KeyReusedError
from deployments.simulators.instrument_results import result_of, spoil

RESULTS_PATH = "/api/results/"
MAX_KEY_LENGTH = 255
NEVER = float("inf")


class InstrumentApi:
    """The analyser's door. `on_accepted` is told of every new order."""

    def __init__(self, options: InstrumentOptions, *, on_accepted: Callable[[Entry], None] | None = None) -> None:
        self.options = options
        self.queue = InstrumentQueue(options)
        self.faults = Faults()
        self.journal = Journal(options.journal_size)
        self._on_accepted = on_accepted

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request: take effect, note it, and only then wait (latency, time-outs) and send."""
        if scope["type"] != "http":
            return
        body = await read_body(receive)
        call = self._call(scope, body)
        try:
            self._serve(call)
            call.note.status = 200
        except RefusedError as refused:
            call.note.status, call.note.error = refused.status, refused.error
            call.retry_header = refused.header
            call.content = {"error": refused.error}
            if refused.field is not None:
                call.content["field"] = refused.field
        if call.hold_seconds == NEVER:
            call.note.status = None
        self.journal.add(call.note)
        await deliver(call, self.faults, receive, send)

    def _call(self, scope: Scope, body: bytes | None) -> Call:
        path = scope["path"]
        operation: Operation = "queue"
        if path.startswith(RESULTS_PATH):
            operation = "results"
        elif path == "/api/status":
            operation = "status"
        headers = dict(scope["headers"])
        key = headers.get(b"idempotency-key")
        note = JournalEntry(
            at=time.time(),
            method=scope["method"],
            path=path,
            request_id=None,
            idempotency_key=None if key is None else key.decode("latin-1"),
            status=None,
            outcome="refused",
        )
        return Call(note, operation, headers, body, scope["query_string"])

    def _serve(self, call: Call) -> None:
        self._check_address(call)
        self._check_caller(call)
        if call.operation == "queue":
            if self.faults.any_on():
                call.note.request_id = peek_request_id(call.body)
            self._fail_if_told(call)
            self._accept(call)
        elif call.operation == "results":
            entry = self._entry(call.note.path)
            call.note.request_id = entry.request.request_id if entry else None
            self._fail_if_told(call)
            self._answer_result(call, entry)
        else:
            self._fail_if_told(call)
            self._answer_status(call)

    def _check_address(self, call: Call) -> None:
        path = call.note.path
        if call.operation == "queue" and path != "/api/queue":
            raise RefusedError(404, f"no such address: {path}")
        allowed = "POST" if call.operation == "queue" else "GET"
        if call.note.method != allowed:
            raise RefusedError(405, f"{path} takes {allowed} only", header=("allow", allowed))
        if call.query:
            raise RefusedError(400, "no query parameters are known here")

    def _check_caller(self, call: Call) -> None:
        if call.operation == "status" and self.options.public_status:
            return
        given = call.header(self.options.auth_header)
        if given is None:
            raise RefusedError(401, f"missing header {self.options.auth_header}")
        if given not in self.options.api_keys:
            raise RefusedError(401, f"the key in {self.options.auth_header} is not valid")

    def _fail_if_told(self, call: Call) -> None:
        if not self.faults.any_on():
            return
        operation, request_id = call.operation, call.note.request_id
        if fault := self.faults.take("timeout_before_accepting", operation, request_id):
            call.note.outcome = "fault:timeout_before_accepting"
            call.hold_seconds = NEVER if fault.value is True else float(fault.value)
            raise RefusedError(504, "the analyser did not take notice in time")
        if fault := self.faults.take("server_error", operation, request_id):
            call.note.outcome = "fault:server_error"
            raise RefusedError(int(fault.value), "internal error of the analyser")
        for name, status, error in (("rate_limited", 429, "too many requests"), ("unavailable", 503, "not available")):
            if fault := self.faults.take(name, operation, request_id):
                call.note.outcome = f"fault:{name}"
                seconds = f"{float(fault.value):g}"
                raise RefusedError(status, f"{error}, try again in {seconds} s", header=("retry-after", seconds))

    def _accept(self, call: Call) -> None:
        request = self._order(call)
        call.note.request_id = request.request_id
        previous = self.queue.latest
        try:
            entry, repeated = self.queue.accept(request, self._key(call))
        except KeyReusedError:
            raise RefusedError(409, "this key came before with another body", field="Idempotency-Key") from None
        answered_id = entry.id
        if not repeated:
            if previous is not None and self.faults.take("repeat_id", "queue", request.request_id):
                answered_id = previous.id
            self._spoil_run(entry)
            if self._on_accepted is not None:
                self._on_accepted(entry)
        call.note.outcome, call.note.queue_id = ("repeated" if repeated else "queued"), entry.id
        call.content = {"id": answered_id, "status": "queued", "queuePosition": self.queue.position(entry)}
        if fault := self.faults.take("timeout_after_accepting", "queue", request.request_id):
            call.hold_seconds = NEVER if fault.value is True else float(fault.value)

    def _spoil_run(self, entry: Entry) -> None:
        if fault := self.faults.take("fail_run", "queue", entry.request.request_id):
            entry.failed_remarks = str(fault.value)
        if fault := self.faults.take("stuck", "queue", entry.request.request_id):
            self.queue.hold(entry, str(fault.value))

    def _order(self, call: Call) -> QueueRequest:
        media_type = (call.header("content-type") or "").partition(";")[0].strip().lower()
        if media_type != "application/json":
            raise RefusedError(415, "Content-Type must be application/json", field="Content-Type")
        if call.body is None:
            raise RefusedError(413, "the body is too long")
        try:
            request = QueueRequest.model_validate_json(call.body)
        except ValidationError as wrong:
            raise refusal_of(wrong) from None
        if request.test_code not in self.options.tests:
            raise RefusedError(422, "this test is not on board", field="testCode")
        return request

    def _key(self, call: Call) -> str | None:
        key = call.note.idempotency_key
        if key is not None and not 0 < len(key) <= MAX_KEY_LENGTH:
            raise RefusedError(400, f"the key must have 1 to {MAX_KEY_LENGTH} characters", field="Idempotency-Key")
        return key

    def _entry(self, path: str) -> Entry | None:
        number = path.removeprefix(RESULTS_PATH)
        if not (number.isascii() and number.isdigit() and len(number) < 20):
            raise RefusedError(400, "the id in the address must be a whole number", field="id")
        return self.queue.find(int(number))

    def _answer_result(self, call: Call, entry: Entry | None) -> None:
        if entry is None:
            call.note.outcome = "not-found"
            raise RefusedError(404, "no result under this id: unknown, or no longer kept", field="id")
        call.content = result_of(entry, self.queue, self.options)
        call.note.queue_id, call.note.outcome = entry.id, f"fetched:{call.content['status']}"
        spoil(call.content, entry, self.faults)

    def _answer_status(self, call: Call) -> None:
        call.note.outcome = "status"
        word: Any = "online"
        if fault := self.faults.take("status_word", "status"):
            word = fault.value
        call.content = {
            "status": word,
            "queueLength": self.queue.length(),
            "lastCalibration": self.options.last_calibration,
        }
