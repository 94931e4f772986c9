"""Alerts in the browser: the patient answers on a telephone, nobody answers and the doctor is told, limits and gaps."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from deployments.simulators.mailbox import Mailbox
from deployments.simulators.mailbox_store import StoredMessage
from models.kernel.clock import utc_now
from models.kernel.settings import settings
from tasks.alerts import escalate_due_alerts
from tasks.upkeep.deliver import deliver_kinds
from tasks.upkeep.destinations import KINDS
from tests.alerts.conftest import Clinic
from tests.browser.people import PHONE, WIDE, Site, run
from tests.browser.test_vitals import furnish, shoot
from tests.launcher.running import PATIENCE_SECONDS, wait_for
from tests.upkeep.helpers import let_time_pass, use_mailbox

pytestmark = [pytest.mark.browser, pytest.mark.xdist_group("browser")]
PROBLEMS = (Path(__file__).parent / "usable.js").read_text()
LINK = re.compile(r"https?://[^/\s]+(/alerts/[^\s\"'<>]+)")
EVERY_ROLE = ("supervisor", "administrator", "doctor")


@pytest.fixture
def mailbox(site: Site, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mailbox]:
    with Mailbox() as running:
        use_mailbox(running, monkeypatch)
        yield running


@pytest.fixture
def clinic(site: Site, mailbox: Mailbox) -> Clinic:
    """The laboratory with a nurse and an emergency contact, and by the present clock."""
    clinic = Clinic(site.world.lab.tenant_id, now=utc_now())
    clinic.contacts("nurse", "emergency")
    return clinic


def mailed(clinic: Clinic, mailbox: Mailbox, address: str) -> str:
    """The way in the newest mail to this address, once what is in the outbox was sent."""

    rounds = 0

    def sent() -> list[StoredMessage]:
        nonlocal rounds
        rounds += 1
        let_time_pass(clinic.tenant_id)
        run(deliver_kinds, kinds=KINDS, idle_seconds=0.1)
        return [message for message in mailbox.messages if address in message.recipients]

    try:
        found = wait_for(sent, PATIENCE_SECONDS, f"a mail to {address}")
    except AssertionError as late:
        rows = clinic.rows("SELECT state, attempts, last_answer FROM delivery ORDER BY id")
        port = f"{settings().smtp_port} of {mailbox.smtp_port}"
        tried = f"{rounds} rounds, {mailbox.attempts} messages handed over, port {port}"
        raise AssertionError(f"{late}; {tried}, deliveries {rows}, alerts {clinic.story()}") from None
    link = LINK.search(found[-1].text or "")
    assert link is not None
    return link[1]


def time_passes(clinic: Clinic, minutes: int) -> None:
    """The clock is moved by moving the deadlines, and the run of that minute comes."""
    clinic.rows(
        "UPDATE alert SET next_step_at = next_step_at - make_interval(mins => :m), "
        "ladder_from = ladder_from - make_interval(mins => :m) RETURNING id",
        m=minutes,
    )
    run(escalate_due_alerts.fn, tenant="")


def usable(page: Page, name: str) -> list[str]:
    """What keeps the page from being usable; a card that cuts off its table among it."""
    shoot(page, name)
    cut = "[...document.querySelectorAll('.card')].filter(one => one.scrollWidth > one.clientWidth + 1).length"
    found = [*page.evaluate(PROBLEMS), *["a card is cut off"] * page.evaluate(cut)]
    return [f"{name}: {one}" for one in found]


@pytest.mark.parametrize(
    ("answer", "button", "said", "told"),
    [
        ("yes", "Yes, tell them", "Your doctor and nurse are being told now", ["dora@browser", "nurse"]),
        ("no", "No, I am fine: keep watching", "Nobody is told because of this value", []),
        ("help", "I need help now", "Help is being called", ["dora@browser", "nurse", "emergency"]),
    ],
)
def test_the_patient_answers_the_mailed_question_on_a_telephone(
    site: Site, clinic: Clinic, mailbox: Mailbox, answer: str, button: str, said: str, told: list[str]
) -> None:
    site.enter("dora", "doctor").close()
    clinic.reads(heart_rate=153)
    address = mailed(clinic, mailbox, "jo@home.example")
    phone = site.guest(viewport=PHONE)
    for _ in range(2):  # looking, again and again, answers nothing
        phone.goto(address)
        expect(phone.get_by_role("heading", name="May we tell your doctor and nurse?")).to_be_visible()
    assert usable(phone, f"question-{answer}-phone") == []
    assert "153" not in phone.locator("body").inner_text()
    assert clinic.rows("SELECT answer FROM alert_question")[0].answer is None
    assert clinic.told() == []
    phone.get_by_role("button", name=button).click()
    expect(phone.get_by_text(said)).to_be_visible()
    assert usable(phone, f"answered-{answer}-phone") == []
    assert clinic.rows("SELECT answer FROM alert_question")[0].answer == answer
    assert [mail["to"][0].partition(".example")[0].removesuffix("@clinic") for mail in clinic.mails()] == told
    again = phone.goto(address)
    assert again is not None
    assert again.status == 404
    expect(phone.get_by_role("heading", name="This question is over")).to_be_visible()
    assert usable(phone, f"question-over-{answer}-phone") == []
    site.complaints[:] = [one for one in site.complaints if "status of 404" not in one]


def test_without_an_answer_the_doctor_is_mailed_acknowledges_and_the_ladder_stops(
    site: Site, clinic: Clinic, mailbox: Mailbox
) -> None:
    doctor = site.enter("dora", "doctor")
    clinic.reads(heart_rate=153)
    time_passes(clinic, minutes=4)
    assert clinic.told() == []
    time_passes(clinic, minutes=2)
    assert clinic.told() == ["dora", "nurse"]
    address = mailed(clinic, mailbox, "dora@browser.example")
    assert address == "/alerts/1"
    doctor.goto("/alerts")
    row = doctor.get_by_role("row", name="Heart rate high")
    expect(row).to_contain_text("Critical")
    expect(row).to_contain_text("none")  # the patient's answer
    row.get_by_role("link", name="Acknowledge alert 1").click()
    doctor.get_by_role("button", name="Acknowledge").click()
    expect(doctor.get_by_text("Is needed")).to_be_visible()
    doctor.get_by_label("Read back: what you were told, and what you do").fill("Heart rate 153; I call her now")
    doctor.get_by_role("button", name="Acknowledge").click()
    expect(doctor.get_by_text("Acknowledged. Nobody else is told.")).to_be_visible()
    expect(doctor.get_by_text("“Heart rate 153; I call her now”").first).to_be_visible()
    for _ in range(3):
        time_passes(clinic, minutes=60)
    assert clinic.told() == ["dora", "nurse"]
    assert clinic.story() == ["opened", "asked", "unanswered", "told", "acknowledged"]
    doctor.goto("/alerts")
    expect(doctor.get_by_role("row", name="Heart rate high")).to_contain_text("Dora")


@pytest.mark.parametrize(("size", "name"), [(WIDE, "wide"), (PHONE, "phone")])
def test_the_trends_show_limits_and_a_gap(site: Site, size: dict[str, int], name: str) -> None:
    _, pages = furnish(site)
    page = site.enter("nora", "nurse", viewport=size)
    page.goto(pages["readings"])
    chart = page.locator("section", has=page.get_by_role("heading", name="Oxygen saturation"))
    picture = chart.get_by_role("img")
    box = picture.bounding_box()
    assert box is not None
    assert box["width"] <= size["width"] - 20
    for line in (picture.locator(".trend__limit--warning"), picture.locator(".trend__limit--critical")):
        drawn = line.bounding_box()
        assert drawn is not None
        assert box["y"] <= drawn["y"] <= box["y"] + box["height"]
    expect(picture.locator(".trend__gap").first).to_be_visible()
    expect(chart.get_by_text("Warning under 94", exact=True)).to_be_visible()
    expect(chart.get_by_text("Critical under 92", exact=True)).to_be_visible()
    expect(chart.get_by_text("No readings")).to_be_visible()
    assert usable(page, f"trends-{name}") == []
    page.get_by_role("link", name="Limits").click()
    expect(page.get_by_role("heading", name="Limits of P-VITALS")).to_be_visible()


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_each_page_fits_is_readable_and_can_be_pressed(site: Site, clinic: Clinic, width: int, scheme: str) -> None:
    clinic.rows("DELETE FROM alert_contact WHERE role = 'emergency' RETURNING id")
    clinic.reads(heart_rate=153)
    clinic.reads(oxygen_saturation=93)
    clinic.reads("P2", glucose=45)
    clinic.reads("P2", glucose=90)
    time_passes(clinic, minutes=30)
    _, pages = furnish(site)
    patient = f"/alerts/patients/{clinic.patient()}/limits"
    addresses = pages | {
        "board": "/alerts",
        "board-over": "/alerts?which=over",
        "alert": "/alerts/1",
        "alert-over": "/alerts/3",
        "setup": "/alerts/setup",
        "limits": "/alerts/limits",
        "limit": "/alerts/limits/heart_rate_high",
        "limit-consciousness": "/alerts/limits/consciousness_high",
        "patient-limits": patient,
        "patient-limit": f"{patient}/glucose_low",
    }
    page = site.enter("boss", *EVERY_ROLE, viewport=PHONE if width == 390 else WIDE, color_scheme=scheme)
    found: list[str] = []
    page.goto("/alerts/limits/heart_rate_high")
    page.get_by_label("Warning over").fill("105")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("usually over 110")).to_be_visible()
    page.goto(f"{patient}/glucose_low")
    page.get_by_label("It alarms").uncheck()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("it does not alarm any more")).to_be_visible()
    for name, address in addresses.items():
        answer = page.goto(address)
        assert answer is not None
        assert answer.status == 200, address
        found += usable(page, f"{name}-{width}-{scheme}")
    page.goto("/alerts/setup")
    page.get_by_text("Change the ladder").click()
    page.get_by_label("Step 2, after minutes").fill("soon")
    page.get_by_role("group", name="Step 3").get_by_label("Nurse").check()
    page.get_by_role("button", name="Save the ladder").click()
    expect(page.get_by_text("Is a whole number of minutes")).to_be_visible()
    found += usable(page, f"setup-refused-{width}-{scheme}")
    assert found == []
