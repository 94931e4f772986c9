"""Data Docs on a telephone and on a desk, by day and by night."""

from dataclasses import replace
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.browser.people import PHONE, WIDE, Site, run
from tests.instruments.world import poll, submit
from tests.upkeep.quality import found, keep

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.xdist_group("browser")]
PROBLEMS = (Path(__file__).parent / "usable.js").read_text()
CUT_OFF = """() => [...document.querySelectorAll("main *")]
  .filter((one) => !one.closest(".visually-hidden, thead") && one.getClientRects().length)
  .filter((one) => one.getBoundingClientRect().right > innerWidth || one.getBoundingClientRect().left < 0)
  .map((one) => one.textContent.trim().slice(0, 40))"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_every_page_of_it_fits_and_is_readable(site: Site, width: int, scheme: str) -> None:
    long = (found(300, rows=54321), found(suite="a-suite-with-a-long-name"), replace(found(2), batch="2026-11-20"))
    checks = keep(site.world.lab.tenant_id, found(), *long)
    page = site.enter("boss", "supervisor", viewport=PHONE if width == 390 else WIDE, color_scheme=scheme)
    for address in ("/quality", "/quality?which=not-met", *(f"/quality/{check}" for check in checks)):
        page.goto(address)
        for summary in page.get_by_text("How it is checked").all():
            summary.click()
        assert page.evaluate(PROBLEMS) == [], address
        assert page.evaluate(CUT_OFF) == [], address


def test_from_a_failed_check_to_the_assignment_and_to_the_held_result(site: Site) -> None:
    good, bad = site.world.order(2)
    site.world.one.faults.set("wrong_unit", request_id=f"REQ-{bad}")
    run(submit)
    run(poll, equipment_id=site.world.equipment_id)
    assert site.world.states([good, bad]) == ["A", "H"]
    page = site.enter("vera", "verifier")
    page.goto("/worklist")
    page.get_by_role("link", name="Quality").click()
    page.locator("tbody tr", has_text="not met").get_by_role("link").first.click()
    row = page.locator("tbody tr", has_text="The unit is the one of the test catalogue")
    expect(row).to_contain_text("not met")
    row.get_by_role("link", name=str(bad), exact=True).click()
    expect(page).to_have_url(f"{site.address}/assignments/{bad}")
    page.go_back()
    page.get_by_role("link", name="Held results").last.click()
    expect(page).to_have_url(f"{site.address}/held")
