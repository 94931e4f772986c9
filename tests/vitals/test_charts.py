"""Trend charts: every point inside the drawing, gaps where nothing was measured, round numbers at the axis."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.vitals.charts import HEIGHT, LEFT, WIDTH, Span, draw
from models.kernel.errors import InvalidError
from models.kernel.fields import LARGEST_ID
from models.vitals.cursors import EPOCH, Place, place
from models.vitals.stores.trends import Point

pytestmark = pytest.mark.unit
END = datetime(2026, 11, 21, 12, tzinfo=UTC)


def point(hours_ago: float, value: float, spread: float = 0.0) -> Point:
    return Point(END - timedelta(hours=hours_ago), value - spread, value, value + spread)


def chart(*points: Point, days: int = 1, limits=None):  # type: ignore[no-untyped-def] # the one chart of a drawing
    (one,) = draw({"heart_rate": points}, Span(END - timedelta(days=days), END, "Africa/Lagos"), limits)
    return one


@given(
    st.lists(
        st.tuples(st.floats(0, 24), st.floats(0, 3000), st.floats(0, 50)), min_size=1, max_size=40,
        unique_by=lambda one: round(one[0], 3),
    )
)  # fmt: skip
def test_everything_lies_inside_the_drawing(seen: list[tuple[float, float, float]]) -> None:
    one = chart(*(point(*values) for values in sorted(seen, reverse=True)))
    places = [
        tuple(map(float, pair.split(","))) for line in one.lines for stroke in line.strokes for pair in stroke.split()
    ]
    places += [dot for line in one.lines for dot in line.dots]
    assert len(places) == len(seen)
    for x, y in places:
        assert LEFT - 0.1 <= x <= WIDTH
        assert 0 <= y <= HEIGHT
    assert all(gap.x >= LEFT - 0.1 and gap.x + gap.width <= WIDTH for gap in one.gaps)
    marks = [tick.at for tick in one.upward]
    assert marks == sorted(marks, reverse=True)
    assert 3 <= len(marks) <= 6


def test_a_gap_breaks_the_line_and_silence_until_now_is_one() -> None:
    one = chart(*(point(hours, 70) for hours in (20, 19, 18, 17, 9, 8, 7)))
    assert [gap.title for gap in one.gaps] == ["no reading for 8 h", "no reading for 7 h"]
    assert [len(stroke.split()) for stroke in one.lines[0].strokes] == [4, 3]
    assert chart(*(point(hours, 70) for hours in range(20, 0, -1))).gaps == []


def test_blood_pressure_is_one_chart_with_two_lines() -> None:
    both = {"blood_pressure_systolic": [point(2, 120)], "blood_pressure_diastolic": [point(2, 80)]}
    (one,) = draw(both, Span(END - timedelta(days=1), END, "UTC"))
    assert (one.label, one.unit, one.latest) == ("Blood pressure", "mmHg", "120/80")
    assert [line.kind for line in one.lines] == ["first", "second"]


def test_the_time_axis_is_in_the_laboratorys_time() -> None:
    assert [tick.label for tick in chart(point(1, 70)).across][-1] == "13:00"
    assert [tick.label for tick in chart(point(1, 70), days=30).across][-1] == "21 Nov"


@given(st.timedeltas(timedelta(), timedelta(days=2_000_000)), st.integers(0, LARGEST_ID))
def test_a_cursor_comes_back_as_it_went(passed: timedelta, number: int) -> None:
    moment = EPOCH + passed
    assert place(Place(moment, number).told()) == Place(moment, number)


@pytest.mark.parametrize(
    "told", ["x", "rubbish!", "MTIz", "OTk5OTk5OTk5OTk5OTk5OTk5OTk5OTk6MQ", "MToy" * 20, "ä", "MTotNQ"]
)
def test_what_is_no_cursor_is_refused(told: str) -> None:
    with pytest.raises(InvalidError):
        place(told)
