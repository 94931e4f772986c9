"""The set-up at the pages: complaints beside their fields with what was typed, and what each step reaches."""

import pytest

from models.alerts.stores.limits import in_force
from models.kernel.tenancy import tenant_session
from tests.alerts.conftest import Clinic
from tests.alerts.desk import sit_down
from tests.api.helpers import audited, make_user
from tests.conftest import Database
from tests.factories import make_tenant
from tests.instruments.desk import Desk, Page

pytestmark = pytest.mark.api
USUAL = {
    "version": "0",
    "question_minutes": "5",
    "minutes_0": "0",
    "roles_0": ["doctor", "nurse"],
    "minutes_1": "10",
    "roles_1": "emergency",
}


@pytest.fixture
def boss(clinic: Clinic) -> Desk:
    return sit_down(clinic, "boss", "supervisor", "administrator", "doctor")


def complaint(page: Page, field: str) -> str:
    """What stands beside a field, found as a screen reader finds it."""
    (one,) = [one for one in page.elements if one.attributes.get("id") == field]
    texts = {one.attributes.get("id"): one.text for one in page.elements}
    return " ".join(texts[name].strip() for name in one.attributes.get("aria-describedby", "").split())


def limits_of(clinic: Clinic, kind: str, patient_id: int | None = None) -> tuple[str, str, bool]:
    with tenant_session(clinic.tenant_id) as session:
        (one,) = (row.limits for row in in_force(session, clinic.tenant_id, patient_id) if row.limits.kind == kind)
        return str(one.warning), str(one.critical), one.is_on


def test_the_ladder_is_changed_and_the_next_alert_follows_it(clinic: Clinic, boss: Desk) -> None:
    page = boss.get("/alerts/setup")
    assert "usual" in page.text
    given = USUAL | {"question_minutes": "2", "roles_0": "nurse", "minutes_2": "30", "roles_2": ["doctor", "emergency"]}
    assert boss.post("/alerts/setup/ladder", given | {"critical_skips_question": "true"}).status == 303
    page = boss.get("/alerts/setup")
    for said in (
        "has 2 minutes",
        "At a critical level nobody waits",
        "After 30 minutes",
        "Emergency (emergency@clinic",
    ):
        assert said in page.text
    clinic.reads(heart_rate=150)
    assert clinic.told() == ["nurse"]
    assert boss.post("/alerts/setup/ladder", USUAL | {"version": "1", "minutes_1": "", "roles_1": []}).status == 303
    assert [row.ladder for row in clinic.rows("SELECT ladder FROM alert_policy")] == [
        [{"after_minutes": 0, "roles": ["doctor", "nurse"]}]
    ]


@pytest.mark.parametrize(
    ("changed", "field", "said"),
    [
        ({"question_minutes": ""}, "ladder-question_minutes", "Is needed"),
        ({"question_minutes": "soon"}, "ladder-question_minutes", "whole number of minutes from 1 to 240"),
        ({"minutes_1": "2000"}, "ladder-minutes_1", "whole number of minutes from 0 to 1440"),
        ({"minutes_3": "", "roles_3": "doctor"}, "ladder-minutes_3", "Is needed"),
        ({"minutes_1": "10", "roles_1": []}, "ladder-doctor_1", "Choose who is told"),
    ],
)
def test_a_refused_ladder_says_why_beside_the_field_and_keeps_the_rest(
    clinic: Clinic, boss: Desk, changed: dict[str, str], field: str, said: str
) -> None:
    page = boss.post("/alerts/setup/ladder", USUAL | {"minutes_2": "77", "roles_2": "nurse"} | changed)
    assert page.status == 422
    assert said in complaint(page, field)
    kept = {"minutes_2": "77"} | {name: value for name, value in changed.items() if not name.startswith("roles")}
    assert {name: page.value(name) for name in kept} == kept
    assert clinic.rows("SELECT 1 FROM alert_policy") == []


def test_the_order_of_the_steps_is_refused_beside_them(boss: Desk) -> None:
    page = boss.post("/alerts/setup/ladder", USUAL | {"minutes_1": "30", "minutes_2": "20", "roles_2": "nurse"})
    (said,) = [one.text for one in page.elements if one.attributes.get("id") == "ladder-steps-error"]
    assert (page.status, "Step 3 would come before step 2" in said) == (422, True)
    assert "Give at least one step" in boss.post("/alerts/setup/ladder", {"version": "0", "question_minutes": "5"}).text
    late = boss.post("/alerts/setup/ladder", USUAL | {"minutes_0": "3"})
    assert "its minutes are 0" in late.text


