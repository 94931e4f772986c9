"""Limits in the trend charts: inside the drawing where they leave the curve readable, in words always."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.vitals.charts import BOTTOM, HEIGHT, TOP, Chart, Span, draw
from models.alerts.rules import KINDS, Adjustment, Threshold, adjusted
from models.alerts.schemas import ThresholdIn
from models.alerts.stores.limits import set_threshold
from models.kernel.audit import SYSTEM
from models.kernel.tenancy import tenant_session
from models.vitals.measures import BY_NAME
from models.vitals.stores.trends import Point
from tests.vitals.conftest import Worn
from tests.vitals.desk import at_pages, moment, person

END = datetime(2026, 11, 21, 12, tzinfo=UTC)
SPAN = Span(END - timedelta(days=1), END, "UTC")


def by_measure(*adjustments: Adjustment) -> dict[str, list[Threshold]]:
    found: dict[str, list[Threshold]] = {}
    for one in adjusted(adjustments).values():
        found.setdefault(one.measure, []).append(one)
    return found


def chart(name: str, *values: float, limits: dict[str, list[Threshold]] | None = None) -> Chart:
    points = [Point(END - timedelta(hours=len(values) - n), v, v, v) for n, v in enumerate(values)]
    (one,) = draw({name: points}, SPAN, limits)
    return one


def height(one: Chart) -> float:
    """How much of the drawing the curve takes."""
    at = [float(pair.split(",")[1]) for line in one.lines for stroke in line.strokes for pair in stroke.split()]
    return max(at) - min(at)


@pytest.mark.unit
def test_limits_near_the_values_are_drawn_and_all_are_told() -> None:
    one = chart("heart_rate", 88, 95, 116, 102, limits=by_measure())
    drawn = {line.label: (line.level, line.at) for line in one.limits}
    assert {label: level for label, (level, _) in drawn.items()} == {"over 110": "warning", "over 130": "critical"}
    assert drawn["over 130"][1] < drawn["over 110"][1]  # higher up
    assert one.limits_told == [
        ("Warning", "under 51 (outside the drawing), over 110"),
        ("Critical", "under 41 (outside the drawing), over 130"),
    ]
    assert one.told.endswith(
        "; warning under 51 (outside the drawing), over 110; critical under 41 (outside the drawing), over 130"
    )


@pytest.mark.unit
def test_a_limit_lies_at_its_value_on_the_axis() -> None:
    one = chart("heart_rate", 95, 105, 125, limits=by_measure())
    marks = {float(tick.label): tick.at for tick in one.upward}
    low, high = min(marks), max(marks)
    (line,) = [line for line in one.limits if line.label == "over 110"]
    share = (110 - low) / (high - low)
    assert line.at == pytest.approx(HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM), abs=0.2)


@given(
    st.sampled_from(sorted({one.measure for one in KINDS} & BY_NAME.keys())),
    st.lists(st.floats(0, 700), min_size=2, max_size=12),
    st.floats(0, 10_000),
)
@pytest.mark.unit
def test_no_limit_squashes_the_curve_and_each_line_is_inside(name: str, values: list[float], far: float) -> None:
    own = [Adjustment(one.kind, 1, critical=Decimal(str(round(far, 1)))) for one in KINDS if one.measure == name]
    limits = by_measure(*own)
    with_limits, without = chart(name, *values, limits=limits), chart(name, *values)
    assert height(with_limits) >= height(without) / 2 - 0.2
    assert all(TOP - 0.1 <= line.at <= HEIGHT - BOTTOM + 0.1 for line in with_limits.limits)
    assert 3 <= len(with_limits.upward) <= 7
    said = " ".join(said for _, said in with_limits.limits_told)
    count = sum(limit is not None for one in limits[name] for limit in (one.warning, one.critical))
    assert said.count("over") + said.count("under") == count
    assert said.count("outside") == count - len(with_limits.limits)


@pytest.mark.unit
def test_what_does_not_alarm_is_not_drawn() -> None:
    off = by_measure(Adjustment("heart_rate_high", 1, is_on=False), Adjustment("heart_rate_low", 1, is_on=False))
    one = chart("heart_rate", 95, 105, 125, limits=off)
    assert (one.limits, one.limits_told) == ([], [])
    assert chart("weight", 70, 71, limits=by_measure()).limits_told == []


@pytest.mark.unit
def test_systolic_and_diastolic_limits_are_told_apart() -> None:
    points = {"blood_pressure_systolic": 150.0, "blood_pressure_diastolic": 95.0}
    trends = {
        name: [Point(END - timedelta(hours=n), value, value + n, value + n) for n in (3, 2, 1)]
        for name, value in points.items()
    }
    (one,) = draw(trends, SPAN, by_measure())
    labels = {line.label: line.line for line in one.limits}
    assert labels["systolic over 159"] == "first"
    assert labels["diastolic over 99"] == "second"
    assert "systolic over 180" in dict(one.limits_told)["Critical"]


@pytest.mark.api
def test_the_page_draws_the_limits_in_force_for_that_patient(worn: Worn) -> None:
    clinic = worn.clinic
    readings: list[dict[str, Any]] = [
        {"timestamp": moment(hours=hours), "heart_rate": 100 + hours} for hours in range(1, 7)
    ]
    assert worn.post({"device_id": "DEV001", "readings": readings}, "/api/iot/vitals/batch/").status_code == 200
    with tenant_session(clinic.tenant_id) as session:
        for patient_id, limit in ((None, "104"), (worn.patient_id, "108"), (clinic.patient("P9"), "102")):
            own = ThresholdIn.model_validate({"kind": "heart_rate_high", "patient_id": patient_id, "warning": limit})
            set_threshold(session, clinic.tenant_id, SYSTEM, own)
    page = at_pages(person(clinic, "nora", "nurse")).get(f"/vitals/patients/{worn.patient_id}?days=1")
    (told,) = [one.text for one in page.of("title", id="told-heart_rate")]
    assert "over 108" in told
    assert "104" not in told
    assert "102 /min" not in told
    assert 'class="trend__limit trend__limit--warning' in page.source
    assert page.of("a", href=f"/alerts/patients/{worn.patient_id}/limits") != []


@pytest.mark.api
def test_a_reading_that_a_later_one_corrects_is_marked(worn: Worn) -> None:
    at = moment(minutes=30)
    for heart_rate in (70, 71, 72):
        assert worn.post({"device_id": "DEV001", "timestamp": at, "heart_rate": heart_rate}).status_code == 200
    assert worn.post({"device_id": "DEV001", "timestamp": moment(minutes=9), "heart_rate": 80}).status_code == 200
    nurse = person(worn.clinic, "nora", "nurse")
    rows = nurse.get(f"/api/v1/vitals?patient_id={worn.patient_id}").json()["items"]
    chain = {one["values"]["heart_rate"]["value"]: (one["corrects_id"], one["corrected_by_id"]) for one in rows}
    ids = {one["values"]["heart_rate"]["value"]: one["id"] for one in rows}
    assert chain == {
        "70": (None, ids["71"]), "71": (ids["70"], ids["72"]), "72": (ids["71"], None), "80": (None, None),
    }  # fmt: skip
    page = at_pages(nurse).get(f"/vitals/patients/{worn.patient_id}?days=1").source
    assert (page.count("corrected later"), page.count(">correction<")) == (2, 2)
