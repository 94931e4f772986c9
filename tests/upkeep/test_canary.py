"""A patient's data, planted, is found nowhere but in our own database and in the mail to that patient.

Looked through: Prefect's database (parameters, run names, states, logs, artifacts, events), stored results, everything
below the state folder, standard output and error, every error message, and Data Docs: their table and their pages.
"""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import prefect.settings
import pytest
from prefect.client.orchestration import get_client
from prefect.logging.handlers import APILogHandler
from sqlalchemy import select

from deployments.simulators.instrument import SimulatedInstrument
from deployments.simulators.mailbox import Mailbox
from flows.instruments.poll_results import poll_results
from flows.instruments.submit_assignments import submit_assignments
from flows.upkeep.deliver_messages import deliver_messages
from flows.upkeep.seal_audit import seal_audit
from models.kernel.errors import LabwireError
from models.kernel.mail import Mail, mail_event
from models.kernel.outbox import Event, Route, publish_many
from models.kernel.tables import Delivery
from models.kernel.tenancy import tenant_session
from tests.api.helpers import PAGE, make_user, signed_in
from tests.conftest import Database
from tests.instruments.helpers import make_lab
from tests.instruments.world import SETTINGS, World, run_sql
from tests.kernel.trail import as_superuser
from tests.upkeep.canary_images import BORN, CODE, FAMILY, GIVEN, Images, images, provoke_with_images
from tests.upkeep.quality import kept

pytestmark = [pytest.mark.flow, pytest.mark.slow, pytest.mark.xdist_group("prefect")]

__all__ = ["images"]
EMAIL = "qz.whistle@patients.example"
CANARIES = tuple(word.lower().encode() for word in (FAMILY, GIVEN, CODE, BORN, BORN.replace("-", ""), EMAIL))
MARKER = "marker-that-may-be-found"


