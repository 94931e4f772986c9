"""The main job, clicked through real pages: create, send, fetch, verify, verify, release."""

import re

import pytest
from playwright.sync_api import Page, expect
from playwright.sync_api import TimeoutError as PlaywrightTimeout

from tests.api.helpers import audited
from tests.browser.people import PHONE, Site, run
from tests.instruments.world import poll, submit

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]
RENEWED_MILLISECONDS = 11_000
"""The list asks every ten seconds."""


def state(page: Page) -> str:
    """The state the assignment's page shows."""
    return page.locator(".steps [aria-current=step]").inner_text()


def order(site: Site, tech: Page) -> str:
    """A technician orders; the address of the assignment."""
    expect(tech.get_by_role("heading", level=1)).to_have_text("Work list")
    tech.get_by_role("link", name="Order a test").first.click()
    tech.get_by_label("Search by code or name").press_sequentially("bola", delay=20)
    tech.get_by_text("Ade, Bola").click()
    tech.get_by_label("Test or panel").select_option(label="Haemoglobin (LAB-HGB)")
    tech.get_by_label("Sample").fill("SAMP-77")
    tech.get_by_text("STAT", exact=True).click()
    tech.get_by_label("Instrument").select_option(label="Hematology Analyzer XYZ")
    tech.get_by_role("button", name="Order", exact=True).click()
    tech.wait_for_url(re.compile(r"/assignments/\d+$"))
    assert state(tech) == "Pending"
    return tech.url.removeprefix(site.address)


def send(tech: Page, one: int) -> None:
    """She sends it from the work list, the worker's run takes it, and she scans the tube to open it."""
    tech.goto("/worklist")
    expect(tech.get_by_label("Scan or type a code")).to_be_focused()
    tech.get_by_role("button", name=f"Send assignment {one}").click()
    expect(tech.locator("#flash")).to_contain_text(f"Assignment {one} handed over for sending.")
    run(submit, assignment_id=one)
    tech.keyboard.press("/")
    tech.keyboard.type("SAMP-77")
    tech.keyboard.press("Enter")
    tech.wait_for_url(f"**/assignments/{one}")
    assert state(tech) == "Queued"


def fetch(tech: Page, one: int) -> None:
    """The instrument is not asked by itself: she fetches."""
    tech.get_by_role("button", name="Fetch the result").click()
    expect(tech.locator("#flash")).to_contain_text("The result was asked for.")
    run(poll, assignment_id=one)
    tech.reload()
    assert state(tech) == "Analysis complete"


def verify_in_the_queue(vera: Page, address: str) -> None:
    """The first verifier ticks the row, and is told that another person comes next."""
    vera.goto("/verification")
    vera.get_by_label("Choose Haemoglobin of sample SAMP-77").check()
    expect(vera.locator("[data-chosen-count]")).to_have_text("1 chosen")
    vera.get_by_role("button", name="Verify chosen").click()
    expect(vera.get_by_role("heading", name="1 verified")).to_be_focused()
    expect(vera.locator(".outcomes")).to_contain_text("the next needs another person")
    vera.goto(address)
    expect(vera.get_by_role("button", name="Verify, level")).to_have_count(0)


def verify_and_release(nora: Page, address: str) -> None:
    """The second verifies on the assignment's page, then releases from the other queue."""
    nora.goto(address)
    nora.get_by_label("Note (optional)").fill("Plausible beside the smear")
    nora.get_by_role("button", name="Verify, level 2 of 2").click()
    expect(nora.locator("#flash")).to_contain_text("Verified.")
    assert state(nora) == "Verified"
    nora.goto("/verification?show=release")
    nora.get_by_label("Choose Haemoglobin of sample SAMP-77").check()
    nora.get_by_role("button", name="Release chosen").click()
    expect(nora.get_by_role("heading", name="1 released")).to_be_visible()


