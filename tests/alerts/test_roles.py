"""Who may read, acknowledge and close alerts, and set the ladder and the limits: at the API and at the pages."""

from typing import Any

import pytest
from fastapi.routing import iter_route_contexts

from models.kernel.clock import utc_now
from tests.alerts.conftest import Clinic
from tests.alerts.desk import EVERY_ROLE, sit_down
from tests.api.helpers import app, audited, client, make_token, make_user, signed_in, with_token

pytestmark = pytest.mark.api
CLINICAL = set(EVERY_ROLE) - {"administrator"}
TAKERS, DECIDERS, KEEPERS = {"doctor", "nurse", "supervisor"}, {"doctor", "supervisor"}, {"supervisor", "administrator"}
LADDER = {"version": 0, "ladder": [{"after_minutes": 0, "roles": ["nurse"]}], "question_minutes": 5}
CONTACT = {"role": "nurse", "name": "Night desk", "address": "night@clinic.example"}
LIMIT = "/alerts/thresholds/heart_rate_high"
STEPS: tuple[tuple[str, str, Any, int, set[str], str], ...] = (
    ("GET", "/alerts", None, 200, CLINICAL, "patients:read"),
    ("GET", "/alerts/{alert_id}", None, 200, CLINICAL, "patients:read"),
    ("POST", "/alerts/{alert_id}/acknowledge", {"version": 1, "read_back": "I go"}, 200, TAKERS, "patients:write"),
    ("POST", "/alerts/{alert_id}/close", {"version": 1, "reason": "done"}, 200, DECIDERS, "patients:write"),
    ("GET", "/alerts/policy", None, 200, set(EVERY_ROLE), "instruments:read"),
    ("PUT", "/alerts/policy", LADDER | {"critical_skips_question": True}, 200, KEEPERS, "instruments:write"),
    ("GET", "/alerts/reach", None, 200, set(EVERY_ROLE), "instruments:read"),
    ("GET", "/alerts/contacts", None, 200, set(EVERY_ROLE), "instruments:read"),
    ("POST", "/alerts/contacts", CONTACT, 201, KEEPERS, "instruments:write"),
    ("POST", "/alerts/contacts/{contact_id}/try", None, 202, KEEPERS, "instruments:write"),
    ("DELETE", "/alerts/contacts/{contact_id}", None, 204, KEEPERS, "instruments:write"),
    ("GET", "/alerts/thresholds", None, 200, CLINICAL, "patients:read"),
    ("PUT", "/alerts/thresholds", {"kind": "heart_rate_high", "warning": "120"}, 200, DECIDERS, "patients:write"),
    ("DELETE", LIMIT, None, 204, DECIDERS, "patients:write"),
)
PAGES: dict[str, set[str]] = {
    "/alerts": CLINICAL,
    "/alerts/{alert_id}": CLINICAL,
    "/alerts/setup": set(EVERY_ROLE),
    "/alerts/limits": CLINICAL,
    "/alerts/limits/{kind}": DECIDERS,
    "/alerts/patients/{patient_id}/limits": CLINICAL,
    "/alerts/patients/{patient_id}/limits/{kind}": DECIDERS,
}
FORMS: dict[str, tuple[set[str], dict[str, str]]] = {
    "/alerts/{alert_id}/acknowledge": (TAKERS, {"version": "1", "read_back": "I go"}),
    "/alerts/{alert_id}/close": (DECIDERS, {"version": "1", "reason": "done"}),
    "/alerts/setup/ladder": (
        KEEPERS,
        {"version": "0", "question_minutes": "5", "minutes_0": "0", "roles_0": "nurse"},
    ),
    "/alerts/setup/contacts": (KEEPERS, CONTACT),
    "/alerts/setup/contacts/{contact_id}/try": (KEEPERS, {}),
    "/alerts/setup/contacts/{contact_id}/remove": (KEEPERS, {}),
    "/alerts/limits/{kind}": (DECIDERS, {"version": "0", "warning": "120", "is_on": "true"}),
    "/alerts/patients/{patient_id}/limits/{kind}": (DECIDERS, {"version": "0", "warning": "120", "is_on": "true"}),
}
WITHOUT_SIGNING_IN = {("GET", "/alerts/question/{token}"), ("POST", "/alerts/question/{token}")}


@pytest.fixture
def numbers(clinic: Clinic) -> dict[str, Any]:
    """What stands in addresses: an alert, a contact, a patient and a kind."""
    clinic.now = utc_now()
    clinic.reads(heart_rate=153)
    contact = clinic.rows("SELECT max(id) AS id FROM alert_contact")[0].id
    return {"alert_id": 1, "contact_id": contact, "patient_id": clinic.patient(), "kind": "heart_rate_high"}


def served(is_api: bool) -> set[tuple[str, str]]:
    """Method and address of everything about alerts."""
    found = set()
    for route in iter_route_contexts(app().routes):
        module, path = getattr(route.endpoint, "__module__", ""), str(route.path)
        if module.startswith("api.alerts") and path.startswith("/api/") is is_api:
            found |= {(method, path.removeprefix("/api/v1")) for method in route.methods or ()}
    return found


def test_the_tables_name_everything_that_is_served() -> None:
    told = {(method, "/alerts/thresholds/{kind}" if path == LIMIT else path) for method, path, *_ in STEPS}
    assert served(is_api=True) == told
    pages = {("GET", path) for path in PAGES} | {("POST", path) for path in FORMS}
    assert served(is_api=False) == pages | WITHOUT_SIGNING_IN


