"""Mail outlasts a mail server that is away for days: tried again up to an hour apart, for four days at least."""

import random
from datetime import timedelta

import pytest
from sqlalchemy import text

from deployments.simulators.mailbox import Mailbox
from models.kernel.clock import utc_now
from models.kernel.settings import Settings, settings
from models.kernel.tenancy import tenant_session
from models.upkeep.rules import JITTER, LONGEST_MAIL_PAUSE, LONGEST_PAUSE, next_attempt_at
from tasks.upkeep.deliver import deliver_kinds
from tasks.upkeep.destinations import KINDS, Kind
from tests.factories import make_tenant
from tests.upkeep.helpers import deliveries, message_ids, publish_mail, states, use_mailbox

LONGEST = LONGEST_MAIL_PAUSE * (1 + JITTER)


def jump(tenant_id: int) -> timedelta:
    """Set the clock forward to when the first delivery is due, which to the database is the same as: all times back."""
    with tenant_session(tenant_id) as session:
        gap = session.scalar(text("SELECT min(next_attempt_at) - now() FROM delivery WHERE state = 'due'"))
        assert isinstance(gap, timedelta)
        gap = max(gap, timedelta(0)) + timedelta(milliseconds=1)
        session.execute(
            text("UPDATE delivery SET next_attempt_at = next_attempt_at - :gap, created_at = created_at - :gap"),
            {"gap": gap},
        )
    return gap


@pytest.mark.store
@pytest.mark.parametrize("trouble", ["nobody listens", pytest.param("451", marks=pytest.mark.slow)])
async def test_mail_lives_through_three_days_without_a_mail_server_and_goes_out_once(
    mailbox: Mailbox, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    north = make_tenant("north")
    publish_mail(north, 1)
    if trouble == "451":
        mailbox.faults.set("refuse_message", 451)
    else:
        use_mailbox(mailbox, monkeypatch, LABWIRE_SMTP_PORT="1")
    passed, pauses = timedelta(0), []
    while passed < timedelta(days=3):
        await deliver_kinds(KINDS, idle_seconds=0.01)
        assert states(north) == {"due": 1}
        gap = jump(north)
        pauses.append(gap)
        passed += gap
    assert max(pauses) <= LONGEST
    assert len(pauses) < 100  # an hour apart, not hammering
    mailbox.faults.clear()
    use_mailbox(mailbox, monkeypatch)
    waited = timedelta(0)
    while states(north) != {"done": 1}:
        await deliver_kinds(KINDS, idle_seconds=0.01)
        if states(north)["due"]:
            waited += jump(north)
    assert waited <= LONGEST  # once the server is back, mail is out within the hour
    assert list(message_ids(mailbox).values()) == [1]
    assert all(delivery.attempts > 30 for delivery in deliveries(north))


def shortest(attempts: int, longest_pause: timedelta, monkeypatch: pytest.MonkeyPatch) -> timedelta:
    """The time from the first attempt to the last where chance makes every pause as short as it can."""
    monkeypatch.setattr(random, "uniform", lambda low, _: low)
    now = utc_now()
    pauses = [next_attempt_at(now, attempts=n, longest_pause=longest_pause) - now for n in range(1, attempts)]
    return sum(pauses, timedelta(0))


@pytest.mark.unit
def test_a_mail_is_tried_for_four_days_at_least(monkeypatch: pytest.MonkeyPatch) -> None:
    mail = KINDS[0].persistence(Settings())
    assert timedelta(days=4) <= shortest(mail.attempts, mail.longest_pause, monkeypatch) < timedelta(days=4.5)


@pytest.mark.unit
def test_other_destinations_keep_their_eight_attempts_and_four_hours(monkeypatch: pytest.MonkeyPatch) -> None:
    def nothing(config: Settings) -> None:
        raise AssertionError(config)

    other = Kind("webhook:", nothing, may_resend=True, in_flight=1).persistence(Settings())  # type: ignore[arg-type]
    assert (other.attempts, other.longest_pause) == (8, LONGEST_PAUSE)
    assert settings().submission_attempts == 5
    assert shortest(other.attempts, other.longest_pause, monkeypatch) > timedelta(hours=8)
