"""The main job clicked through with nothing left out: `labwire up`, its Prefect server, worker and analysers."""

import re
from collections.abc import Iterator

import httpx
import pytest
from playwright.sync_api import Browser, Page, expect

from deployments.launcher.demo import CONTROL_NAME, PASSWORD_NAME
from deployments.launcher.environment import read_environment
from tests.browser.people import PHONE, Windows
from tests.launcher.running import PATIENCE_SECONDS, RunningHub

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.xdist_group("hub")]
SAMPLE = "SAMP-CLICKED"


class People(Windows):
    """The demo's people of the main laboratory."""

    def __init__(self, hub: RunningHub, browser: Browser) -> None:
        super().__init__(browser, f"http://127.0.0.1:{hub.settings['LABWIRE_API_PORT']}")
        self._password = read_environment(hub.folder)[PASSWORD_NAME]

    def enter(self, name: str, **options: object) -> Page:
        return self.sign_in(f"{name}@lagoon.example", self._password, **options)


@pytest.fixture
def people(hub: RunningHub, chromium: Browser) -> Iterator[People]:
    made = People(hub, chromium)
    yield made
    made.close()
    assert made.complaints == []


def order(tech: Page) -> int:
    """Ordered on the page; the assignment's id."""
    tech.goto("/assignments/new")
    tech.get_by_label("Search by code or name").press_sequentially("osaze", delay=20)
    tech.get_by_text("Obaseki, Osaze").click()
    tech.get_by_label("Test or panel").select_option(label="Haemoglobin (LAB-HGB)")
    tech.get_by_label("Sample").fill(SAMPLE)
    tech.get_by_text("STAT", exact=True).click()
    tech.get_by_label("Instrument").select_option(label="Hematology Analyzer XYZ")
    tech.get_by_role("button", name="Order", exact=True).click()
    tech.wait_for_url(re.compile(r"/assignments/\d+$"))
    return int(tech.url.rpartition("/")[2])


def runs(hub: RunningHub, flow: str, one: int) -> list[str]:
    """The states of the runs that were asked for about this assignment."""
    with hub.prefect() as client:
        body = {"flows": {"name": {"any_": [flow]}}, "sort": "START_TIME_ASC"}
        found = client.post("/flow_runs/filter", json=body).raise_for_status().json()
    return [run["state_type"] for run in found if run["parameters"].get("assignment_id") == one]


def entries(hub: RunningHub, one: int) -> int:
    """How often the analyser was given the request."""
    control = read_environment(hub.folder)[CONTROL_NAME]
    queue = httpx.get(f"{control}/control/queue", params={"instrument": 0}, trust_env=False).raise_for_status().json()
    return sum(entry["request"]["requestId"] == f"REQ-{one}" for entry in queue)


def verify_and_release(people: People, one: int) -> None:
    """By two people, one of them on a telephone; a doctor then sees the result."""
    first = people.enter("verifier", viewport=PHONE)
    first.goto("/verification")
    first.get_by_label(f"Choose Haemoglobin of sample {SAMPLE}").check()
    first.get_by_role("button", name="Verify chosen").click()
    expect(first.get_by_role("heading", name="1 verified")).to_be_focused()

    second = people.enter("verifier2")
    second.goto(f"/assignments/{one}")
    second.get_by_role("button", name="Verify, level 2 of 2").click()
    expect(second.locator("#flash")).to_contain_text("Verified.")
    second.get_by_role("button", name="Release", exact=True).click()
    expect(second.locator(".steps [aria-current=step]")).to_have_text("Released")

    doctor = people.enter("doctor")
    doctor.goto(f"/assignments/{one}")
    expect(doctor.locator(".result__value")).to_contain_text("g/dL")


def test_from_the_order_to_the_released_result_through_the_running_hub(hub: RunningHub, people: People) -> None:
    tech = people.enter("technician")
    one = order(tech)
    tech.goto("/worklist?search=" + SAMPLE)
    row = tech.locator(f"#row-{one}")
    tech.get_by_role("button", name=f"Send assignment {one}").click()
    expect(tech.locator("#flash")).to_contain_text(f"Assignment {one} handed over for sending.")
    # She only watches: the list renews itself.
    fetch = tech.get_by_role("button", name=f"Fetch the result of assignment {one}")
    expect(fetch).to_be_visible(timeout=PATIENCE_SECONDS * 1000)
    expect(row).to_contain_text("Queued")
    tech.wait_for_timeout(3000)  # the analyser is slow: three times as long as it takes
    fetch.click()
    expect(row).to_contain_text("To verify", timeout=PATIENCE_SECONDS * 1000)
    verify_and_release(people, one)
    # It went the way it should: through runs that were asked for and ended well, and once to the analyser.
    assert "COMPLETED" in runs(hub, "submit-assignments", one)
    assert "COMPLETED" in runs(hub, "poll-results", one)
    assert entries(hub, one) == 1
