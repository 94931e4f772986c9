"""The page of one assignment: what it shows to whom, its buttons, and a stale or impossible one refused in place."""

from typing import Any

import pytest
from sqlalchemy import text

from models.kernel.tenancy import tenant_session
from tests.instruments.desk import Desk, Page, sit_down
from tests.instruments.helpers import Lab

pytestmark = [pytest.mark.api, pytest.mark.usefixtures("wishes")]


@pytest.fixture
def tech(lab: Lab) -> Desk:
    return sit_down(lab, "tech", "technician")


@pytest.fixture
def boss(lab: Lab) -> Desk:
    return sit_down(lab, "boss", "supervisor")


def analysed(lab: Lab, value: str = "13.5") -> int:
    (one,) = lab.queued()
    lab.answer(one, lab.body(one, value=value))
    return one


def put(lab: Lab, one: int, status: str) -> None:
    with tenant_session(lab.tenant_id) as session:
        session.execute(text(f"UPDATE assignment SET status = '{status}', version = version + 1 WHERE id = {one}"))


def not_possible(page: Page) -> str:
    return page.source.partition('class="deeds__not"')[2].partition("</details>")[0]


def test_it_shows_facts_result_range_previous_and_change(lab: Lab, boss: Desk) -> None:
    earlier, one = analysed(lab, "12.5"), analysed(lab, "11.0")
    put(lab, earlier, "V")
    page = boss.get(f"/assignments/{one}")
    for said in ("SAMP-123", "PAT-001", "Ade, Bola", "female, 40 years", "LAB-HGB", "LOINC 718-7", f"REQ-{one}"):
        assert said in page.text, said
    assert "11.0 g/dL ↓ Low" in page.text
    assert "Normal 12.0–16.0 · critical < 6, > 20 g/dL" in page.text
    assert "12.5 g/dL" in page.text
    assert "−1.5 g/dL (−12 %)" in page.text or "−1.5 g/dL (−12.0 %)" in page.text  # noqa: RUF001  # a minus sign
    assert page.of("li", aria_current="step")[0].text == "Analysis complete"


def test_without_a_range_there_is_no_flag_and_it_is_not_called_normal(lab: Lab, boss: Desk) -> None:
    (one,) = lab.queued("LAB-CBC")
    lab.answer(one, lab.body(one, value="12.5"))
    page = boss.get(f"/assignments/{one}")
    assert "12.5 g/dL no range" in page.text
    assert page.of("span", class_="badge badge--normal") == []


def test_the_history_has_everything_in_one_order(lab: Lab, tech: Desk) -> None:
    one = analysed(lab)
    tech.post(f"/assignments/{one}/comments", {"body": "Second <tube>"})
    sit_down(lab, "vera", "verifier").post(f"/assignments/{one}/verify", {"version": 2, "note": "Smear seen"})
    page = tech.get(f"/assignments/{one}")
    items = [item.text for item in page.of("b")]
    order = ["Ordered", "Submission to Analyzer: taken by the instrument", "Answer received from Analyzer"]
    order += ["Result version 1: 13.5 g/dL", "Result let through", "Comment", "Verified, level 1"]
    assert sorted(order, key=items.index) == order
    assert "Second &lt;tube&gt;" in page.source
    assert "“Smear seen”" in page.text
    assert '"patientId": "PAT-001"' in page.of("pre")[0].text  # as it was received


def test_what_cannot_be_done_says_why(lab: Lab, tech: Desk) -> None:
    (one,) = lab.order()
    with tenant_session(lab.tenant_id) as session:
        session.execute(text("UPDATE equipment SET status = 'inactive'"))
    page = tech.get(f"/assignments/{one}")
    assert "<b>Send to the instrument:</b> the instrument is inactive" in not_possible(page)
    assert "<b>Verify:</b> the assignment is pending" in not_possible(page)
    page = tech.post(f"/assignments/{one}/send")
    assert page.status == 409
    assert "The instrument is inactive" in page.text or "the instrument is inactive" in page.text
    done = analysed(lab)
    assert "<b>Verify:</b> needs the role verifier" in not_possible(tech.get(f"/assignments/{done}"))


def test_sending_and_fetching(lab: Lab, tech: Desk, wishes: list[Any]) -> None:
    (one,) = lab.order()
    assert tech.post(f"/assignments/{one}/send").place == f"/assignments/{one}"
    (two,) = lab.queued()
    assert tech.post(f"/assignments/{two}/fetch").status == 303
    assert wishes == [("submit-assignments", [one]), ("poll-results", [two])]
    assert "The result was asked for." in tech.get(f"/assignments/{two}").text


def test_verifying_by_two_people_and_releasing(lab: Lab, wishes: list[Any]) -> None:
    one = analysed(lab)
    vera, victor = sit_down(lab, "vera", "verifier"), sit_down(lab, "victor", "verifier")
    assert "Verify, level 1 of 2" in vera.get(f"/assignments/{one}").text
    assert vera.post(f"/assignments/{one}/verify", {"version": 2}).status == 303
    page = vera.get(f"/assignments/{one}")
    assert "you verified it already" in not_possible(page)
    page = vera.post(f"/assignments/{one}/verify", {"version": 3})
    assert page.status == 403
    assert page.of("div", role="alert")
    assert victor.post(f"/assignments/{one}/verify", {"version": 3}).status == 303
    assert victor.post(f"/assignments/{one}/release", {"version": 4}).status == 303
    assert lab.assignment(one).status == "R"
    assert wishes == [("deliver-messages", [])]