def test_from_the_order_to_the_released_result(site: Site) -> None:
    lab, analyser = site.world.lab, site.world.one
    tech = site.enter("tina", "technician")
    address = order(site, tech)
    one = int(address.rpartition("/")[2])
    send(tech, one)
    assert [entry.request.request_id for entry in analyser.entries] == [f"REQ-{one}"]
    fetch(tech, one)
    value = lab.results(one)[0].raw_value
    expect(tech.locator(".result__value")).to_contain_text(f"{value} g/dL")
    verify_in_the_queue(site.enter("vera", "verifier", viewport=PHONE), address)
    verify_and_release(site.enter("nora", "verifier"), address)

    # A doctor sees it, and everything that happened is told once.
    doctor = site.enter("dora", "doctor")
    doctor.goto(address)
    expect(doctor.locator(".result__value")).to_contain_text(f"{value} g/dL")
    assert state(doctor) == "Released"
    assert len(analyser.entries) == 1
    assert lab.audited(one) == [
        *("assignment.order", "assignment.send", "assignment.queue", "assignment.fetch", "assignment.complete"),
        *("assignment.verify", "assignment.verify", "assignment.release"),
    ]
    assert {row.actor_label for row in audited(lab.tenant_id, "patient.read")} >= {
        f"{name}@browser.example" for name in ("tina", "vera", "nora", "dora")
    }


def test_a_page_left_open_is_refused_and_says_so(site: Site) -> None:
    (one,) = site.world.order(sample_id="SAMP-1")
    run(submit)
    run(poll, assignment_id=one)
    early, late = site.enter("vera", "verifier"), site.enter("nora", "verifier")
    for page in (early, late):
        page.goto(f"/assignments/{one}")
    early.get_by_role("button", name="Verify, level 1 of 2").click()
    expect(early.locator("#flash")).to_contain_text("Verified.")
    late.get_by_label("Note (optional)").fill("mine")
    late.get_by_role("button", name="Verify, level 1 of 2").click()
    expect(late.get_by_role("alert").first).to_contain_text("was changed since it was read")
    expect(late.get_by_label("Note (optional)")).to_have_value("mine")
    late.get_by_role("button", name="Verify, level 2 of 2").click()
    expect(late.locator("#flash")).to_contain_text("Verified.")


def test_a_wrong_value_is_said_beside_the_field_which_has_the_focus(site: Site) -> None:
    (one,) = site.world.order()
    tech = site.enter("tina", "technician")
    tech.goto(f"/assignments/{one}/result")
    expect(tech.get_by_label("Value")).to_be_focused()
    tech.keyboard.type("12,5")
    tech.keyboard.press("Enter")
    expect(tech.locator("#entry-value-error")).to_contain_text("decimal point")
    expect(tech.get_by_label("Value")).to_be_focused()
    expect(tech.get_by_label("Value")).to_have_value("12,5")
    assert tech.get_by_label("Value").get_attribute("aria-describedby") == "entry-value-hint entry-value-error"
    tech.keyboard.press("End")
    tech.keyboard.press("Control+A")
    tech.keyboard.type("12.5")
    tech.keyboard.press("Enter")
    tech.wait_for_url(f"**/assignments/{one}")
    assert state(tech) == "Analysis complete"


def test_the_work_list_renews_itself_and_takes_neither_focus_nor_choice(site: Site) -> None:
    first, second, third = site.world.order(3)
    tech = site.enter("tina", "technician")
    tech.clock.install()  # the page's own time: ten of its seconds pass when the test says so
    tech.goto("/worklist")
    box = tech.get_by_label(f"Choose assignment {second}")
    box.check()
    expect(box).to_be_focused()
    run(submit, assignment_id=first)
    tech.clock.run_for(RENEWED_MILLISECONDS)
    row = tech.locator(f"#row-{first}")
    expect(row).to_contain_text("Queued")
    expect(box).to_be_focused()
    expect(box).to_be_checked()
    expect(tech.locator("[data-chosen-count]")).to_have_text("1 chosen")
    tech.get_by_role("button", name="Pause").click()
    run(submit, assignment_id=third)
    with pytest.raises(PlaywrightTimeout), tech.expect_request("**/worklist/rows*", timeout=1000):
        tech.clock.run_for(3 * RENEWED_MILLISECONDS)
    expect(tech.locator(f"#row-{third}")).to_contain_text("Pending")
    tech.get_by_role("button", name="Paused").click()
    tech.clock.run_for(RENEWED_MILLISECONDS)
    expect(tech.locator(f"#row-{third}")).to_contain_text("Queued")


def test_it_works_without_scripts(site: Site) -> None:
    (one,) = site.world.order()
    tech = site.enter("tina", "technician", java_script_enabled=False)
    tech.goto("/worklist")
    tech.get_by_role("button", name=f"Send assignment {one}").click()
    expect(tech.locator("#flash")).to_contain_text(f"Assignment {one} handed over for sending.")
    run(submit, assignment_id=one)
    tech.get_by_label("Scan or type a code").fill(str(one))
    tech.get_by_role("button", name="Open", exact=True).click()
    assert state(tech) == "Queued"
