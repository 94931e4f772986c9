"""A patient is never chosen for a text that was changed since; and a pasted finding is sent whole."""

import re
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Route, expect

from tests.browser.conftest import chromium as chromium
from tests.imaging.browsing import Desks, desks_of
from tests.imaging.conftest import Clinic
from tests.imaging.desks import store
from tests.imaging.dicoms import ct

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]


@pytest.fixture
def desks(clinic: Clinic, chromium: Browser, monkeypatch: pytest.MonkeyPatch) -> Iterator[Desks]:
    with desks_of(clinic, chromium, monkeypatch) as made:
        yield made


def test_nobody_is_chosen_while_the_text_changes(desks: Desks) -> None:
    for code, name in (("P1", "Jonas"), ("P2", "Berta"), ("P3", "Bernd")):
        desks.clinic.patient(code, given_names=name)
    page = desks.enter("dora", "doctor")
    held: list[Route] = []
    page.goto("/radiology/orders/new")
    search, picks = page.get_by_label("Search by code or name"), page.locator("#order-found input")
    search.press_sequentially("jonas")
    expect(picks).to_have_count(1)
    expect(picks).to_be_checked()

    def hold(route: Route) -> None:  # Playwright takes no method of a list
        held.append(route)

    page.route("**/radiology/orders/new/patients", hold)
    search.fill("ber")
    expect(picks).not_to_be_checked()  # at once, before anybody was asked
    expect(picks).to_be_disabled()
    expect(search).to_have_class("htmx-request")
    expect(picks).to_be_disabled()
    assert "patient_id" not in str(held[0].request.post_data)
    held[0].continue_()
    expect(picks).to_have_count(2)
    for pick in picks.all():
        expect(pick).to_be_enabled()
        expect(pick).not_to_be_checked()
    page.get_by_text("Doe, Bernd").click()
    search.fill("berta")
    expect(page.locator("#order-found input:checked")).to_have_count(0)
    page.get_by_label("Examination").fill("CT of the head")
    page.get_by_label("Modality").select_option("CT")
    page.get_by_role("button", name="Order", exact=True).click()  # before the answer
    expect(page.get_by_text("Choose a patient")).to_be_visible()
    expect(picks).to_be_checked()
    assert desks.clinic.rows("SELECT 1 FROM radiology_order") == []
    page.get_by_role("button", name="Order", exact=True).click()
    page.wait_for_url(re.compile(r"/radiology/orders/\d+$"))
    [ordered] = desks.clinic.rows("SELECT p.given_names FROM radiology_order o JOIN patient p ON p.id = o.patient_id")
    assert ordered.given_names == "Berta"
    assert desks.complaints == []


def test_a_search_that_failed_is_told(desks: Desks) -> None:
    desks.clinic.patient("P1", given_names="Jonas")
    page = desks.enter("dora", "doctor")
    page.goto("/radiology/orders/new")
    page.route("**/radiology/orders/new/patients", lambda route: route.abort())
    page.get_by_label("Search by code or name").fill("jonas")
    expect(page.locator("#order-found")).to_contain_text("did not work")


def test_a_pasted_finding_is_sent_whole(desks: Desks) -> None:
    clinic = desks.clinic
    order_id = clinic.order(clinic.patient(), accession_number="A1")
    store(clinic, ct(AccessionNumber="A1"))
    page = desks.enter("dora", "doctor")
    page.goto(f"/radiology/orders/{order_id}")
    report = "Lungs clear.\n" * 300 + "Conclusion: pneumothorax."
    page.get_by_label("Finding").focus()
    page.keyboard.insert_text(report)  # as a paste does, it heeds a maxlength
    page.get_by_role("button", name="Write the finding").click()
    expect(page.get_by_text("Reviewed.")).to_be_visible()
    assert clinic.rows("SELECT review_note FROM radiology_order")[0].review_note == report
    assert desks.complaints == []
