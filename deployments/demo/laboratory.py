"""The main job and what can go wrong with it: ordered, sent, fetched, checked, verified, released."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from deployments.demo.actors import Analysers, Person, signed_in
from deployments.demo.scenario import Hub, Outcome, ScenarioError

HAEMATOLOGY, CHEMISTRY, IMMUNOASSAY = range(3)
"""The simulated analysers, in the order of the demo's equipment."""
ANALYSIS_SECONDS = 30
CANCELLED_AT_MOST = 5
UNKNOWN_SECONDS = 20
"""An instrument's 10 s, and the start of the run that waits for them."""


class Steps:
    """Collects one row per step, with the time it took."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.rows: list[Outcome] = []

    @contextmanager
    def step(self, process: str, given: str) -> Iterator[dict[str, str]]:
        """One step: fill `outcome` and `link`; anything raised makes the row, and so the demo, wrong."""
        began, said = time.monotonic(), {"outcome": "", "link": ""}
        is_right = False
        try:
            yield said
            is_right = True
        except (ScenarioError, httpx.HTTPError, LookupError) as error:
            said["outcome"] = f"{type(error).__name__}: {error}"
            raise
        finally:
            seconds = time.monotonic() - began
            self.rows.append(Outcome(process, given, said["outcome"], said["link"], is_right, seconds))
            self.hub.tell(f"  {process:<20}{given:<28}{seconds:5.1f} s  {said['outcome']}")

    def run(self, flow: str, **parameters: Any) -> tuple[str, str]:
        """Run a deployment to its end: the state's message and a link; ScenarioError unless it completed.

        A run cancelled because its schedule is running just then is asked for again.
        """
        for _ in range(CANCELLED_AT_MOST):
            run = self.hub.run_deployment(f"{flow}/{flow}", **parameters)
            if run["state_type"] != "CANCELLED":
                break
        message = str((run["state"] or {}).get("message") or "")
        if run["state_type"] != "COMPLETED":
            raise ScenarioError(f"{flow} ended as {run['state_name']}: {message}")
        return message, self.hub.run_link(run)

    def page(self, path: str) -> str:
        """The address of a page."""
        return f"{self.hub.urls['pages']}{path}"


def main_job(hub: Hub) -> list[Outcome]:
    """The interface document's own example goes from order to the patient's mail."""
    steps = Steps(hub)
    with signed_in(hub, "technician", "verifier", "verifier2") as (technician, first, second):
        with steps.step("order", "PAT-001 LAB-CBC routine") as said:
            made = order(technician, patient_code="PAT-001", test_code="LAB-CBC", sample_id="SAMP-123")
            said |= {"outcome": f"{made['request_id']} pending", "link": steps.page(f"/assignments/{made['id']}")}
        with steps.step("submit-assignments", made["request_id"]) as said:
            said["outcome"], said["link"] = steps.run("submit-assignments", tenant="lagoon")
            expect(technician, made["id"], "Q", "I", "A")
        fetch(steps, technician, made)
        with steps.step("verify", "two levels, two people") as said:
            verify(first, made["id"], 200)
            verify(first, made["id"], 403)  # the second level is somebody else's
            verify(second, made["id"], 200)
            said["outcome"] = f"{expect(technician, made['id'], 'V')['request_id']} verified"
        with steps.step("release", made["request_id"]) as said:
            seen = technician.get(f"/assignments/{made['id']}")
            first.post(f"/assignments/{made['id']}/release", {"version": seen["version"]})
            value = expect(technician, made["id"], "R")["results"][0]
            said["outcome"] = f"released: {value['raw_value']} {value['unit']}"
            said["link"] = steps.page(f"/assignments/{made['id']}")
    with steps.step("deliver-messages", "the patient's report") as said:
        message, _ = steps.run("deliver-messages", tenant="lagoon")
        mails = httpx.get(f"{hub.urls['mailbox']}/messages.json", trust_env=False).raise_for_status().json()
        if not any("bisi@patients.example" in str(mail) for mail in mails):
            raise ScenarioError(f"the patient's mail has not arrived: {message}")
        said |= {"outcome": f"mail arrived; {message}", "link": hub.urls["mailbox"]}
    return steps.rows


def panel(hub: Hub) -> list[Outcome]:
    """A panel becomes one assignment per test, and all of them come back."""
    steps = Steps(hub)
    with signed_in(hub, "technician") as (technician,):
        with steps.step("order", "PAT-003 panel CBC stat") as said:
            body = {"patient_code": "PAT-003", "panel_code": "CBC", "sample_id": "SAMP-200", "priority": "stat"}
            made = technician.post("/assignments", body, 201)["assignments"]
            said["outcome"] = f"{len(made)} assignments"
        with steps.step("submit-assignments", f"{len(made)} tests") as said:
            said["outcome"], said["link"] = steps.run("submit-assignments", tenant="lagoon")
        with steps.step("poll-results", f"{len(made)} tests") as said:
            for one in made:
                said["link"] = fetch_until(steps, technician, one, "A")
            flags = [technician.get(f"/assignments/{one['id']}")["results"][0]["flag"] for one in made]
            said["outcome"] = f"complete, flags {', '.join(flag or 'none' for flag in flags)}"
    return steps.rows


def held_result(hub: Hub) -> list[Outcome]:
    """A result for another patient is held, and fetched again once the instrument is right."""
    steps, analysers = Steps(hub), Analysers(hub)
    with signed_in(hub, "technician", "supervisor") as (technician, supervisor):
        made = order(technician, patient_code="PAT-002", test_code="LAB-GLU", sample_id="SAMP-300")
        analysers.set_fault(CHEMISTRY, "wrong_patient", request_id=made["request_id"])
        with steps.step("poll-results", "result of another patient") as said:
            steps.run("submit-assignments", tenant="lagoon")
            fetch_until(steps, technician, made, "H")
            held = next(one for one in supervisor.get("/held")["items"] if one["assignment_id"] == made["id"])
            rules = ", ".join(violation["rule"] for violation in held["violations"])
            said |= {"outcome": f"held by rule: {rules}", "link": steps.page("/held")}
        analysers.clear(CHEMISTRY)
        with steps.step("resolve", "fetch again") as said:
            reason = {"action": "refetch", "reason": "The analyser's rack was mixed up; corrected"}
            supervisor.post(f"/held/{held['id']}/resolve", reason)
            said["link"] = fetch_until(steps, technician, made, "A")
            said["outcome"] = "completed"
    return steps.rows


def unknown_submission(hub: Hub) -> list[Outcome]:
    """A request whose answer is lost is not sent twice to an instrument that would queue it twice."""
    steps, analysers = Steps(hub), Analysers(hub)
    with (
        signed_in(hub, "technician") as (technician,),
        steps.step("submit-assignments", "answer lost on the way") as said,
    ):
        analysers.set_fault(IMMUNOASSAY, "timeout_after_accepting", times=1, operation="queue")
        made = order(technician, patient_code="PAT-009", test_code="LAB-TSH", sample_id="SAMP-400")
        run = hub.run_deployment("submit-assignments/submit-assignments", tenant="lagoon")
        said["link"] = hub.run_link(run)
        deadline = time.monotonic() + UNKNOWN_SECONDS  # the run asked for by the order may be the one that sends
        while technician.get(f"/assignments/{made['id']}")["status"] == "P" and time.monotonic() < deadline:
            time.sleep(0.5)
        expect(technician, made["id"], "U")
        steps.run("retry-submissions", tenant="lagoon")
        if analysers.entries(IMMUNOASSAY, made["request_id"]) != 1:
            raise ScenarioError("the analyser does not have exactly one entry")
        said["outcome"] = "unknown, one entry at the analyser, a person decides"
    return steps.rows


def other_tenant(hub: Hub) -> list[Outcome]:
    """Another laboratory's technician finds nothing."""
    steps = Steps(hub)
    with signed_in(hub, "technician") as (technician,):
        made = order(technician, patient_code="PAT-004", test_code="LAB-ALT", sample_id="SAMP-500")
    with (
        signed_in(hub, "technician", laboratory="harbour") as (stranger,),
        steps.step("read", "another tenant's id") as said,
    ):
        stranger.get(f"/assignments/{made['id']}", 404)
        said["outcome"] = "404, and audited"
    return steps.rows


