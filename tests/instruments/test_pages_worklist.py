"""The work list and the order form, as a browser without scripts and htmx use them."""

import re
from typing import Any

import pytest
from sqlalchemy import text

from models.kernel.tenancy import tenant_session
from tests.api.helpers import audited
from tests.instruments.desk import Desk, sit_down
from tests.instruments.helpers import Lab

pytestmark = [pytest.mark.api, pytest.mark.usefixtures("wishes")]
HTMX = {"HX-Request": "true", "Accept": "*/*"}
"""What htmx really sends."""


@pytest.fixture
def desk(lab: Lab) -> Desk:
    return sit_down(lab, "tech", "technician")


def run(lab: Lab, statement: str) -> None:
    with tenant_session(lab.tenant_id) as session:
        session.execute(text(statement))


def rows(desk: Desk, address: str) -> list[str]:
    """The samples of the rows, in order."""
    return [one.text for one in desk.get(address).of("a", class_="worklist__open")]


def test_stat_is_on_top_and_done_work_is_not_shown(lab: Lab, desk: Desk) -> None:
    for sample, priority in (("S-1", "routine"), ("S-2", "stat"), ("S-3", "urgent")):
        lab.order(sample_id=sample, priority=priority)
    (gone,) = lab.order(sample_id="S-4")
    run(lab, f"UPDATE assignment SET status = 'C' WHERE id = {gone}")
    assert rows(desk, "/worklist") == ["S-2", "S-3", "S-1"]
    assert rows(desk, "/worklist?state=C") == ["S-4"]
    page = desk.get("/worklist?state=all")
    assert [one.text for one in page.of("b")][:2] == ["3", "3"]  # open, pending
    assert "Cancelled 1" in page.text


def test_each_filter_narrows_the_list_and_the_counts(lab: Lab, desk: Desk) -> None:
    lab.order(sample_id="A-1", priority="stat")
    lab.queued(sample_id="A-2")
    lab.order("LAB-NOTE", sample_id="B-1")
    run(lab, "UPDATE assignment SET ordered_at = now() - interval '30 hours' WHERE sample_id = 'B-1'")
    run(lab, "UPDATE equipment SET supports_auto_fetch = false")
    run(lab, "UPDATE assignment SET queued_at = now() - interval '21 hours' WHERE sample_id = 'A-2'")
    for query, samples in {
        "search=a-": ["A-1", "A-2"],
        "search=PAT-001&state=Q": ["A-2"],
        "priority=stat": ["A-1"],
        f"instrument={lab.equipment_id}": ["A-1", "A-2"],
        "test=LAB-NOTE": ["B-1"],
        "mark=stale": ["B-1"],
        "mark=expiring": ["A-2"],
        "state=P&state=Q&priority=routine": ["B-1", "A-2"],
    }.items():
        assert (query, rows(desk, f"/worklist?{query}")) == (query, samples)
    page = desk.get("/worklist")
    assert "Over 24 h" in page.text
    assert "Fetch now" in page.text
    assert "no instrument is assigned" in page.text  # and no button to send it
    assert "Pending 1" in desk.get("/worklist?test=LAB-NOTE").text


def test_pages_of_fifty(lab: Lab, desk: Desk) -> None:
    lab.order(count=51)
    assert len(rows(desk, "/worklist")) == 50
    assert len(rows(desk, "/worklist?page=2")) == 1
    assert "1–50 of 51" in desk.get("/worklist").text


def test_a_scanned_code_opens_the_one_or_lists_the_several(lab: Lab, desk: Desk) -> None:
    (one,) = lab.order(sample_id="S-1")
    lab.order(sample_id="S-2", count=2)
    for code in ("S-1", f" {one} ", f"REQ-{one}"):
        assert desk.get(f"/worklist/scan?code={code}").place == f"/assignments/{one}"
    assert desk.get("/worklist/scan?code=S-2").place == "/worklist?state=all&search=S-2"
    assert desk.get("/worklist/scan?code=S-9").place == "/worklist"
    assert "Nothing here has this code" in desk.get("/worklist").text


def test_sending_and_fetching_from_the_list(lab: Lab, desk: Desk, wishes: list[Any]) -> None:
    (one,) = lab.order()
    (two,) = lab.queued()
    assert desk.post("/worklist/send", {"only": one, "chosen": two, "state": "P"}).place == "/worklist?state=P"
    assert wishes == [("submit-assignments", [one])]
    assert f"Assignment {one} handed over" in desk.get("/worklist").text
    assert desk.post("/worklist/fetch", {"only": two}).status == 303
    assert wishes[1:] == [("poll-results", [two])]
    assert lab.audited(one)[-1] == "assignment.send"


def test_many_at_once_say_of_each_why_not(lab: Lab, desk: Desk, wishes: list[Any]) -> None:
    good = lab.order(count=2)
    (queued,) = lab.queued()
    page = desk.post("/worklist/send", {"chosen": [*good, queued]}, headers=HTMX)
    assert page.status == 200
    assert "2 assignments handed over" in page.source
    assert f"{queued}: cannot send assignment {queued} to an instrument: the assignment is queued, not pending" in (
        page.source
    )
    assert wishes == [("submit-assignments", good)]
    run(lab, "UPDATE equipment SET status = 'inactive'")
    page = desk.post("/worklist/send", {"only": good[0]}, headers=HTMX)
    assert "the instrument is inactive" in page.source
    assert len(wishes) == 1
    assert "Nothing chosen" in desk.post("/worklist/send", {}, headers=HTMX).source


