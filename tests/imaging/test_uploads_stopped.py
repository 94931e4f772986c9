"""Uploads that came to a stop are told of, once, and given up when nothing comes of that."""

from collections.abc import Iterator

import pytest
from sqlalchemy import text

from deployments.simulators.mailbox import Mailbox
from models.kernel.tenancy import tenant_session
from tasks.clients.storage.spool import spool_of
from tasks.imaging.completing import Completing
from tasks.upkeep.deliver import deliver_kinds
from tasks.upkeep.destinations import KINDS
from tests.imaging.conftest import Clinic
from tests.imaging.dicoms import ct
from tests.imaging.stopped_uploads import came_to, declare, declared, ended, let_pass, run, states
from tests.upkeep.helpers import use_mailbox

pytestmark = [pytest.mark.store]


@pytest.fixture
def mailbox(monkeypatch: pytest.MonkeyPatch, clinic: Clinic) -> Iterator[Mailbox]:
    with Mailbox() as made:
        use_mailbox(made, monkeypatch)
        yield made


async def test_an_uploader_is_told_once_by_one_mail_that_names_no_file(clinic: Clinic, mailbox: Mailbox) -> None:
    name = "Zyxwhistle-1931.dcm"
    first, second = declare(clinic, ct(1), ct(2), filename=name)
    assert run().message == "nothing to do"
    let_pass(clinic, "25 hours")
    report = ended()
    assert report.tally.message == "reminded of 2"
    assert came_to(report) == [(first["id"], "reminded of"), (second["id"], "reminded of")]
    assert run().message == "nothing to do"
    await deliver_kinds(KINDS, idle_seconds=0.1)
    [mail] = mailbox.messages
    assert "Zyxwhistle" not in f"{mail.subject} {mail.text} {mail.html}"
    assert f"upload {first['id']}: 0 of" in str(mail.text)
    clinic.send(second["id"], ct(2)[:100])
    let_pass(clinic, "25 hours")
    assert run().message == "reminded of 1"


def test_without_anybody_to_tell_the_run_says_so_once(clinic: Clinic) -> None:
    [upload] = declare(clinic, ct(1))
    let_pass(clinic, "25 hours")
    with tenant_session(clinic.tenant_id) as session:
        session.execute(text("UPDATE app_user SET is_active = false"))
    report = ended()
    assert report.tally.problems == {"nobody to mail": 1}
    assert came_to(report) == [(upload["id"], "nobody to mail")]
    assert run().message == "nothing to do"


def test_nothing_is_given_up_before_people_had_time_to_react(clinic: Clinic) -> None:
    """The hub stood still for longer than an upload may wait."""
    declare(clinic, ct(1))
    let_pass(clinic, "8 days")
    assert run().message == "reminded of 1"
    assert run().message == "nothing to do"
    let_pass(clinic, "25 hours")
    assert run().message == "expired 1"
    assert came_to(ended()) == []
    assert states(clinic) == ["expired"]


def test_after_days_without_a_byte_an_upload_is_given_up_with_its_file(clinic: Clinic) -> None:
    torn, sent = declared(clinic, ct(1), ct(2))
    for number in (torn, sent):
        with spool_of(clinic.slug).opened(number) as growing:
            growing.empty()
            growing.write(b"DICM", 0)
    let_pass(clinic, "7 days")
    assert ended(Completing.remind).tally.message == "reminded of 2"
    let_pass(clinic, "25 hours")
    with spool_of(clinic.slug).opened(sent):
        report = ended(Completing.expire)
    assert report.tally.message == "expired 1, being sent 1"
    assert came_to(report) == [(torn, "expired")]
    assert states(clinic) == ["expired", "declared"]
    assert [path.name for path in clinic.spool()] == [str(sent)]
    clinic.rows(f"UPDATE image_upload SET touched_at = now() WHERE id = {sent} RETURNING 1")
    assert run().message == "nothing to do"
    [row] = clinic.rows("SELECT actor_kind FROM audit_event WHERE action = 'image_upload.expired'")
    assert row.actor_kind == "system"
