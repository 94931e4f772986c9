"""The pages about images on a desk and on a telephone: they fit, can be read and pressed."""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from playwright.sync_api import Browser, Page, expect

from tests.browser.conftest import chromium as chromium
from tests.browser.people import PHONE, WIDE
from tests.imaging.browsing import Desks, desks_of
from tests.imaging.conftest import Clinic
from tests.imaging.desks import store
from tests.imaging.dicoms import ct, picture
from tests.imaging.phantom import chest

pytestmark = [pytest.mark.browser, pytest.mark.slow, pytest.mark.xdist_group("browser")]
PROBLEMS = (Path(__file__).parents[1] / "browser" / "usable.js").read_text()
EVERY_ROLE = ("radiology_technician", "doctor", "supervisor", "administrator")
FIRST_IMAGE = """
SELECT image.id FROM radiology_image image
JOIN radiology_series series ON series.tenant_id = image.tenant_id AND series.id = image.series_id
WHERE series.study_id = :s ORDER BY image.id LIMIT 1
"""
SCHEMES: tuple[Literal["dark", "light"], ...] = ("dark", "light")
SHOTS = os.environ.get("LABWIRE_TEST_SHOTS", "")
"""A folder for pictures of the pages, for whoever wants to look at them."""


def furnish(clinic: Clinic) -> dict[str, str]:
    """Orders in every state, a study of two series, one without an order, uploads; and the pages to look at."""
    patient_id = clinic.patient("P-10442", family_name="Okonkwo-Featherstonehaugh", given_names="Adaeze Marie")
    others = [
        clinic.patient(f"P-2{n}", family_name=name, given_names=given)
        for n, (name, given) in enumerate((("Bello", "Ibrahim"), ("Eze", "Ngozi"), ("Adeyemi", "Tunde")))
    ]
    order_id = clinic.order(
        patient_id,
        procedure="CT of the chest with contrast",
        body_part="Chest",
        priority="stat",
        reason="Cough for six weeks, weight loss. Pulmonary nodule on the X-ray?",
        accession_number="R1",
    )
    clinic.order(others[0], procedure="X-ray of the left wrist, two planes", modality="DX", priority="urgent")
    clinic.order(others[1], procedure="MRI of the brain", modality="MR")
    photo_order = clinic.order(others[2], procedure="Photographs of the wound", modality="XC")
    uid = f"1.2.826.0.1.3680043.8.498.{secrets.randbits(60)}"
    said: dict[str, Any] = {
        "PatientID": "P-10442",
        "PatientName": "Okonkwo-Featherstonehaugh^Adaeze Marie",
        "AccessionNumber": "R1",
        "study_uid": uid,
    }
    slices = [chest(n, 14, series_uid=f"{uid}.1", SeriesDescription="Axial 5 mm", **said) for n in range(1, 15)]
    slices += [
        chest(n, 4, series_uid=f"{uid}.2", SeriesNumber=2, SeriesDescription="Lung", **said) for n in range(1, 5)
    ]
    store(clinic, *slices)
    stray = f"1.2.826.0.1.3680043.8.498.{secrets.randbits(60)}"
    store(
        clinic,
        chest(
            3,
            study_uid=stray,
            series_uid=f"{stray}.1",
            PatientID="B-77",
            PatientName="Eze^N",
            StudyDescription="Abdomen",
        ),
    )
    form = {"radiology_order_id": str(photo_order)}
    clinic.technician.post(
        "/api/v1/radiology/images", data=form, files=[("files", ("wound.jpg", picture(size=400), "image/jpeg"))]
    )
    cut = [ct(n, study_uid=f"{stray}.9", series_uid=f"{stray}.9.1") for n in range(1, 4)]
    images = [{"series_uid": f"{stray}.9.1", "image_uid": f"{stray}.9.1.{n}"} for n in range(1, 4)]
    made = clinic.declare(cut, study_uid=f"{stray}.9", images=images).json()["uploads"]
    clinic.send(made[0]["id"], cut[0][:1500])
    other = ct(9, study_uid=f"{stray}.8", series_uid=f"{stray}.8.1", PatientID="P999")
    held = clinic.declare(
        [other],
        study_uid=f"{stray}.8",
        radiology_order_id=order_id + 1,
        images=[{"series_uid": f"{stray}.8.1", "image_uid": f"{stray}.8.1.9"}],
    )
    clinic.send(held.json()["uploads"][0]["id"], other)
    ids = {study: number for number, study in clinic.rows("SELECT id, study_uid FROM radiology_study")}
    (image_id,) = clinic.rows(FIRST_IMAGE, s=ids[uid])[0]
    clinic.technician.post(f"/api/v1/radiology/images/{image_id + 2}/reject", json={"note": "The patient moved"})
    clinic.doctor.post(f"/api/v1/radiology/studies/{ids[uid]}/grants", json={})
    return {
        "orders": "/radiology/orders",
        "order-form": f"/radiology/orders/new?patient_id={patient_id}",
        "order": f"/radiology/orders/{order_id}",
        "studies": "/radiology/studies",
        "study": f"/radiology/studies/{ids[uid]}",
        "stray": f"/radiology/studies/{ids[stray]}",
        "series": f"/radiology/studies/{ids[uid]}?series=1",
        "image": f"/radiology/studies/images/{image_id}",
        "rejected": f"/radiology/studies/images/{image_id + 2}",
        "upload": "/radiology/upload",
        "upload-order": f"/radiology/upload?radiology_order_id={order_id}",
        "uploads": "/radiology/uploads",
        "held": "/radiology/uploads?state=held",
        "stored": "/radiology/uploads?state=stored",
        "patient": f"/patients/{patient_id}",
        "viewer": f"/radiology/view/{uid}",
    }