@pytest.mark.parametrize("role", EVERY_ROLE)
@pytest.mark.usefixtures("no_runs")
def test_each_role_at_the_api(clinic: Clinic, numbers: dict[str, Any], role: str) -> None:
    make_user(clinic.tenant_id, "one@clinic.example", role)
    one = signed_in("one@clinic.example")
    is_changed = False
    for method, path, body, status, allowed, _ in STEPS:
        # Taking an alert changes its version, and what one role may do must not hide what the next step answers.
        sent = body | {"version": 2} if is_changed and path.endswith("/close") else body
        answer = one.request(method, f"/api/v1{path}".format(**numbers), json=sent)
        assert (role, method, path, answer.status_code) == (role, method, path, status if role in allowed else 403)
        is_changed |= path.endswith("/acknowledge") and answer.status_code == 200
    assert len(audited(clinic.tenant_id, "access.refused")) == sum(role not in step[4] for step in STEPS)


@pytest.mark.usefixtures("no_runs")
def test_a_token_needs_the_scope_of_each_route(clinic: Clinic, numbers: dict[str, Any]) -> None:
    boss = make_user(clinic.tenant_id, "boss@clinic.example", "supervisor", "administrator", "doctor")
    scopes = ("patients:read", "patients:write", "instruments:read", "instruments:write")
    for own in scopes:
        program = with_token(make_token(clinic.tenant_id, boss, own))
        for method, path, body, _, _, needed in STEPS:
            answer = program.request(method, f"/api/v1{path}".format(**numbers | {"alert_id": 99}), json=body)
            assert (own, path, answer.status_code == 403) == (own, path, own != needed)
    for method, path, body, *_ in STEPS:
        assert client().request(method, f"/api/v1{path}".format(**numbers), json=body).status_code == 401


@pytest.mark.parametrize("role", EVERY_ROLE)
@pytest.mark.usefixtures("no_runs")
def test_each_role_at_the_pages(clinic: Clinic, numbers: dict[str, Any], role: str) -> None:
    desk = sit_down(clinic, role, role)
    for path, allowed in PAGES.items():
        page = desk.get(path.format(**numbers))
        assert (role, path, page.status) == (role, path, 200 if role in allowed else 403)
    for path, (allowed, form) in FORMS.items():
        sent = form | {"version": "2"} if path.endswith("/close") else form
        page = desk.post(path.format(**numbers), sent)
        assert (role, path, page.status) == (role, path, 303 if role in allowed else 403)


def test_no_form_is_taken_without_its_token(clinic: Clinic, numbers: dict[str, Any]) -> None:
    desk = sit_down(clinic, "boss", "supervisor", "administrator", "doctor")
    for path, (_, form) in FORMS.items():
        answer = desk.browser.post(path.format(**numbers), data=form | {"csrf_token": "0" * 64})
        assert (path, answer.status_code) == (path, 403)
    assert clinic.story() == ["opened", "asked"]
    assert clinic.rows("SELECT 1 FROM alert_threshold UNION ALL SELECT 1 FROM alert_policy") == []


@pytest.mark.usefixtures("no_runs")
def test_another_clinics_rows_are_not_there(clinic: Clinic, numbers: dict[str, Any]) -> None:
    from tests.factories import make_tenant

    other = Clinic(make_tenant("other"))
    desk = sit_down(other, "boss", "supervisor", "administrator", "doctor")
    asked = 0
    for path in PAGES:
        if "_id}" in path:
            assert (path, desk.get(path.format(**numbers)).status) == (path, 404)
            asked += 1
    for path, (_, form) in FORMS.items():
        if "_id}" in path:
            assert (path, desk.post(path.format(**numbers), form).status) == (path, 404)
            asked += 1
    assert len(audited(other.tenant_id, "access.refused")) == asked
    assert clinic.story() == ["opened", "asked"]
    assert len(clinic.rows("SELECT 1 FROM alert_contact")) == 3


def test_a_nurse_takes_an_alert_over_and_cannot_close_it(clinic: Clinic, numbers: dict[str, Any]) -> None:
    desk = sit_down(clinic, "nora", "nurse")
    assert desk.get("/").place == "/alerts"
    assert "/alerts/1#take" in desk.get("/alerts").source
    page = desk.get("/alerts/1")
    assert [one.attributes["action"] for one in page.of("form", method="post")][-1:] == ["/alerts/1/acknowledge"]
    assert desk.post("/alerts/1/acknowledge", {"version": "1", "read_back": "153, I call her"}).status == 303
    assert clinic.later(hours=1).steps == 0  # nobody else is told
    assert "Nora" in desk.get("/alerts").source
    assert desk.get("/alerts/1").of("form", action="/alerts/1/close") == []


@pytest.mark.parametrize(
    ("role", "inside", "outside"),
    [("nurse", "/alerts", "/alerts/setup"), ("administrator", "/alerts/setup", "/alerts")],
)
def test_the_bar_leads_each_role_to_what_is_theirs(clinic: Clinic, role: str, inside: str, outside: str) -> None:
    desk = sit_down(clinic, role, role)
    page = desk.get("/account")
    bar = page.source.partition("bar__nav")[2].partition("</nav>")[0]
    assert f'href="{inside}"' in bar
    assert f'href="{outside}"' not in bar
    here = desk.get(inside).source.partition("bar__nav")[2].partition("</nav>")[0]
    assert here.count('aria-current="page"') == 1


def test_the_boards_head_leads_to_the_set_up(clinic: Clinic) -> None:
    desk = sit_down(clinic, "dora", "doctor")
    assert all(desk.get("/alerts").of("a", href=address) for address in ("/alerts/limits", "/alerts/setup"))


def test_who_cannot_acknowledge_is_not_offered_it(clinic: Clinic, numbers: dict[str, Any]) -> None:
    desk = sit_down(clinic, "tina", "technician")
    assert "#take" not in desk.get("/alerts").source
    assert desk.get("/alerts/1").of("form", action="/alerts/1/acknowledge") == []
