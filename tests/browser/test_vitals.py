"""The pages about devices and vital signs on a desk and on a telephone."""

import os
import random
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.people import PHONE, WIDE, Site
from tests.vitals.conftest import Clinic, forget
from tests.vitals.desk import moment, reading

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]
SHOTS = os.environ.get("LABWIRE_TEST_SHOTS", "")
"""A folder for pictures of the pages, for whoever wants to look at them."""


def furnish(site: Site) -> tuple[int, dict[str, str]]:
    """A patient with two devices and a day of readings with a gap; the patient, and pages to look at."""
    forget()  # a device of the same number sent as much within this minute, to the database of another test
    clinic, chance = Clinic(site.world.lab.tenant_id), random.Random(7)
    patient_id = clinic.patient("P-VITALS")
    device_id = clinic.device("DEV001", patient_id, device_type="Patient Monitor", silence_minutes=30)
    clinic.device("OXI-7", patient_id, device_type="Pulse Oximeter")
    clinic.device("SCALE-3")
    key = clinic.key(device_id, expires_in_days=12)
    readings = [
        {
            "timestamp": moment(minutes=10 * step + 1),
            "heart_rate": 72 + chance.randint(-8, 9),
            "blood_pressure_systolic": 122 + chance.randint(-9, 9),
            "blood_pressure_diastolic": 78 + chance.randint(-6, 6),
            "oxygen_saturation": 97 + chance.randint(-2, 2),
            "temperature": 98.6,
            "battery_level": 14,
            "signal_quality": 92,
        }
        for step in range(140)
        if not 40 < step < 70
    ]
    assert clinic.post(key, {"device_id": "DEV001", "readings": readings}, "/api/iot/vitals/batch/").status_code == 200
    assert clinic.post(key, reading(heart_rate=4, notes="lead off")).status_code == 202
    (held_id,) = clinic.rows("SELECT id FROM held_reading")[0]
    patient = f"/vitals/patients/{patient_id}"
    pages = {
        "devices": "/devices",
        "device": f"/devices/{device_id}",
        "device-edit": f"/devices/{device_id}/edit",
        "patients": "/vitals/patients",
        "readings": f"{patient}?days=1",
        "entry": f"{patient}/new",
        "held-list": "/vitals/held",
        "held": f"/vitals/held/{held_id}",
    }
    return device_id, pages


def shoot(page: Page, name: str) -> None:
    if SHOTS:
        page.screenshot(path=str(Path(SHOTS) / f"{name}.png"), full_page=True)


@pytest.mark.parametrize(("size", "name"), [(WIDE, "wide"), (PHONE, "phone")])
def test_every_page_fits_its_screen(site: Site, size: dict[str, int], name: str) -> None:
    device_id, pages = furnish(site)
    page = site.enter("boss", "supervisor", "administrator", "doctor", viewport=size)
    for what, address in pages.items():
        page.goto(address)
        shoot(page, f"{what}-{name}")
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), what
        if size is WIDE:
            assert page.locator(".bar").bounding_box()["height"] < 60, what  # type: ignore[index]
    page.goto(f"/devices/{device_id}")
    page.get_by_text("Rotate: make the next key").click()
    page.get_by_role("button", name="Make the key").click()
    expect(page.locator("#new-device-key")).to_be_in_viewport()
    shoot(page, f"key-{name}")
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy the key").click()
    expect(page.get_by_role("button", name="Copied")).to_be_visible()
    assert page.evaluate("navigator.clipboard.readText()") == page.locator("#new-device-key").inner_text()


def test_a_nurse_enters_what_she_measured_and_sees_it(site: Site) -> None:
    furnish(site)
    page = site.enter("nora", "nurse", viewport=PHONE)
    page.goto("/vitals/patients")
    page.get_by_role("link", name="Enter vital signs of P-VITALS").click()
    page.get_by_label("Heart rate").fill("88")
    page.get_by_label("Temperature", exact=True).fill("38.4")
    page.get_by_role("button", name="Enter").click()
    expect(page.get_by_text("Choose the unit")).to_be_visible()
    shoot(page, "entry-refused-phone")
    page.get_by_label("Unit of temperature").select_option("C")
    page.get_by_role("button", name="Enter").click()
    expect(page.get_by_text("by hand, a nurse")).to_be_visible()
    expect(page.get_by_role("img", name="Temperature")).to_be_visible()
