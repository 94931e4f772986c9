"""The pure parts of the pages: words, drawings, and what can be done when by whom."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest

from api.instruments import words
from api.instruments.charts import WIDTH, check_strip, range_bar
from api.instruments.comparison import compare
from api.instruments.deeds import LABELS, Situation, deeds_for, possible
from api.instruments.timeline_view import lines_of
from models.instruments.catalogue_inputs import RangeInput
from models.instruments.flags import FLAGS, Limits
from models.instruments.result_rules import parse_result
from models.instruments.rules import Status
from models.instruments.stores.details import ResultRow, VerificationRow
from models.instruments.stores.fleet import CheckSlot
from models.instruments.stores.previous import Previous
from models.instruments.stores.timeline import TimelineEntry
from models.instruments.stores.worklist import WorklistRow

pytestmark = pytest.mark.unit
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
D = Decimal


def row(**given: Any) -> WorklistRow:
    usual: dict[str, Any] = dict.fromkeys(WorklistRow.__dataclass_fields__)
    usual |= {"id": 1, "version": 1, "status": "P", "has_endpoint": True, "equipment_status": "active"}
    return WorklistRow(**usual | given)


def result(**given: Any) -> ResultRow:
    usual: dict[str, Any] = dict.fromkeys(ResultRow.__dataclass_fields__)
    return ResultRow(**usual | {"verifications": []} | given)


def now(status: str, *roles: str, user_id: int = 1, **given: Any) -> Situation:
    held = (1,) if status == "H" else ()
    has_result = result() if status in "AVR" else None
    return replace(Situation(row(status=status), has_result, user_id, roles, held), **given)


def test_every_state_flag_and_rule_has_its_words() -> None:
    assert set(words.STATES) == {str(one) for one in Status} == set(words.SHORT_STATES)
    assert set(words.FLAGS) == set(FLAGS)
    for sign, word in words.FLAGS.values():
        assert word
        assert sign or word == "Normal"  # told apart without colour
    assert len({sign for sign, _ in words.FLAGS.values()}) == len(FLAGS)


@pytest.mark.parametrize(
    ("status", "role", "names"),
    [
        ("P", "technician", {"send", "enter", "instrument", "cancel"}),
        ("Q", "technician", {"fetch", "enter", "retest", "cancel"}),
        ("I", "technician", {"fetch", "enter", "retest", "cancel"}),
        ("U", "technician", {"resolve", "enter", "cancel"}),
        ("F", "technician", {"enter", "instrument", "retest", "cancel"}),
        ("H", "technician", {"retest", "cancel"}),
        ("H", "supervisor", {"held", "retest", "cancel"}),
        ("A", "technician", {"retest"}),
        ("A", "verifier", {"verify", "retest"}),
        ("A", "supervisor", {"verify", "retest", "correct"}),
        ("V", "verifier", {"release", "retest"}),
        ("R", "supervisor", {"correct"}),
        ("R", "verifier", set()),
        ("C", "supervisor", set()),
    ],
)
def test_what_each_role_can_do_in_each_state(status: str, role: str, names: set[str]) -> None:
    deeds = deeds_for(now(status, role))
    assert set(possible(deeds)) == names
    assert all(deed.problem for deed in deeds if deed.name not in names)
    assert {deed.name for deed in deeds} >= set(LABELS) - {"resolve", "held"}


def test_sending_says_which_of_inactive_no_endpoint_and_not_pending() -> None:
    def why(situation: Situation) -> str:
        return next(deed.problem for deed in deeds_for(situation) if deed.name == "send")

    assert why(now("Q", "technician")) == "the assignment is queued, not pending"
    assert why(now("P", "technician", row=row(equipment_status="inactive"))) == "the instrument is inactive"
    assert why(now("P", "technician", row=row(has_endpoint=False))) == "the instrument has no endpoint"
    assert why(now("P", "technician", row=row(equipment_status=None))) == "no instrument is assigned"
    assert why(now("P", "verifier")) == "needs the role technician"


def test_nobody_verifies_what_they_entered_or_verified() -> None:
    level = VerificationRow(1, 1, "Vera", "", NOON)
    for found in (result(entered_by=1), result(verifications=[level])):
        assert "verify" not in possible(deeds_for(now("A", "verifier", result=found)))
        assert "verify" in possible(deeds_for(now("A", "verifier", user_id=2, result=found)))


def test_spans_durations_ages_and_changes() -> None:
    assert words.span(D("12.0"), D("16.0")) == "12.0–16.0"
    assert (words.span(None, D("14")), words.span(D("3"), None), words.span(None, None)) == ("≤ 14", "≥ 3", "–")
    assert words.beyond(D("7.0"), D("20.0")) == "< 7.0, > 20.0"
    assert words.beyond(None, D("52")) == "> 52"
    assert [words.duration(s) for s in (None, 59, 60, 3599, 3600, 5400, 86400, 180000)] == [
        *("–", "59 s", "1 min", "59 min", "1 h", "1 h 30 min", "1 d", "2 d 2 h"),
    ]
    assert words.plain(D("1E+3")) == "1000"
    assert [words.age_in_words(d) for d in (3, 35, 200, 40 * 366)] == ["3 days", "5 weeks", "6 months", "40 years"]
    assert [words.years(d) for d in (None, 30, 365, 6570, 6574, 6575, 6600)] == [
        *("", "30 d", "1 y", "18 y", "18 y", "18 y", "6600 d"),
    ]
    assert words.range_for(RangeInput(high=D(1))) == ""
    assert words.range_for(RangeInput(sex="male", age_from_days=6570, high=D(1))) == "male, from 18 y"
    before = Previous(1, "12.0", "g/dL", None, NOON, D("-0.50"), D("-4.2"))
    assert words.delta(before) == "\N{MINUS SIGN}0.50 g/dL (\N{MINUS SIGN}4.2 %)"
    assert words.delta(replace(before, delta=D("0"), delta_percent=None)) == "±0 g/dL"
    assert words.delta(replace(before, delta=None)) == ""


def test_the_range_bar_marks_the_value_within_its_limits() -> None:
    limits = Limits(D(12), D(16), D(6), D(20))
    bar = range_bar(D(14), limits)
    assert bar is not None
    assert [box.kind for box in bar.boxes] == ["critical", "outside", "inside", "outside", "critical"]
    assert round(sum(box.width for box in bar.boxes)) == WIDTH
    inside = bar.boxes[2]
    assert inside.x < bar.mark < inside.x + inside.width
    assert [range_bar(value, limits).mark for value in (D(-99), D(99))] == [0, WIDTH]  # type: ignore[union-attr]
    only_high = range_bar(D(5), Limits(high=D(14)))
    assert only_high is not None
    assert [box.kind for box in only_high.boxes] == ["inside", "outside"]
    assert range_bar(D(5), Limits()) is None
    assert range_bar(None, limits) is None


def test_the_strip_has_a_box_for_each_stretch_of_time() -> None:
    counts = [(6, 6), (6, 5), (6, 0), (0, 0)]
    slots = [CheckSlot(NOON + timedelta(minutes=30 * n), checks, up) for n, (checks, up) in enumerate(counts)]
    boxes = check_strip(slots)
    assert [box.kind for box in boxes] == ["up", "partly", "down", "none"]
    assert boxes[-1].x + boxes[-1].width <= WIDTH
    assert check_strip([]) == []


def test_a_comparison_without_an_assignment_expects_nothing_of_it() -> None:
    answer = parse_result(b'{"id": 7, "status": "completed", "completedAt": "2026-11-20T10:00:00"}')
    fields = {one.label: one for one in compare(None, answer, {"completedAt", "value"})}
    assert (fields["Number"].expected, fields["Number"].received) == ("", "7")
    assert fields["Measured"].received == "2026-11-20T10:00:00"  # no offset: not shown as a moment
    assert fields["Value"].received == "–"
    assert compare(None, parse_result(b"{"), ()) == []


def test_an_audited_deed_without_words_of_its_own_is_spelt_out() -> None:
    entry = TimelineEntry(NOON, "audit", "x", {"action": "assignment.some_new_deed", "changes": {"reason": "why"}})
    (line,) = lines_of([entry])
    assert (line.title, line.text) == ("Some new deed", "“why”")