def test_a_ladder_somebody_else_changed_meanwhile_is_shown_and_not_overwritten(clinic: Clinic, boss: Desk) -> None:
    other = sit_down(clinic, "ada", "administrator")
    assert other.post("/alerts/setup/ladder", USUAL | {"question_minutes": "9"}).status == 303
    mine = USUAL | {"minutes_1": "15"}
    page = boss.post("/alerts/setup/ladder", mine)
    assert page.status == 409
    for said in ("Changed by somebody else", "ada@", "Minutes the patient has to answer"):
        assert said in page.text
    assert (page.value("question_minutes"), page.value("minutes_1"), page.value("version")) == ("9", "15", "1")
    assert clinic.rows("SELECT question_minutes, version FROM alert_policy")[0] == (9, 1)
    again = mine | {"question_minutes": "9", "version": "1"}
    assert boss.post("/alerts/setup/ladder", again).status == 303
    [_, row] = audited(clinic.tenant_id, "alert_policy.set")
    assert (row.changes["version"], "question_minutes" in row.changes) == ([1, 2], False)


def test_a_step_that_reaches_nobody_is_marked(database: Database) -> None:
    clinic = Clinic(make_tenant("alone"))
    boss = sit_down(clinic, "boss", "administrator")
    page = boss.get("/alerts/setup")
    assert (page.source.count("Reaches nobody"), "Nobody at all is told" in page.text) == (2, True)
    make_user(clinic.tenant_id, "dr@clinic.example", "doctor")
    page = boss.get("/alerts/setup")  # a doctor who can sign in is told where no doctor is a contact
    assert (page.source.count("Reaches nobody"), "Dr (dr@clinic.example)" in page.text) == (1, True)
    assert "A step reaches nobody" in page.text
    clinic.contacts("emergency")
    page = boss.get("/alerts/setup")
    assert ("reaches nobody" in page.source.lower(), "Nurse: nobody" in page.text) == (False, True)
    steps = boss.browser.get("/api/v1/alerts/reach").json()
    assert [(step["is_anybody"], step["told"].get("doctor")) for step in steps] == [
        (True, [{"name": "Dr", "address": "dr@clinic.example"}]),
        (True, None),
    ]


def test_contacts_are_added_tried_and_removed(clinic: Clinic, boss: Desk, no_runs: list[str]) -> None:
    form = {"role": "nurse", "name": "Night desk", "address": "night@"}
    page = boss.post("/alerts/setup/contacts", form)
    assert (page.status, page.value("name"), page.value("address")) == (422, "Night desk", "night@")
    assert "Is not an e-mail address" in complaint(page, "contact-address")
    assert "Is needed" in complaint(boss.post("/alerts/setup/contacts", {"name": "X"}), "contact-role")
    assert boss.post("/alerts/setup/contacts", form | {"address": "night@clinic.example"}).status == 303
    doubled = boss.post("/alerts/setup/contacts", form | {"address": "night@clinic.example"})
    assert (doubled.status, "already" in complaint(doubled, "contact-address")) == (409, True)
    contact = clinic.rows("SELECT max(id) AS id FROM alert_contact")[0].id
    assert boss.post(f"/alerts/setup/contacts/{contact}/try").status == 303
    [mail] = [row.payload for row in clinic.rows("SELECT payload FROM outbox_event")]
    assert (mail["template"], mail["to"], no_runs) == ("alert_contact", ["night@clinic.example"], ["deliver-messages"])
    assert "test mail on its way" in boss.get("/alerts/setup").text
    clinic.rows("UPDATE delivery SET state = 'dead' RETURNING id")
    assert "test mail refused" in boss.get("/alerts/setup").text
    assert boss.post(f"/alerts/setup/contacts/{contact}/remove").status == 303
    assert "Night desk" not in boss.get("/alerts/setup").source
    assert boss.post(f"/alerts/setup/contacts/{contact}/remove").status == 404