def test_the_table_asks_for_itself_and_is_sent_only_when_it_changed(lab: Lab, desk: Desk) -> None:
    (one,) = lab.order()
    page = desk.get("/worklist?state=P")
    address = page.of("section", id="worklist")[0].attributes["hx-get"]
    assert desk.get(address, **HTMX).status == 204
    run(lab, f"UPDATE assignment SET version = version + 1, priority = 'stat' WHERE id = {one}")
    changed = desk.get(address, **HTMX)
    assert changed.status == 200
    assert "STAT" in changed.source
    assert "<html" not in changed.source
    again = re.search(r'hx-get="(/worklist/rows[^"]+)"', changed.source)
    assert again
    assert again[1] != address.replace("&", "&amp;")


def test_names_and_codes_that_change_bring_a_new_table(lab: Lab, desk: Desk) -> None:
    lab.order()
    for change in (
        "UPDATE patient SET code = 'PAT-CORRECTED'",
        "UPDATE equipment SET name = 'Renamed analyser'",
        "UPDATE test_definition SET name = 'Renamed test'",
    ):
        address = desk.get("/worklist").of("section", id="worklist")[0].attributes["hx-get"]
        assert desk.get(address, **HTMX).status == 204
        run(lab, change)
        answer = desk.get(address, **HTMX)
        assert (change, answer.status) == (change, 200)
        assert change.split("'")[1] in answer.source


def test_a_form_wishes_for_a_new_table_instead_of_bringing_one(lab: Lab, desk: Desk) -> None:
    (one,) = lab.order()
    data = {"csrf_token": desk.token, "only": one}
    answer = desk.browser.post("/worklist/send", data=data, headers=HTMX)
    assert answer.headers["hx-trigger-after-swap"] == "renew"
    assert "<table" not in answer.text


def test_a_doctor_sees_no_flag_before_release_and_no_button(lab: Lab) -> None:
    (one,) = lab.queued()
    lab.answer(one, lab.body(one, value="5.1"))
    assert "Critical low" in sit_down(lab, "tech", "technician").get("/worklist").text
    page = sit_down(lab, "doc", "doctor").get("/worklist")
    assert "Critical low" not in page.source
    assert page.of("button", id="bulk-send") == []


def order_form(desk: Desk, **changed: str) -> dict[str, str]:
    page = desk.get("/assignments/new")
    values = {"what": "test:LAB-HGB", "sample_id": "S-1", "priority": "stat", "form_key": page.value("form_key")}
    return values | changed


def test_an_order_is_made_once_however_often_the_button_is_pressed(lab: Lab, desk: Desk, wishes: list[Any]) -> None:
    form = order_form(desk, patient_id=str(lab.patient_id))
    made = {desk.post("/assignments/new", form).place for _ in range(3)}
    assert len(made) == 1
    (place,) = made
    one = int(place.rpartition("/")[2])
    assert (lab.assignment(one).priority, lab.assignment(one).sample_id) == ("stat", "S-1")
    assert rows(desk, "/worklist") == ["S-1"]
    assert ("submit-assignments", [one]) in wishes
    page = desk.post("/assignments/new", form | {"sample_id": "S-2"})
    assert page.status == 409
    assert "used for another order before" in page.text
    assert page.value("sample_id") == "S-2"
    assert desk.post("/assignments/new", form | {"sample_id": "S-2", "form_key": page.value("form_key")}).status == 303


def test_a_panel_becomes_one_assignment_for_each_test(lab: Lab, desk: Desk) -> None:
    form = order_form(desk, patient_id=str(lab.patient_id), what="panel:CBC")
    assert desk.post("/assignments/new", form).place == "/worklist?search=S-1"
    assert len(rows(desk, "/worklist")) == 2


def test_a_wrong_order_says_what_is_wrong_beside_the_field_and_keeps_the_rest(lab: Lab, desk: Desk) -> None:
    page = desk.post("/assignments/new", order_form(desk, what="", sample_id="", patient_text="Ade"))
    assert page.status == 422
    assert "Choose a patient" in page.text
    assert "Choose a test or a panel" in page.text
    assert page.of("input", id="order-sample_id")[0].attributes["aria-invalid"] == "true"
    assert page.value("patient_text") == "Ade"
    assert page.of("input", id="order-stat")[0].attributes.keys() >= {"checked"}
    assert rows(desk, "/worklist?state=all") == []


def test_patients_are_searched_in_the_body_and_the_reading_is_noted(lab: Lab, desk: Desk) -> None:
    found = desk.post("/assignments/new/patients", {"patient_text": "bola"}, headers=HTMX)
    assert "Ade, Bola" in found.text or "Ade, Bola" in found.source
    assert [row.resource_id for row in audited(lab.tenant_id, "patient.read")] == [str(lab.patient_id)]
    assert "Nobody fits" in desk.post("/assignments/new/patients", {"patient_text": "nobody"}, headers=HTMX).source
    whole = desk.post("/assignments/new", {"search": "1", "patient_text": "bola", "sample_id": "S-7"})
    assert whole.status == 200
    assert whole.value("sample_id") == "S-7"
    assert len(whole.of("input", name="patient_id")) == 1
