"""The documented result of an order, and the faults that spoil it."""

from collections.abc import Callable

from deployments.simulators.instrument_catalogue import measure
from deployments.simulators.instrument_faults import Faults, Value
from deployments.simulators.instrument_options import InstrumentOptions
from deployments.simulators.instrument_queue import Entry, InstrumentQueue, iso

Answer = dict[str, object]
HOUR = 3600


def result_of(entry: Entry, queue: InstrumentQueue, options: InstrumentOptions) -> Answer:
    """The documented body; until completed, value, unit, qualityControl and completedAt are null (or left out)."""
    request, state = entry.request, queue.state(entry)
    answer: Answer = {
        "id": entry.id,
        "patientId": request.patient_id,
        "testName": request.test_name,
        "value": None,
        "unit": None,
        "status": state,
        "remarks": "",
        "qualityControl": None,
        "completedAt": None,
    }
    if state == "completed":
        test = options.tests[request.test_code]
        answer["value"] = measure(test, request.sample_id, request.request_id)
        answer["unit"] = test.unit
        answer["qualityControl"] = "Passed"
        answer["completedAt"] = iso(queue.completed_at(entry))
        if options.returns_sample:
            answer["sampleId"] = request.sample_id
        return answer
    if state == "failed":
        answer["remarks"] = entry.failed_remarks
    if options.omits_unfinished:
        return {name: value for name, value in answer.items() if value is not None}
    return answer


def _put(name: str) -> Callable[[Answer, Entry, Value], None]:
    def put(answer: Answer, entry: Entry, value: Value) -> None:
        answer[name] = value

    return put


def _no_value(answer: Answer, entry: Entry, value: Value) -> None:
    answer["value"] = None


def _ahead(answer: Answer, entry: Entry, value: Value) -> None:
    answer["completedAt"] = iso(entry.queued_at + entry.finishes_after + float(value) * HOUR)


def _before(answer: Answer, entry: Entry, value: Value) -> None:
    answer["completedAt"] = iso(entry.queued_at - float(value) * HOUR)


def _without_zone(answer: Answer, entry: Entry, value: Value) -> None:
    answer["completedAt"] = str(answer["completedAt"]).removesuffix("Z")


SPOILERS: dict[str, Callable[[Answer, Entry, Value], None]] = {
    "wrong_id": _put("id"),
    "wrong_patient": _put("patientId"),
    "wrong_test": _put("testName"),
    "wrong_unit": _put("unit"),
    "wrong_sample": _put("sampleId"),
    "failed_qc": _put("qualityControl"),
    "unparsable_value": _put("value"),
    "missing_value": _no_value,
    "unknown_status": _put("status"),
    "completed_in_future": _ahead,
    "completed_before_queued": _before,
    "completed_without_zone": _without_zone,
}


def spoil(answer: Answer, entry: Entry, faults: Faults) -> None:
    """Apply the faults that are on for this order to its completed result."""
    if not faults.any_on() or answer["status"] != "completed":
        return
    for name, spoiler in SPOILERS.items():
        if (fault := faults.take(name, "results", entry.request.request_id)) is not None:
            spoiler(answer, entry, fault.value)