def test_the_laboratorys_limits_are_changed_turned_off_and_taken_back(clinic: Clinic, boss: Desk) -> None:
    page = boss.get("/alerts/limits")
    for said in ("over 110", "under 94", "RCP, NEWS2 2017", "not alert"):
        assert said in page.text
    address = "/alerts/limits/heart_rate_high"
    form = {"version": "0", "warning": "100", "critical": "", "margin": "", "is_on": "true"}
    crossed = boss.post(address, form | {"warning": "", "critical": "90"})
    assert "critical limit lies before" in complaint(crossed, "limit-critical")
    assert (crossed.status, crossed.value("critical")) == (422, "90")
    wrong = boss.post(address, form | {"warning": "high"})
    assert (wrong.status, "decimal" in complaint(wrong, "limit-warning"), wrong.value("warning")) == (422, True, "high")
    assert boss.post(address, form).status == 303
    page = boss.get("/alerts/limits")
    assert "over 100" in page.text
    assert "usually over 110" in page.text
    assert clinic.reads(heart_rate=105) == 1
    assert boss.post(address, {"version": "1"}).status == 303  # without the tick
    assert limits_of(clinic, "heart_rate_high") == ("110", "130", False)
    assert clinic.reads("P2", heart_rate=180) == 0
    assert boss.post(address, {"version": "2", "deed": "usual"}).status == 303
    assert limits_of(clinic, "heart_rate_high") == ("110", "130", True)
    assert boss.get("/alerts/limits/nothing").status == 404
    [removed] = audited(clinic.tenant_id, "alert_threshold.remove")
    assert removed.changes["kind"] == "heart_rate_high"


def test_a_patients_limits_go_before_the_laboratorys(clinic: Clinic, boss: Desk) -> None:
    patient_id = clinic.patient()
    assert boss.post("/alerts/limits/glucose_low", {"version": "0", "warning": "80", "is_on": "true"}).status == 303
    listed = f"/alerts/patients/{patient_id}/limits"
    assert "The laboratory's" in boss.get(listed).text
    form = boss.get(f"{listed}/glucose_low")
    assert (form.value("warning"), "The laboratory's: under 80" in form.text) == ("", True)
    assert boss.post(f"{listed}/glucose_low", {"version": "0", "warning": "60", "is_on": "true"}).status == 303
    assert limits_of(clinic, "glucose_low", patient_id) == ("60", "54", True)
    page = boss.get(listed)
    assert "otherwise under 80" in page.text
    assert "This patient's" in page.text
    assert boss.post(f"{listed}/glucose_low", {"version": "1", "deed": "usual"}).status == 303
    assert limits_of(clinic, "glucose_low", patient_id) == ("80", "54", True)
    assert {row.resource_id for row in audited(clinic.tenant_id, "patient.read")} == {str(patient_id)}


def test_a_limit_somebody_else_changed_meanwhile_is_shown_and_not_overwritten(clinic: Clinic, boss: Desk) -> None:
    other = sit_down(clinic, "dora", "doctor")
    address = "/alerts/limits/heart_rate_high"
    assert other.post(address, {"version": "0", "critical": "140", "is_on": "true"}).status == 303
    page = boss.post(address, {"version": "0", "warning": "115", "is_on": "true"})
    assert (page.status, page.value("warning"), page.value("critical"), page.value("version")) == (
        409,
        "115",
        "140",
        "1",
    )
    assert "dora@" in page.text
    assert limits_of(clinic, "heart_rate_high") == ("110", "140", True)
    assert boss.post(address, {"version": "0", "deed": "usual"}).status == 409
    stale = {"kind": "heart_rate_high", "warning": "115", "version": 0}
    answer = boss.browser.put("/api/v1/alerts/thresholds", json=stale, headers={"X-CSRF-Token": boss.token})
    assert answer.status_code == 409


def test_a_role_is_told_once_a_step(clinic: Clinic, boss: Desk) -> None:
    twice = {"version": 0, "ladder": [{"after_minutes": 0, "roles": ["nurse", "nurse"]}], "question_minutes": 5}
    answer = boss.browser.put(
        "/api/v1/alerts/policy",
        json=twice | {"critical_skips_question": False},
        headers={"X-CSRF-Token": boss.token, "Accept": "application/json"},
    )
    assert (answer.status_code, answer.json()["fields"][0]["field"]) == (422, "ladder.0.roles")


def test_after_a_mistake_the_form_is_still_about_what_it_was_opened_with(clinic: Clinic, boss: Desk) -> None:
    ada = sit_down(clinic, "ada", "supervisor", "doctor")
    address = "/alerts/limits/heart_rate_high"
    opened = {"version": boss.get(address).value("version"), "warning": "130", "critical": "150", "is_on": "true"}
    assert ada.post(address, opened | {"critical": "145"}).status == 303
    mistaken = boss.post(address, opened | {"warning": "12o"})
    assert (mistaken.status, mistaken.value("version")) == (422, opened["version"])
    late = boss.post(address, opened | {"version": mistaken.value("version")})
    assert late.status == 409
    assert "ada@" in late.text
    assert limits_of(clinic, "heart_rate_high")[1] == "145"
    assert boss.post(address, opened | {"version": late.value("version")}).status == 303