@pytest.fixture
def world(mailbox: Mailbox, prefect_server: None, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    """A laboratory whose only patient is the canary."""
    monkeypatch.setattr("tasks.upkeep.deliver.IDLE_SECONDS", 0.2)
    with SimulatedInstrument(**SETTINGS) as instrument:
        made = World(make_lab(), {})
        made.connect(instrument)
        run_sql(
            f"UPDATE patient SET family_name = '{FAMILY}', given_names = '{GIVEN}', code = '{CODE}', "
            f"birth_date = '{BORN}', email = '{EMAIL}'"
        )
        yield made


def prefect_files() -> list[Path]:
    """The files of Prefect's database."""
    url = prefect.settings.PREFECT_SERVER_DATABASE_CONNECTION_URL.value()
    assert url is not None
    file = Path(urlsplit(str(url)).path.replace("//", "/"))
    return [path for path in file.parent.iterdir() if path.name.startswith(file.name)]


def files_below(folder: Path) -> list[Path]:
    """Every file in the folder; there are some."""
    files = [path for path in folder.rglob("*") if path.is_file()]
    assert files
    return files


def chain_of(errors: list[object]) -> list[BaseException]:
    """These errors, and those that would be printed with them."""
    found = []
    for error in errors:
        one = error if isinstance(error, BaseException) else None
        while one is not None:
            found.append(one)
            one = one.__cause__ or (None if one.__suppress_context__ else one.__context__)
    assert len(found) >= 3
    return found


def found_in(words: tuple[bytes, ...], paths: list[Path]) -> list[tuple[str, bytes]]:
    found = []
    for path in paths:
        if path.is_file():
            content = path.read_bytes().lower()
            found += [(path.name, word) for word in words if word in content or word.hex().encode() in content]
    return found


async def provoke_everything(world: World, mailbox: Mailbox, database: Database, images: Images) -> list[object]:
    """Runs that go well, runs that hold and refuse, and runs that fall over with a patient's data in the message."""
    tenant_id, ids = world.lab.tenant_id, world.order(4, patient_code=CODE)
    for assignment_id, fault in zip(ids[1:], ("wrong_patient", "broken_json", "failed_qc"), strict=True):
        world.one.faults.set(fault, request_id=f"REQ-{assignment_id}")
    context = {"patient_name": f"{GIVEN} {FAMILY}", "request_id": "REQ-1"}
    mails = [
        mail_event(tenant_id, "it.happened", "x:1", Mail("report_ready", [EMAIL], context)),
        mail_event(tenant_id, "it.happened", "x:2", Mail("report_ready", [f"{FAMILY} is no address"], context)),
        mail_event(tenant_id, "it.happened", "x:3", Mail(f"no_{FAMILY.lower()}", [EMAIL], context)),
        mail_event(tenant_id, "it.happened", "x:4", Mail("report_ready", [f"second.{EMAIL}"], {"wrong": FAMILY})),
        Event("it.happened", "x:5", {"patient": FAMILY}, [Route("mail")]),
        mail_event(tenant_id, "it.happened", "x:6", Mail("report_ready", [f"refused.{EMAIL}"], context)),
    ]
    with tenant_session(tenant_id) as session:
        publish_many(session, tenant_id, mails)
    mailbox.faults.set("refuse_recipient", 550, recipient=f"refused.{EMAIL}")
    errors: list[object] = []
    for flow in (submit_assignments, poll_results, deliver_messages, seal_audit):
        state = await flow(return_state=True)
        errors.append(await state.aresult(raise_on_failure=False))
    errors += await provoke_with_images(world, database, images)
    return errors + await let_the_database_quote_values(world, database)


async def let_the_database_quote_values(world: World, database: Database) -> list[object]:
    """PostgreSQL names values in its messages; here it does so whenever something is updated."""
    world.order(2, patient_code=CODE)
    with tenant_session(world.lab.tenant_id) as session:
        again = mail_event(world.lab.tenant_id, "it.happened", "x:7", Mail("report_ready", [EMAIL], {}))
        publish_many(session, world.lab.tenant_id, [again])
    message = f"RAISE EXCEPTION 'no room for {GIVEN} {FAMILY}, born {BORN}' USING DETAIL = 'Key (code)=({CODE})'"
    with as_superuser(database) as execute:
        execute(f"CREATE FUNCTION burst() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {message}; END $$")
        for table in ("delivery", "assignment"):
            execute(f"CREATE TRIGGER burst BEFORE UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION burst()")
    errors: list[object] = []
    for flow in (submit_assignments, deliver_messages):
        state = await flow(return_state=True)
        assert state.is_failed()
        errors.append(await state.aresult(raise_on_failure=False))
    return errors


async def test_a_patients_data_is_found_nowhere_outside_our_database(
    world: World,
    mailbox: Mailbox,
    database: Database,
    state_folder: Path,
    images: Images,
    capfd: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("DEBUG")
    caplog.set_level("WARNING", "mail.log")  # the mail server's own
    errors = await provoke_everything(world, mailbox, database, images)
    with pytest.raises(LabwireError):
        await seal_audit(tenant=MARKER)
    await APILogHandler.aflush()
    await asyncio.sleep(3)  # the server writes logs and events in batches

    states = {row.entity: (row.state, row.last_answer) for row in _deliveries(world)}
    assert states["x:1"] == ("done", "250 2.0.0 taken")
    assert {states[f"x:{number}"][0] for number in (2, 3, 4, 5, 6)} == {"dead"}
    assert set(world.states(range(1, 5))) == {"A", "H", "U"}

    files = prefect_files()
    assert found_in((MARKER.encode(),), files), "the search itself does not work"
    assert found_in(CANARIES, files) == []
    assert found_in(CANARIES, files_below(state_folder)) == []
    shown = data_docs(world)
    assert [word for word in CANARIES if word in shown] == []
    written = capfd.readouterr()
    messages = [written.out, written.err, caplog.text, str(states)]
    messages += [f"{error!r} {error}" for error in chain_of(errors)]
    lines = "\n".join(messages).lower().encode().splitlines()
    assert [line for line in lines if any(word in line for word in CANARIES)] == []
    async with get_client() as client:
        assert len(await client.read_flow_runs()) >= 7


def data_docs(world: World) -> bytes:
    """Everything that is kept of what was checked, and the pages and answers that show it."""
    tenant_id = world.lab.tenant_id
    checks = kept(tenant_id)
    make_user(tenant_id, "reader@lab.example", "supervisor")
    reader = signed_in("reader@lab.example")
    texts = [str(vars(check)) for check in checks]
    results = [check for check in checks if check.suite == "instrument-results"]
    assert len(results) < len(checks)
    assert sum(check.failed_rows for check in results) == 2, "the wrong patient is not among what was checked"
    for address in ("quality", *(f"quality/{check.id}" for check in checks)):
        for answer in (
            reader.get(f"/{address}", headers=PAGE),
            reader.get(f"/api/v1/{address.replace('quality', 'quality-checks')}"),
        ):
            assert answer.status_code == 200
            texts.append(answer.text)
    return "\n".join(texts).lower().encode()


def _deliveries(world: World) -> list[Delivery]:
    with tenant_session(world.lab.tenant_id) as session:
        return list(session.scalars(select(Delivery).where(Delivery.entity.startswith("x:"))))
