"""The pages on which results are judged: the verification queue, what waits for release, and what is held."""

from typing import Any

import pytest
from sqlalchemy import text

from models.instruments.stores.pushes import accept_pushed, match_pushed
from models.kernel.audit import SYSTEM
from models.kernel.clock import utc_now
from models.kernel.tenancy import tenant_session
from tests.api.helpers import audited
from tests.instruments.desk import Desk, Page, sit_down
from tests.instruments.helpers import Lab

pytestmark = [pytest.mark.api, pytest.mark.usefixtures("wishes")]


@pytest.fixture
def vera(lab: Lab) -> Desk:
    return sit_down(lab, "vera", "verifier")


@pytest.fixture
def boss(lab: Lab) -> Desk:
    return sit_down(lab, "boss", "supervisor")


def analysed(lab: Lab, value: str = "13.5", test_code: str = "LAB-HGB", **given: Any) -> int:
    (one,) = lab.queued(test_code, **given)
    lab.answer(one, lab.body(one, value=value))
    return one


def boxes(page: Page) -> list[str]:
    return [one.attributes["value"] for one in page.of("input", name="chosen")]


def samples(page: Page) -> list[str]:
    return [one.text for one in page.of("a") if one.attributes.get("href", "").startswith("/assignments/")]


def test_the_queue_has_value_flag_range_previous_and_change_side_by_side(lab: Lab, vera: Desk) -> None:
    earlier = analysed(lab, "12.0", sample_id="S-0")
    with tenant_session(lab.tenant_id) as session:
        session.execute(text(f"UPDATE assignment SET status = 'V' WHERE id = {earlier}"))
    analysed(lab, "15.0", sample_id="S-1")
    page = vera.get("/verification")
    for said in ("15.0 g/dL", "Normal", "12.0–16.0", "12.0 g/dL", "+3.0 g/dL (+25 %)", "1 of 2", "Ade, Bola"):
        assert said in page.text.replace("+25.0 %", "+25 %"), said
    assert len(audited(lab.tenant_id, "patient.read")) == 1


def test_critical_ones_come_first_and_are_told_by_more_than_colour(lab: Lab, vera: Desk) -> None:
    analysed(lab, "13.0", sample_id="S-1", priority="stat")
    analysed(lab, "5.0", sample_id="S-2")
    page = vera.get("/verification")
    assert samples(page) == ["S-2", "S-1"]
    assert "↓↓ Critical low" in page.text


def test_many_at_once_with_an_outcome_for_each_and_a_stale_one_refused(lab: Lab, vera: Desk) -> None:
    one, two = analysed(lab, sample_id="S-1"), analysed(lab, "12.1", "LAB-WBC", sample_id="S-2")
    stale = analysed(lab, sample_id="S-3")
    chosen = boxes(vera.get("/verification"))
    assert set(chosen) == {f"{one}:2", f"{two}:2", f"{stale}:2"}
    with tenant_session(lab.tenant_id) as session:
        session.execute(text(f"UPDATE assignment SET version = version + 1 WHERE id = {stale}"))
    page = vera.post("/verification/verify", {"chosen": chosen, "note": "plausible"})
    assert page.status == 200
    assert "2 verified, 1 refused" in page.text
    assert "S-1 Haemoglobin: this level is done, the next needs another person" in page.text
    assert "S-2 Leucocytes: verified, ready for release" in page.text
    assert "S-3 Haemoglobin: refused, assignment 3 was changed since it was read" in page.text
    assert page.text.index("S-3 Haemoglobin: refused") < page.text.index("S-1 Haemoglobin: this level")
    assert "Refused: assignment 3 was changed" in page.text  # and in its row, whose box has the present version
    assert f"{stale}:3" in boxes(page)
    assert [lab.assignment(number).status for number in (one, two, stale)] == ["A", "V", "A"]


