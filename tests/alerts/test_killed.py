"""escalate-alerts killed with SIGKILL at any step of its transaction, and its mails' sender too: each step once."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy.engine.default import DefaultDialect

from deployments.simulators.mailbox import Mailbox
from models.alerts.stores import escalation
from models.kernel import db
from models.kernel.clock import utc_now
from models.kernel.tenancy import tenant_session
from tasks import alerts
from tasks.upkeep.deliver import deliver_kinds
from tasks.upkeep.destinations import KINDS
from tests.alerts.conftest import Clinic
from tests.launcher.running import PATIENCE_SECONDS
from tests.upkeep.helpers import deliveries, let_time_pass, message_ids, states, use_mailbox

pytestmark = [pytest.mark.store, pytest.mark.rerun]
PATIENTS = 3
Step = tuple[Any, str, str, int]

STEPS: dict[str, Step] = {
    "when the first alert is locked": (escalation.Way, "advance", "before", 1),
    "before somebody is told": (escalation.Way, "_tell", "before", 1),
    "between two steps of the ladder": (escalation.Way, "_tell", "after", 1),
    "before they are written down": (escalation, "write_down", "before", 1),
    "when they and their mails are written down": (escalation, "write_down", "after", 1),
    "when the second alert is locked": (escalation.Way, "advance", "before", 2),
    "when the second alert's are written down": (escalation, "write_down", "after", 2),
}
COMMITS = {"right before the commit": ("before", 1), "right after the commit": ("after", 1), "the last": ("after", 3)}


def die() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def die_at(step: Step) -> None:
    """Replace the function of that step by one that ends this process before or after its n-th call."""
    owner, name, when, times = step
    original: Callable[..., Any] = getattr(owner, name)
    calls = [0]

    def counted(*args: Any, **kwargs: Any) -> Any:
        calls[0] += 1
        if calls[0] == times and when == "before":
            die()
        result = original(*args, **kwargs)
        if calls[0] == times:
            die()
        return result

    setattr(owner, name, counted)


def die_at_commit(when: str, times: int) -> None:
    """End this process before or after the n-th commit of the task: when all of it was sent to the database."""
    original: Callable[[Any, Any], None] = DefaultDialect.do_commit
    commits = [0]

    def commit(self: Any, connection: Any) -> None:
        if commits[0] == times and when == "before":
            die()
        original(self, connection)
        if commits[0] == times:
            die()

    @contextmanager
    def counted(tenant_id: int) -> Iterator[Any]:
        with tenant_session(tenant_id) as session:
            yield session
            commits[0] += 1

    setattr(DefaultDialect, "do_commit", commit)  # noqa: B010 - mypy holds methods to be constants
    setattr(alerts, "tenant_session", counted)  # noqa: B010 - an import of that module


def killed(arm: Callable[[], None]) -> int:
    """The task in a process of its own, one alert to a transaction; how that ended."""
    child = os.fork()
    if not child:
        try:
            db.engine.cache_clear()  # the connections are the parent's
            escalation.MOST_AT_ONCE = alerts.MOST_AT_ONCE = 1  # type: ignore[attr-defined]
            arm()
            asyncio.run(alerts.escalate_due_alerts.fn(""))
            os._exit(0)
        finally:
            os._exit(1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def overdue(clinic: Clinic) -> None:
    """Alerts whose patients had until long ago to answer: both steps of the ladder are due."""
    clinic.now = utc_now().replace(year=2026, month=1, day=1)
    for number in range(PATIENTS):
        clinic.reads(f"P{number}", heart_rate=150)


def run_again(clinic: Clinic) -> None:
    """The next runs, until nothing is due: the database lets go of a dead process's locks when it notices."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while clinic.rows("SELECT 1 FROM alert WHERE next_step_at IS NOT NULL"):
        assert time.monotonic() < deadline
        asyncio.run(alerts.escalate_due_alerts.fn(""))


def each_once(clinic: Clinic) -> None:
    """Every alert was given up as unanswered once, and went up each step of the ladder once, with a mail to each."""
    story = clinic.rows("SELECT alert_id, name, round, step FROM alert_event ORDER BY alert_id, id")
    assert [tuple(row) for row in story] == [
        (number, name, *place)
        for number in range(1, PATIENTS + 1)
        for name, *place in (
            ("opened", 0, None),
            ("asked", 0, None),
            ("unanswered", 0, None),
            ("told", 1, 0),
            ("told", 1, 1),
        )
    ]
    assert Counter(clinic.told()) == dict.fromkeys(("doctor", "nurse", "emergency"), PATIENTS)


def wanted_ids(clinic: Clinic) -> Counter[str]:
    mails = deliveries(clinic.tenant_id)
    assert len(mails) == PATIENTS * 4  # the question, and three who are told
    return Counter(f"<labwire-{one.tenant_id}-{one.id}@example.org>" for one in mails)


@pytest.fixture
def mailbox(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mailbox]:
    with Mailbox() as running:
        use_mailbox(running, monkeypatch)
        yield running


@pytest.mark.parametrize("name", [*STEPS, *COMMITS])
def test_killed_anywhere_each_step_is_done_once_and_each_mail_goes_once(
    clinic: Clinic, mailbox: Mailbox, name: str
) -> None:
    overdue(clinic)
    arm = (lambda: die_at_commit(*COMMITS[name])) if name in COMMITS else (lambda: die_at(STEPS[name]))
    assert killed(arm) == -signal.SIGKILL
    done = {"right after the commit": 1, "the last": 3}.get(name, 1 if "second" in name else 0)
    assert len(clinic.told()) == done * 3, "an alert's steps are all there, or none of them"
    run_again(clinic)
    each_once(clinic)
    asyncio.run(deliver_kinds(KINDS, idle_seconds=0.1))
    asyncio.run(alerts.escalate_due_alerts.fn(""))
    asyncio.run(deliver_kinds(KINDS, idle_seconds=0.1))
    assert message_ids(mailbox) == wanted_ids(clinic)


@pytest.mark.chaos
@pytest.mark.parametrize("step", ["after the claim", "before the intent is committed", "before the send"])
def test_killed_after_the_commit_and_again_before_the_mail_goes(clinic: Clinic, mailbox: Mailbox, step: str) -> None:
    overdue(clinic)
    assert killed(lambda: die_at_commit("after", 1)) == -signal.SIGKILL
    line = [sys.executable, "-m", "tests.upkeep.killed_sender", step, "1"]
    sender = subprocess.run(line, capture_output=True, text=True, timeout=PATIENCE_SECONDS, check=False)
    assert sender.returncode == -signal.SIGKILL, sender.stderr[-2000:]
    assert mailbox.messages == []
    run_again(clinic)
    each_once(clinic)
    let_time_pass(clinic.tenant_id)
    asyncio.run(deliver_kinds(KINDS, idle_seconds=0.1))
    assert message_ids(mailbox) == wanted_ids(clinic)
    assert states(clinic.tenant_id) == {"done": PATIENTS * 4}
