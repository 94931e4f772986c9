"""Every page about instruments on a telephone and on a desk, by day and by night, with the keyboard alone."""

from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from models.instruments.inputs import DepartmentInput, VerifyInput
from models.instruments.stores.departments import create_department
from models.instruments.stores.verification import verify
from models.kernel.tenancy import tenant_session
from tests.browser.people import PHONE, WIDE, Site, run
from tests.instruments.test_pages import ALLOWED
from tests.instruments.world import World, submit

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.xdist_group("browser")]
PROBLEMS = (Path(__file__).parent / "usable.js").read_text()
EVERY_ROLE = ("supervisor", "administrator", "doctor")
FOCUSED = """() => {
  const one = document.activeElement, style = getComputedStyle(one);
  const shown = one.matches("input[type=radio], input[type=checkbox]") ? one.nextElementSibling ?? one : one;
  const isRing = (s) => s.outlineStyle !== "none" && parseFloat(s.outlineWidth) >= 2;
  return { name: (one.id || one.textContent || one.name || one.tagName).trim().slice(0, 40), tag: one.tagName,
           isVisible: isRing(style) || isRing(getComputedStyle(shown)) };
}"""


def busy(world: World) -> dict[str, int]:
    """Work in every state, long names among it; an id for each name in an address."""
    lab, equipment_id, analyser = world.lab, world.equipment_id, world.one
    with tenant_session(lab.tenant_id) as session:
        name = "Department of clinical chemistry and laboratory medicine"
        department = create_department(session, lab.tenant_id, lab.actor(), DepartmentInput(name=name)).id
    world.connect(analyser, name="An instrument that is out of use", serial_number="SN-9", status="inactive")
    world.connect(analyser, name="Another that is being cleaned", status="maintenance", api_endpoint=None)
    world.order(2, equipment_id=equipment_id, priority="stat", sample_id="SAMP-" + "7" * 40)
    run(submit)
    world.order(3, equipment_id=equipment_id, priority="urgent")
    lab.order("LAB-NOTE")
    held, analysed, failed = (lab.queued()[0] for _ in range(3))
    lab.answer(held, lab.body(held, patientId="PAT-OTHER", unit="g/L", qualityControl="Failed"))
    lab.answer(analysed, lab.body(analysed, value="5.2", remarks="Clot seen, second tube asked for"))
    lab.answer(failed, lab.body(failed, status="failed", value=None, remarks="Aspiration error: clot detected"))
    with tenant_session(lab.tenant_id) as session:
        verify(session, lab.tenant_id, lab.actor("vera"), analysed, VerifyInput(version=2, note="Smear seen"))
    return {
        "assignment_id": analysed,
        "held_id": lab.held(held)[0].id,
        "equipment_id": equipment_id,
        "department_id": department,
        "test_id": 1,
        "panel_id": 1,
    }


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_each_page_fits_is_readable_and_can_be_pressed(site: Site, width: int, scheme: str) -> None:
    numbers = busy(site.world)
    page = site.enter("boss", *EVERY_ROLE, viewport=PHONE if width == 390 else WIDE, color_scheme=scheme)
    found = {}
    for path in ALLOWED:
        if path == "/worklist/rows":  # a part of a page
            continue
        address = path.format(**numbers)
        answer = page.goto(address)
        assert answer is not None
        assert answer.status == 200, address
        if problems := page.evaluate(PROBLEMS):
            found[address] = problems
    assert found == {}


@pytest.mark.parametrize("path", ["/worklist", "/assignments/{assignment_id}", "/verification", "/held/{held_id}"])
def test_whatever_has_the_focus_shows_it(site: Site, path: str) -> None:
    page = site.enter("boss", *EVERY_ROLE)
    page.goto(path.format(**busy(site.world)))
    page.locator("body").press("Tab")
    names: list[str] = []
    for _ in range(40):
        focused = page.evaluate(FOCUSED)
        if focused["tag"] == "BODY":
            break
        assert focused["isVisible"], focused["name"]
        names.append(focused["name"])
        page.keyboard.press("Tab")
    assert len(names) > 12
    assert names[0] == ("Open" if path == "/worklist" else "Skip to the content")  # after the field to scan into


def test_the_keyboard_alone_verifies(site: Site) -> None:
    busy(site.world)
    page = site.enter("nora", "verifier")
    page.goto("/verification")
    reach(page, "choose-")
    page.keyboard.press("Space")
    expect(page.locator("[data-chosen-count]")).to_have_text("1 chosen")
    page.keyboard.press("Enter")  # from any field of a form
    expect(page.get_by_role("heading", name="1 verified")).to_be_focused()


def reach(page: Page, beginning: str) -> None:
    """Tab until something whose id begins so has the focus."""
    for _ in range(60):
        page.keyboard.press("Tab")
        if str(page.evaluate("document.activeElement.id")).startswith(beginning):
            return
    raise AssertionError(f"no {beginning} can be reached")