def test_only_stale_rows_are_a_conflict_and_no_row_a_hint(lab: Lab, vera: Desk) -> None:
    one = analysed(lab)
    page = vera.post("/verification/verify", {"chosen": f"{one}:1"})
    assert page.status == 409
    assert "0 verified, 1 refused" in page.text
    assert "Nothing chosen" in vera.post("/verification/verify").text
    for wrong in ("1", "1:x", "1:2:3", ":"):
        assert vera.post("/verification/verify", {"chosen": wrong}).status == 422


def test_what_one_has_entered_or_verified_has_no_box_and_says_why(lab: Lab, vera: Desk, boss: Desk) -> None:
    one = analysed(lab)
    (entered,) = lab.order()
    boss.post(f"/assignments/{entered}/result", {"value": "13", "unit": "g/dL", "version": 1})
    vera.post("/verification/verify", {"chosen": f"{one}:2"})
    assert boxes(vera.get("/verification")) == [f"{entered}:2"]
    assert "you verified it already" in vera.get("/verification").text
    assert boxes(boss.get("/verification")) == [f"{one}:3"]
    assert "you entered the value" in boss.get("/verification").text


def test_releasing_many_at_once(lab: Lab, vera: Desk, wishes: list[Any]) -> None:
    one, two = analysed(lab, test_code="LAB-WBC"), analysed(lab, test_code="LAB-WBC")
    vera.post("/verification/verify", {"chosen": [f"{one}:2", f"{two}:2"]})
    page = vera.get("/verification?show=release")
    assert sorted(boxes(page)) == [f"{one}:3", f"{two}:3"]
    page = vera.post("/verification/release", {"chosen": [f"{one}:3", f"{two}:2"]})
    assert "1 released, 1 refused" in page.text
    assert (lab.assignment(one).status, lab.assignment(two).status) == ("R", "V")
    assert wishes == [("deliver-messages", [])]
    assert "To release1" in vera.get("/verification").text


def held(lab: Lab, **changed: Any) -> tuple[int, int]:
    (one,) = lab.queued()
    lab.answer(one, lab.body(one, **changed))
    return one, lab.held(one)[-1].id


def test_held_results_are_listed_with_the_reason_in_plain_words(lab: Lab, boss: Desk) -> None:
    held(lab, patientId="PAT-OTHER", qualityControl="Failed")
    page = boss.get("/held")
    assert "Another patient" in page.text
    assert "Quality control not passed" in page.text
    assert "Waiting1" in page.text


def test_a_held_result_is_shown_beside_what_was_expected(lab: Lab, boss: Desk) -> None:
    one, number = held(lab, patientId="PAT-OTHER", unit="g/L")
    page = boss.get(f"/held/{number}")
    wrong = [row.text for row in page.of("tr", class_="is-wrong")]
    assert len(wrong) == 2
    assert "PAT-001" in wrong[0]
    assert "PAT-OTHER" in wrong[0]
    assert "g/L" in wrong[1]
    assert '"patientId": "PAT-OTHER"' in page.of("pre")[0].text
    assert f"/assignments/{one}" in page.source


def test_each_decision(lab: Lab, boss: Desk, wishes: list[Any]) -> None:
    for action, status, extra in (
        ("release", "A", {}),
        ("correct", "A", {"value": "13.9", "unit": "g/dL"}),
        ("refetch", "Q", {"value": "typed and then not wanted"}),
        ("discard", "P", {}),
    ):
        one, number = held(lab, qualityControl="Failed")
        form = {"action": action, "reason": "looked at it"} | extra
        assert boss.post(f"/held/{number}/resolve", form).place == "/held", action
        assert (action, lab.assignment(one).status) == (action, status)
    assert [flow for flow, _ in wishes] == ["poll-results", "submit-assignments"]
    page = boss.get("/held?which=decided")
    assert "“looked at it”" in page.text
    assert "Decided4" in page.text


