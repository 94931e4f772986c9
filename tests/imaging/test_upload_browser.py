"""Files chosen or dropped on the upload page are stored once each, over a line that breaks and after a reload."""

import base64
import hashlib
import re
import secrets
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route, expect

from tests.browser.conftest import chromium as chromium
from tests.browser.people import PHONE
from tests.imaging.browsing import Desks, desks_of
from tests.imaging.conftest import Clinic
from tests.imaging.dicoms import ct, picture

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]
PART = 4 * 1024 * 1024
BINARY = re.compile("/binar(y|ies)$")
expect.set_options(timeout=20_000)


@pytest.fixture
def desks(clinic: Clinic, chromium: Browser, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desks]:
    with desks_of(clinic, chromium, monkeypatch) as made:
        yield made


@pytest.fixture
def page(desks: Desks) -> Page:
    """A technician before the upload page."""
    page = desks.enter("rita", "radiology_technician")
    opened(page)
    return page


def opened(page: Page, order_id: int | None = None) -> None:
    page.goto("/radiology/upload" + (f"?radiology_order_id={order_id}" if order_id else ""))
    expect(page.locator("#upload")).to_have_attribute("data-ready", "true")


def drop(page: Page, files: Mapping[str, bytes]) -> None:
    given = [[name, base64.b64encode(content).decode()] for name, content in files.items()]
    transfer = page.evaluate_handle(
        """(files) => files.reduce((made, [name, content]) => {
          made.items.add(new File([Uint8Array.from(atob(content), (one) => one.charCodeAt(0))], name));
          return made;
        }, new DataTransfer())""",
        given,
    )
    page.dispatch_event("#drop", "drop", {"dataTransfer": transfer})


def bars_come_to(page: Page, files: Mapping[str, float], total: float) -> None:
    """The bar of each file, and that of all together, come to show these parts of what is to be sent."""
    wanted = {name: pytest.approx(part, abs=0.001) for name, part in (dict(files) | {"": total}).items()}
    for _ in range(200):
        shown = {
            name: page.get_by_role("progressbar", name=f"Sent of {name}").evaluate("(bar) => bar.value")
            for name in files
        }
        shown[""] = page.get_by_role("progressbar", name="All files").evaluate("(bar) => bar.value")
        if shown == wanted:
            return
        page.wait_for_timeout(50)
    assert shown == wanted


def folder(tmp_path: Path, files: Mapping[str, bytes]) -> list[str]:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    return [str(tmp_path / name) for name in files]


def series(count: int, *, size: int = 32) -> dict[str, bytes]:
    study = f"1.2.826.0.1.3680043.8.498.{secrets.randbits(60)}"
    return {f"IM{n:04}.dcm": ct(n, size=size, study_uid=study, series_uid=f"{study}.1") for n in range(1, count + 1)}


def stored(clinic: Clinic) -> list[str]:
    """The checksums of the images there are, from their bytes on the disk."""
    said = [row[0] for row in clinic.rows("SELECT checksum FROM radiology_image ORDER BY checksum")]
    wrapped = {row[0] for row in clinic.rows("SELECT wrapped_checksum FROM radiology_image")}
    there = {hashlib.sha256(path.read_bytes()).hexdigest() for path in clinic.objects()} - wrapped
    assert sorted(there) == said
    return said


def sums(files: Mapping[str, bytes]) -> list[str]:
    return sorted(hashlib.sha256(content).hexdigest() for content in files.values())


def test_twelve_dropped_files_are_stored_as_they_are(desks: Desks, page: Page) -> None:
    files = series(12)
    drop(page, files | {"DICOMDIR": b"index", "readme.txt": b"hello"})
    expect(page.get_by_role("heading", name="12 stored, 1 left out")).to_be_visible()
    expect(page.get_by_text("Left out: no image")).to_have_count(1)
    assert stored(desks.clinic) == sums(files)
    assert desks.complaints == []
    drop(page, files)
    expect(page.get_by_text("Left out: chosen twice")).to_have_count(12)
    opened(page)
    drop(page, files)
    expect(page.get_by_text("Stored: was here already")).to_have_count(12)
    assert stored(desks.clinic) == sums(files)


@pytest.mark.slow
def test_a_line_that_breaks_loses_and_doubles_nothing(desks: Desks, page: Page) -> None:
    files = series(3) | {"large.dcm": series(1, size=2400)["IM0001.dcm"]}
    cut: list[int] = []

    def break_often(route: Route) -> None:
        """Every second part does not arrive, or its answer is lost on the way."""
        cut.append(len(cut))
        if len(cut) > 4 or len(cut) % 2:
            route.continue_()
        elif len(cut) % 4:
            route.abort("connectionreset")
        else:
            route.fetch()
            route.abort("connectionreset")

    page.route(BINARY, break_often)
    drop(page, files)
    expect(page.locator("#line")).to_contain_text("The line is broken: next try in")
    expect(page.get_by_role("heading", name="All 4 stored")).to_be_visible(timeout=30_000)
    assert stored(desks.clinic) == sums(files)
    assert desks.clinic.spool() == []


