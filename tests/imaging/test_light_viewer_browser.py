"""The light viewer shows the pixels of its one study under any window, by mouse, keys, fingers; of no other study."""

import numpy as np
import pytest
from playwright.sync_api import Page, expect
from pydicom.dataset import Dataset

from tests.browser.conftest import chromium as chromium
from tests.browser.people import PHONE, WIDE
from tests.imaging.browsing import Desks
from tests.imaging.conftest import Clinic
from tests.imaging.desks import store
from tests.imaging.dicoms import SERIES, STUDY, ct
from tests.imaging.light_viewer import AT, becomes, shows
from tests.imaging.light_viewer import address as address
from tests.imaging.light_viewer import desks as desks
from tests.imaging.light_viewer import page as page
from tests.imaging.phantom import chest

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]
expect.set_options(timeout=20_000)
MEAN = """() => {
  const canvas = document.getElementById("canvas"), { width, height } = canvas;
  const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
  let sum = 0;
  for (let i = 0; i < data.length; i += 4) sum += data[i];
  return sum / (width * height);
}"""
SPINE, FLANK, LUNG = [0.5, 0.65], [0.5, 0.25], [0.35, 0.5]
"""Places in the picture, as parts of a square canvas: bone beside the canal, muscle, lung."""


def changes(page: Page, before: float) -> float:
    """The mean of the pixels once it is another."""
    for _ in range(200):
        if abs((now := page.evaluate(MEAN)) - before) > 1:
            return float(now)
        page.wait_for_timeout(50)
    raise AssertionError("the pixels stay as they were")


def test_its_pixels_are_the_ct_and_windows_change_them(page: Page, desks: Desks) -> None:
    assert page.evaluate(AT, LUNG) == 0
    assert 80 < page.evaluate(AT, FLANK) < 180
    presets = page.get_by_label("Window", exact=True)
    presets.select_option(label="Lung (3)")
    becomes(page, FLANK, 230, 255)
    becomes(page, LUNG, 40, 200)
    page.keyboard.press("4")  # bone
    becomes(page, FLANK, 60, 120)
    becomes(page, LUNG, 0, 0)
    presets.select_option(label="Full range (6)")
    becomes(page, LUNG, 5, 40)
    page.keyboard.press("r")
    expect(page.locator("#note-window")).to_contain_text("C 40 W 400")
    page.mouse.move(640, 400)
    page.mouse.down()
    page.mouse.move(700, 340, steps=4)
    page.mouse.up()
    expect(page.locator("#note-window")).not_to_contain_text("C 40 W 400")
    expect(presets).to_have_value("own")
    assert [one for one in desks.complaints if "getImageData" not in one] == []  # this test reads the pixels itself


def test_a_table_that_a_file_brings_is_used_and_said_until_a_window_is_chosen(clinic: Clinic, desks: Desks) -> None:
    even = Dataset()  # whatever a pixel is, it is shown as 200
    even.add_new(0x00283002, "SS", [4096, -1024, 8])
    even.add_new(0x00283006, "OW", np.full(4096, 200, "<u2").tobytes())
    clinic.order(clinic.patient(), accession_number="ACC1")
    store(clinic, chest(1, size=128, AccessionNumber="ACC1", VOILUTSequence=[even]))
    (study_id,) = clinic.rows("SELECT id FROM radiology_study")[0]
    page = desks.guest(viewport=WIDE)
    page.goto(str(clinic.doctor.get(f"/api/v1/radiology/studies/{study_id}/viewer-url/").json()["viewer_url"]))
    shows(page, SERIES, 1)
    becomes(page, LUNG, 200, 200)
    expect(page.locator("#note-window")).to_contain_text("Window: the file's table")
    page.get_by_label("Window", exact=True).select_option(label="Bone (4)")
    becomes(page, LUNG, 0, 0)
    expect(page.locator("#note-window")).to_contain_text("C 400 W 1800")
    page.keyboard.press("r")
    becomes(page, LUNG, 200, 200)