def test_a_decision_needs_a_reason_and_a_value_that_fits_and_keeps_what_was_typed(lab: Lab, boss: Desk) -> None:
    _, number = held(lab, qualityControl="Failed")
    page = boss.post(f"/held/{number}/resolve", {"action": "correct", "value": "99", "unit": "g/dL", "reason": "seen"})
    assert page.status == 422
    assert "above the plausible limit" in page.of("p", id="decide-value-error")[0].text
    assert (page.value("value"), page.value("reason")) == ("99", "seen")
    assert page.of("input", id="decide-correct")[0].attributes.keys() >= {"checked"}
    page = boss.post(f"/held/{number}/resolve", {"action": "release"})
    assert page.status == 422
    assert page.of("p", id="decide-reason-error")
    page = boss.post(f"/held/{number}/resolve", {"reason": "no choice"})
    assert page.status == 422


def test_somebody_else_was_faster(lab: Lab, boss: Desk) -> None:
    _, number = held(lab, qualityControl="Failed")
    form = {"action": "release", "reason": "looked at it"}
    assert boss.post(f"/held/{number}/resolve", form).status == 303
    page = boss.post(f"/held/{number}/resolve", form)
    assert page.status == 409
    assert "is released already" in page.text
    assert "Decided: let through as it is" in page.text


def test_what_cannot_be_read_can_be_corrected_but_not_let_through(lab: Lab, boss: Desk) -> None:
    (one,) = lab.queued()
    lab.answer(one, b'{"id": 1, "sta\xff')
    number = lab.held(one)[0].id
    page = boss.get(f"/held/{number}")
    assert "The answer cannot be read" in page.text
    assert "sta\\xff" in page.of("pre")[0].text
    assert "disabled" in page.of("input", id="decide-release")[0].attributes
    assert "not possible: it has no value that can be read" in page.text


def test_a_result_that_fits_no_test_is_matched_or_discarded(lab: Lab, boss: Desk) -> None:
    with tenant_session(lab.tenant_id) as session:
        body = b'{"id": "X-9", "status": "completed", "patientId": "PAT-001", "value": "1"}'
        accept_pushed(session, lab.tenant_id, SYSTEM, lab.equipment_id, body, now=utc_now())
        session.execute(text("UPDATE instrument_message SET received_at = now() - interval '1 hour'"))
        match_pushed(session, lab.tenant_id, now=utc_now())
    number = lab.held(None)[0].id
    (one,) = lab.order()
    assert "Belongs to no test that was ordered" in boss.get("/held").text
    page = boss.post(f"/held/{number}/match", {"assignment_id": "x", "reason": "by its label"})
    assert page.status == 422
    assert page.of("p", id="match-assignment_id-error")
    assert boss.post(f"/held/{number}/match", {"assignment_id": one, "reason": "by its label"}).status == 303
    assert "Decided1" in boss.get("/held").text


def test_a_technician_sees_what_is_held_and_cannot_decide(lab: Lab) -> None:
    _, number = held(lab, qualityControl="Failed")
    tech = sit_down(lab, "tech", "technician")
    assert "A supervisor decides" in tech.get(f"/held/{number}").text
    assert tech.post(f"/held/{number}/resolve", {"action": "release", "reason": "mine"}).status == 403


def test_stale_ones_are_noted_and_stay_visible(lab: Lab) -> None:
    tech = sit_down(lab, "tech", "technician")
    one, two = lab.order(sample_id="S-1") + lab.order(sample_id="S-2")
    with tenant_session(lab.tenant_id) as session:
        session.execute(text("UPDATE assignment SET ordered_at = now() - interval '25 hours'"))
    assert boxes(tech.get("/stale")) == [str(one), str(two)]
    assert tech.post("/stale/acknowledge", {"chosen": one}).place == "/stale"
    page = tech.get("/stale")
    assert boxes(page) == [str(two)]
    assert samples(page) == ["S-2", "S-1"]
    assert "1 noted." in page.text
    assert "Nothing chosen" in tech.post("/stale/acknowledge").text
