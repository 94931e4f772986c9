"""`labwire audit verify` and `labwire replay`, as scripts use them."""

import json
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from sqlalchemy import select, update
from typer.testing import CliRunner, Result

from deployments.cli.main import app
from models.kernel.settings import settings
from models.kernel.tables import AuditEvent, Delivery, Tenant
from models.kernel.tenancy import owner_session, tenant_session
from tests.conftest import Database
from tests.factories import make_tenant
from tests.kernel.trail import as_superuser, ids, seal, write
from tests.upkeep.helpers import deliveries, publish_mail, states

pytestmark = pytest.mark.store


@pytest.fixture
def north(database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setenv("LABWIRE_AUDIT_HEAD_DIR", str(tmp_path))
    monkeypatch.setenv("LABWIRE_PREFECT_API_URL", "http://127.0.0.1:1/api")
    settings.cache_clear()
    return make_tenant("north")


def labwire(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


class TestVerify:
    def test_a_sound_trail_ends_with_0(self, north: int) -> None:
        write(north, 3)
        seal(north)
        write(north, 2)
        told = labwire("audit", "verify")
        assert told.exit_code == 0
        assert told.stdout == "north: 3 sealed, 2 not yet sealed, 1 heads\n  nothing found\n"

    def test_findings_are_named_and_end_with_1(self, north: int, database: Database) -> None:
        write(north, 5)
        seal(north)
        wanted = ids(north)
        with as_superuser(database) as execute:
            execute(f"UPDATE audit_event SET action = 'x' WHERE id = {wanted[1]}")
            execute(f"DELETE FROM audit_event WHERE id IN ({wanted[3]}, {wanted[4]})")
        told = labwire("audit", "verify", "--tenant", "north")
        assert told.exit_code == 1
        assert f"EDITED: the audit row was changed (position 2; audit row {wanted[1]})" in told.stdout
        rows = f"{wanted[3]}, {wanted[4]}"
        assert f"DELETED: the audit row is missing (positions 4 to 5; audit row {rows})" in told.stdout
        answer = json.loads(labwire("audit", "verify", "--json").stdout)
        assert answer["is_sound"] is False
        [of_north] = answer["tenants"]
        assert [finding["fault"] for finding in of_north["findings"]] == ["edited", "deleted"]
        assert of_north["findings"][1]["ids"] == wanted[3:]

    def test_closed_laboratories_are_verified_too(self, north: int, database: Database) -> None:
        write(north, 1)
        seal(north)
        with owner_session() as session:
            session.execute(update(Tenant).values(is_active=False))
        with as_superuser(database) as execute:
            execute("DELETE FROM audit_event")
        assert labwire("audit", "verify").exit_code == 1

    def test_an_unknown_laboratory_is_an_error(self, north: int) -> None:
        told = labwire("audit", "verify", "-t", "west")
        assert (told.exit_code, told.stderr) == (1, "labwire: tenant: no active tenant of that slug\n")


class TestReplay:
    def test_one_delivery_is_due_again_and_prefect_may_be_away(self, north: int) -> None:
        publish_mail(north, 2)
        with tenant_session(north) as session:
            session.execute(update(Delivery).values(state="dead"))
        first = deliveries(north)[0].id
        told = labwire("replay", str(first))
        assert told.exit_code == 0, told.stderr
        assert told.stdout == f"Delivery {first} to mail is due again and goes with the next scheduled run.\n"
        assert states(north) == {"due": 1, "dead": 1}
        with tenant_session(north) as session:
            [row] = session.scalars(select(AuditEvent).where(AuditEvent.action == "delivery.replay")).all()
        assert row.actor_label.endswith("at the command line")

    def test_what_is_not_possible_ends_with_1_and_says_why(self, north: int) -> None:
        make_tenant("south")
        publish_mail(north, 1)
        only = deliveries(north)[0].id
        for arguments, complaint in (
            ((str(only),), f"delivery {only} is due; only a finished one can be replayed"),
            ((str(only), "--tenant", "south"), f"no delivery {only}"),
            (("999999",), "no delivery 999999"),
        ):
            told = labwire("replay", *arguments)
            assert told.exit_code == 1
            assert told.stderr == f"labwire: {complaint}\n"
        assert states(north) == {"due": 1}

    def test_the_run_that_sends_it_is_asked_for(
        self, north: int, prefect_stub: list[Any], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        publish_mail(north, 1)
        with tenant_session(north) as session:
            session.execute(update(Delivery).values(state="unknown"))
        only = deliveries(north)[0].id
        answer = json.loads(labwire("replay", str(only), "--json").stdout)
        assert answer == {
            "id": only,
            "tenant": "north",
            "destination": "mail",
            "entity": "assignment:0",
            "state": "due",
        }
        [(path, body)] = prefect_stub
        assert path == "/api/deployments/d-1/create_flow_run"
        assert body["parameters"] == {"tenant": "north"}

    @pytest.fixture
    def prefect_stub(self, north: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Any]]:
        """A server that takes wishes for runs, and what it was asked."""
        asked: list[Any] = []

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.answer({"id": "d-1"})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if self.path.endswith("/filter"):  # no run is waiting to begin
                    self.answer([])
                    return
                asked.append((self.path, body))
                self.answer({"id": "r-1"})

            def answer(self, content: dict[str, str] | list[str]) -> None:
                body = json.dumps(content).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: Any) -> None:  # the base class's name
                pass

        server = HTTPServer(("127.0.0.1", 0), Handler)
        Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("LABWIRE_PREFECT_API_URL", f"http://127.0.0.1:{server.server_port}/api")
        settings.cache_clear()
        yield asked
        server.shutdown()
        server.server_close()