def test_wheel_keys_slider_and_list_go_through_images_and_series(page: Page) -> None:
    page.mouse.move(640, 400)
    page.mouse.wheel(0, 40)
    shows(page, SERIES, 5)
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    shows(page, SERIES, 3)
    page.keyboard.press("End")
    shows(page, SERIES, 6)
    page.locator("#slider").fill("2")
    shows(page, SERIES, 2)
    expect(page.locator("#note-image")).to_have_text("CT · image 2 of 6")
    page.get_by_role("button", name="Scout").click()
    shows(page, f"{SERIES}2", 1)
    page.locator("#stage").focus()
    page.keyboard.press("ArrowLeft")
    shows(page, SERIES, 4)


def test_it_is_zoomed_moved_and_fitted(page: Page) -> None:
    before = page.evaluate(MEAN)
    page.get_by_role("button", name="Larger").click()
    expect(page.locator("#note-window")).to_contain_text("125 %")
    changes(page, before)
    page.keyboard.press("m")
    page.mouse.move(640, 400)
    page.mouse.down()
    page.mouse.move(1200, 400, steps=3)
    page.mouse.up()
    page.keyboard.press("f")
    assert abs(page.evaluate(MEAN) - before) < 0.5
    page.keyboard.press("t")
    expect(page.locator("#note-patient")).to_be_hidden()
    page.keyboard.press("?")
    expect(page.get_by_role("heading", name="Keys and mouse")).to_be_visible()


def test_the_token_leaves_the_address_and_travels_as_a_bearer(desks: Desks, address: str) -> None:
    page = desks.guest()
    sent: list[tuple[str, str]] = []
    page.on("request", lambda one: sent.append((one.url, one.headers.get("authorization", ""))))
    page.goto(address)
    shows(page, SERIES, 4)
    assert page.url.endswith(f"/radiology/view/{STUDY}")
    asked = [(url, bearer) for url, bearer in sent if "/dicom-web/" in url]
    assert asked
    assert all(bearer.startswith("Bearer lwv_") and "token" not in url for url, bearer in asked)
    assert not page.context.cookies() or all("lwv_" not in one["value"] for one in page.context.cookies())


def test_a_revoked_address_shows_no_more_pixels(desks: Desks, clinic: Clinic, address: str) -> None:
    page = desks.guest()
    page.goto(address)
    shows(page, SERIES, 4)
    (grant_id,) = clinic.rows("SELECT id FROM viewer_grant")[0]
    assert clinic.doctor.post(f"/api/v1/radiology/grants/{grant_id}/revoke").status_code == 200
    page.keyboard.press("4")
    expect(page.locator("#said")).to_have_text("This address has expired or was revoked.")
    desks.complaints.clear()  # Chromium notes every 401
    other = desks.guest()
    other.goto(address)
    expect(other.get_by_text("expired or was revoked")).to_be_visible()
    assert other.locator("#canvas").count() == 0
    desks.complaints.clear()


def test_another_studys_address_opens_nothing(desks: Desks, clinic: Clinic, address: str) -> None:
    clinic.order(clinic.patient("P5"), accession_number="ACC5")
    store(clinic, ct(study_uid="1.2.3.4", series_uid="1.2.3.4.1", PatientID="P5", AccessionNumber="ACC5"))
    page = desks.guest()
    page.goto(address.replace(STUDY, "1.2.3.4"))
    expect(page.locator("#said")).to_have_text("There is no such study for you.")
    assert page.evaluate(MEAN) == 0
    desks.complaints.clear()


def test_fingers_scroll_on_a_telephone_and_all_of_it_fits(desks: Desks, address: str) -> None:
    page = desks.guest(viewport=PHONE, has_touch=True, is_mobile=True)
    page.goto(address)
    shows(page, SERIES, 4)
    assert page.evaluate("[document.documentElement.scrollWidth <= innerWidth, scrollY]") == [True, 0]
    expect(page.get_by_role("radio", name="Scroll")).to_have_attribute("aria-checked", "true")
    line = page.context.new_cdp_session(page)

    def touch(kind: str, y: int | None = None) -> None:
        points = [{"x": 190, "y": y}] if y else []
        line.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    touch("touchStart", 300)
    for y in range(310, 440, 10):
        touch("touchMove", y)
    touch("touchEnd")
    expect(page.locator("#viewer")).not_to_have_attribute("data-shown", f"{SERIES}/4")
    assert desks.complaints == []