@pytest.fixture
def desks(clinic: Clinic, chromium: Browser, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desks]:
    with desks_of(clinic, chromium, monkeypatch) as made:
        yield made


def shoot(page: Page, name: str) -> None:
    if SHOTS:
        page.screenshot(path=str(Path(SHOTS) / f"{name}.png"), full_page=True)


def test_every_page_fits_its_screen_and_can_be_used(desks: Desks) -> None:
    pages = furnish(desks.clinic)
    page = desks.enter("boss", *EVERY_ROLE)
    found = {}
    for name, size in (("wide", WIDE), ("phone", PHONE)):
        page.set_viewport_size(size)  # type: ignore[arg-type]
        for what, address in pages.items():
            answer = page.goto(address)
            assert answer is not None
            assert answer.status == 200, address
            page.wait_for_load_state("networkidle")
            shoot(page, f"{what}-{name}")
            for scheme in SCHEMES:
                page.emulate_media(color_scheme=scheme)
                if problems := page.evaluate(PROBLEMS):
                    found[f"{what} {name} {scheme}"] = problems
            if size is WIDE and what != "viewer":
                assert page.locator(".bar").bounding_box()["height"] < 60, what  # type: ignore[index]
    assert found == {}
    assert desks.complaints == []


def test_what_became_of_files_can_be_read_at_every_width(desks: Desks) -> None:
    clinic = desks.clinic
    order_id = clinic.order(clinic.patient(), procedure="CT of the chest")
    page = desks.enter("rita", "radiology_technician")
    page.goto(f"/radiology/upload?radiology_order_id={order_id}")
    expect(page.locator("#upload")).to_have_attribute("data-ready", "true")
    files = {f"IM{n:04}.dcm": chest(n) for n in range(1, 7)}
    files |= {
        "of somebody else.dcm": ct(1, study_uid="1.2.3", series_uid="1.2.3.1", PatientID="P999"),
        "a photograph with a long name, taken on the ward in the morning.jpg": picture(size=300),
        "readme.txt": b"no image",
    }
    given = [{"name": name, "mimeType": "", "buffer": content} for name, content in files.items()]
    page.set_input_files("#files", given)  # type: ignore[arg-type]
    expect(page.get_by_role("heading", name="7 of 8 stored, 1 not")).to_be_visible(timeout=20_000)
    for name, size in (("wide", WIDE), ("phone", PHONE)):
        page.set_viewport_size(size)  # type: ignore[arg-type]
        shoot(page, f"sent-{name}")
        for scheme in SCHEMES:
            page.emulate_media(color_scheme=scheme)
            assert page.evaluate(PROBLEMS) == []
    assert desks.complaints == []