def upkeep(hub: Hub) -> list[Outcome]:
    """The flows nobody asks for complete."""
    steps = Steps(hub)
    for flow in ("check-instruments", "stale-assignments", "seal-audit"):
        with steps.step(flow, "all tenants") as said:
            said["outcome"], said["link"] = steps.run(flow)
    return steps.rows


def order(technician: Person, **body: Any) -> dict[str, Any]:
    """One new assignment."""
    given = {name: value for name, value in body.items() if value is not None}
    return dict(technician.post("/assignments", given, 201)["assignments"][0])


def expect(person: Person, assignment_id: int, *states: str) -> dict[str, Any]:
    """The assignment, which must be in one of these states."""
    found = person.get(f"/assignments/{assignment_id}")
    if found["status"] not in states:
        raise ScenarioError(f"assignment {assignment_id} is {found['status']}, expected {' or '.join(states)}")
    return dict(found)


def verify(verifier: Person, assignment_id: int, status: int) -> None:
    """One level of verification, answered with `status`."""
    version = verifier.get(f"/assignments/{assignment_id}")["version"]
    verifier.post(f"/assignments/{assignment_id}/verify", {"version": version}, status)


def fetch(steps: Steps, technician: Person, made: dict[str, Any]) -> None:
    """A row for fetching and checking one result."""
    with steps.step("poll-results", made["request_id"]) as said:
        said["link"] = fetch_until(steps, technician, made, "A")
        value = technician.get(f"/assignments/{made['id']}")["results"][0]
        said["outcome"] = f"complete: {value['raw_value']} {value['unit']}, flag {value['flag']}"


def fetch_until(steps: Steps, technician: Person, made: dict[str, Any], state: str) -> str:
    """Run poll-results for the assignment until it is in `state`; a link to the last run, or to the assignment.

    One that is still in progress is due again by the schedule, minutes later, unless it is asked for by its number.
    """
    deadline, link = time.monotonic() + ANALYSIS_SECONDS, steps.page(f"/assignments/{made['id']}")
    while technician.get(f"/assignments/{made['id']}")["status"] != state:
        if time.monotonic() > deadline:
            expect(technician, made["id"], state)
        _, link = steps.run("poll-results", tenant="lagoon", assignment_id=made["id"])
    return link