@pytest.mark.slow
def test_without_a_line_it_waits_and_goes_on_by_itself(desks: Desks, page: Page) -> None:
    files = series(6)
    page.context.set_offline(True)
    drop(page, files)
    expect(page.locator("#line")).to_contain_text("The line is broken")
    assert stored(desks.clinic) == []
    page.context.set_offline(False)
    expect(page.get_by_role("heading", name="All 6 stored")).to_be_visible(timeout=20_000)
    assert stored(desks.clinic) == sums(files)


def test_after_a_reload_the_same_files_go_on_where_they_were(desks: Desks, page: Page, tmp_path: Path) -> None:
    files = series(2) | {"large.dcm": series(1, size=2400)["IM0001.dcm"]}
    paths = folder(tmp_path, files)
    parts: list[str] = []

    def stop_after_the_first_part(route: Route) -> None:
        parts.append(route.request.headers.get("upload-offset", ""))
        if route.request.headers.get("upload-offset") not in (None, "0"):
            return  # never answered: the page is left meanwhile
        route.continue_()

    page.route(BINARY, stop_after_the_first_part)
    page.set_input_files("#files", paths)
    expect(page.locator(".is-stored")).to_have_count(2)
    expect(page.locator(".is-sending")).to_have_count(1)
    while str(PART) not in parts:
        page.wait_for_timeout(50)
    sent, size = sum(map(len, files.values())) - len(files["large.dcm"]) + PART, sum(map(len, files.values()))
    bars_come_to(page, {"IM0001.dcm": 1, "IM0002.dcm": 1, "large.dcm": PART / len(files["large.dcm"])}, sent / size)
    page.on("dialog", lambda dialog: dialog.accept())
    opened(page)
    page.unroute(BINARY)
    expect(page.locator("#unfinished")).to_contain_text("One upload is not complete. Choose the same files again")
    offsets: list[str] = []
    page.on("request", lambda sent: offsets.append(sent.headers.get("upload-offset", "")))
    page.set_input_files("#files", paths)
    expect(page.get_by_role("heading", name="All 3 stored")).to_be_visible()
    assert [one for one in offsets if one] == [str(PART), str(2 * PART)]  # the first part is not sent twice
    bars_come_to(page, dict.fromkeys(files, 1), 1)
    assert stored(desks.clinic) == sums(files)
    (count,) = desks.clinic.rows("SELECT count(*) FROM image_upload WHERE state <> 'stored'")[0]
    assert count == 0


def test_pause_stops_the_sending_and_go_on_goes_on(desks: Desks, page: Page) -> None:
    files = series(8)
    page.route(BINARY, lambda route: None)  # the server takes for ever
    drop(page, files)
    expect(page.locator(".is-sending").nth(2)).to_be_visible()
    page.get_by_role("button", name="Pause").click()
    expect(page.get_by_role("heading", name="Paused")).to_be_visible()
    expect(page.locator(".is-sending")).to_have_count(0)
    page.unroute(BINARY)
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_role("heading", name="All 8 stored")).to_be_visible()
    assert stored(desks.clinic) == sums(files)


def test_what_is_held_or_refused_says_why(desks: Desks, page: Page) -> None:
    clinic = desks.clinic
    order_id = clinic.order(clinic.patient())
    good, other = series(1), ct(study_uid="1.2.3.4", series_uid="1.2.3.4.1", PatientID="P999")
    opened(page, order_id)
    drop(page, good | {"other.dcm": other, "photo.jpg": picture()})
    expect(page.get_by_role("heading", name="2 of 3 stored, 1 not")).to_be_visible()
    expect(page.locator(".is-held")).to_contain_text("Held: the patient in the file is not the order's")
    page.get_by_role("link", name="See what is held").click()
    expect(page.get_by_role("row", name="other.dcm")).to_be_visible()
    opened(page, order_id)
    sent: list[str] = []
    page.on("request", lambda request: sent.append(request.method))
    drop(page, {"other.dcm": other})
    expect(page.locator(".is-held")).to_contain_text("Held: the patient in the file is not the order's")
    assert "PATCH" not in sent, "its bytes are here: nothing is sent again"
    assert len(clinic.rows("SELECT 1 FROM image_upload WHERE state = 'held'")) == 1


def test_the_button_of_a_phone_chooses_files_too(desks: Desks, tmp_path: Path) -> None:
    page = desks.enter("rita", "radiology_technician", viewport=PHONE)
    opened(page)
    files = series(2)
    page.set_input_files("#files", folder(tmp_path, files))
    expect(page.get_by_role("heading", name="All 2 stored")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