def test_a_stale_page_is_refused_in_place_with_what_was_typed(lab: Lab) -> None:
    one = analysed(lab)
    vera = sit_down(lab, "vera", "verifier")
    page = vera.post(f"/assignments/{one}/verify", {"version": 1, "note": "looks fine"})
    assert page.status == 409
    assert "was changed since it was read" in page.text
    assert page.value("note") == "looks fine"
    assert page.value("version") == "2"  # the form shows the present one
    assert lab.assignment(one).status == "A"


def test_a_lost_answer_is_resolved_by_a_person(lab: Lab, tech: Desk, wishes: list[Any]) -> None:
    (one,) = lab.order()
    put(lab, one, "U")
    page = tech.get(f"/assignments/{one}")
    assert "no answer came" in page.text
    page = tech.post(f"/assignments/{one}/resolve", {"outcome": "queued", "reason": "seen on its screen", "version": 2})
    assert page.status == 422
    assert page.value("reason") == "seen on its screen"
    assert page.of("input", id="resolve-queued")[0].attributes.keys() >= {"checked"}
    form = {"outcome": "queued", "queue_id": "4711", "reason": "seen on its screen", "version": 2}
    assert tech.post(f"/assignments/{one}/resolve", form).status == 303
    assert (lab.assignment(one).status, lab.assignment(one).queue_id) == ("Q", "4711")
    (other,) = lab.order()
    put(lab, other, "U")
    tech.post(f"/assignments/{other}/resolve", {"outcome": "resend", "reason": "not there", "version": 2})
    assert lab.assignment(other).status == "P"
    assert wishes == [("submit-assignments", [other])]


def test_cancel_run_again_and_another_instrument(lab: Lab, tech: Desk) -> None:
    (one,) = lab.order()
    page = tech.post(f"/assignments/{one}/cancel", {"version": 1})
    assert page.status == 422
    assert "Is needed" in page.text
    assert tech.post(f"/assignments/{one}/cancel", {"version": 1, "reason": "wrong tube"}).status == 303
    assert "Cancelled: wrong tube" in tech.get(f"/assignments/{one}").text
    two = analysed(lab)
    assert tech.post(f"/assignments/{two}/retest", {"version": 2, "reason": "clot"}).status == 303
    page = tech.get(f"/assignments/{two}")
    assert "run 2" in page.text
    assert lab.assignment(two).status == "P"
    page = tech.post(f"/assignments/{two}/instrument", {"equipment_id": lab.equipment_id, "version": 3})
    assert page.status == 409
    assert "is the assignment's instrument already" in page.text


def test_entering_a_result_by_hand(lab: Lab, tech: Desk) -> None:
    (one,) = lab.order()
    page = tech.get(f"/assignments/{one}/result")
    for said in ("g/dL", "12.0–16.0", "< 6, > 20", "1–30"):
        assert said in page.text, said
    assert "autofocus" in page.of("input", id="entry-value")[0].attributes
    for value, complaint in (("", "Is needed"), ("12,5", "decimal point"), ("99", "above the plausible limit")):
        form = {"value": value, "unit": "g/dL", "remarks": "read twice", "version": 1}
        page = tech.post(f"/assignments/{one}/result", form)
        assert page.status == 422
        wrong = page.of("p", id="entry-value-error")[0]
        assert complaint in wrong.text
        field = page.of("input", id="entry-value")[0].attributes
        assert (field["value"], field["aria-invalid"], "autofocus" in field) == (value, "true", True)
        assert "read twice" in page.source
    assert tech.post(f"/assignments/{one}/result", {"value": "12.5", "unit": "mg/dL", "version": 1}).status == 422
    assert tech.post(f"/assignments/{one}/result", {"value": "12.5", "unit": "g/dL", "version": 1}).status == 303
    assert (lab.assignment(one).status, lab.results(one)[0].source) == ("A", "manual")
    assert "Not possible now" in tech.get(f"/assignments/{one}/result").text


def test_who_entered_a_value_is_told_not_to_verify_it(lab: Lab, boss: Desk) -> None:
    (one,) = lab.order()
    boss.post(f"/assignments/{one}/result", {"value": "12.5", "unit": "g/dL", "version": 1})
    assert "you entered the value; another person verifies it" in not_possible(boss.get(f"/assignments/{one}"))


def test_a_correction_keeps_the_version_that_doctors_see(lab: Lab, boss: Desk) -> None:
    one = analysed(lab)
    for name in ("vera", "victor"):
        version = lab.assignment(one).version
        sit_down(lab, name, "verifier").post(f"/assignments/{one}/verify", {"version": version})
    boss.post(f"/assignments/{one}/release", {"version": lab.assignment(one).version})
    form = {"value": "14.1", "unit": "g/dL", "version": lab.assignment(one).version}
    page = boss.post(f"/assignments/{one}/correct", form)
    assert page.status == 422
    assert "autofocus" in page.of("input", id="entry-reason")[0].attributes
    assert boss.post(f"/assignments/{one}/correct", form | {"reason": "dilution forgotten"}).status == 303
    page = boss.get(f"/assignments/{one}")
    assert "Doctors still see version 1 (13.5 g/dL)" in page.text
    assert "1 earlier version" in page.text
    doctor = sit_down(lab, "doc", "doctor").get(f"/assignments/{one}")
    assert "13.5 g/dL" in doctor.text
    assert "14.1" not in doctor.source
    assert "A correction is being verified" in doctor.text


def test_a_doctor_sees_nothing_before_release(lab: Lab) -> None:
    one = analysed(lab, "5.1")
    page = sit_down(lab, "doc", "doctor").get(f"/assignments/{one}")
    assert "5.1" not in page.source
    assert "Critical" not in page.source
    assert page.of("section", aria_labelledby="deeds-head") == []
