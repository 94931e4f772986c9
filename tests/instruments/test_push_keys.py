"""The keys with which instruments push: shown once, rotated with overlap, refused at once."""

import json
import os
import re
import shutil
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest
import uvicorn
from sqlalchemy import update
from starlette.testclient import TestClient
from typer.testing import CliRunner, Result

from api import runs
from deployments.cli.main import app as command
from models.kernel.clock import utc_now
from models.kernel.settings import settings
from models.kernel.tenancy import tenant_session
from models.people.tables import ApiToken, User
from tests.api.helpers import app, audited, make_user, signed_in, with_token
from tests.conftest import Database
from tests.instruments.desk import sit_down
from tests.instruments.helpers import Lab, make_lab
from tests.instruments.test_routes_isolation import Deaf

pytestmark = pytest.mark.api
DOCUMENT = Path(__file__).parents[2] / "docs" / "instruments.md"


@pytest.fixture(autouse=True)
def no_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runs, "_wishes", Deaf)


@pytest.fixture
def lab(database: Database) -> Lab:
    return make_lab()


@pytest.fixture
def admin(lab: Lab) -> TestClient:
    make_user(lab.tenant_id, "admin@alpha.org", "administrator")
    return signed_in("admin@alpha.org")


def push(lab: Lab, key: str, assignment_id: int, **changed: str) -> int:
    """The status with which the door answers a result pushed under this key."""
    address = f"/api/v1/instruments/{lab.equipment_id}/results"
    answer = with_token(key).post(address, content=lab.body(assignment_id, **changed))
    return int(answer.status_code)


def test_a_key_is_shown_once_and_opens_the_push_door_alone(lab: Lab, admin: TestClient) -> None:
    (one,) = lab.queued()
    address = f"/api/v1/instruments/{lab.equipment_id}/push-keys"
    made = admin.post(address, json={}).json()
    assert made["push_url"].endswith(f"/api/v1/instruments/{lab.equipment_id}/results")
    assert push(lab, made["key"], one) == 202
    (row,) = admin.get(address).json()
    assert made["key"] not in json.dumps(row)
    assert made["key"].startswith(row["prefix"])
    assert row["last_used_at"] is not None
    program = with_token(made["key"])
    for path in ("/api/v1/me", "/api/v1/patients", "/api/v1/assignments", "/api/v1/instruments", address):
        assert program.get(path).status_code == 403, path
    assert program.post(address, json={}).status_code == 403
    (pushed,) = audited(lab.tenant_id, "instrument_message.push")
    assert (pushed.actor_kind, pushed.actor_id) == ("instrument", str(lab.equipment_id))
    (noted,) = audited(lab.tenant_id, "equipment.add_push_key")
    assert (noted.resource_id, noted.changes["prefix"]) == (str(lab.equipment_id), row["prefix"])


def test_the_key_does_not_end_with_the_person_who_made_it(lab: Lab, admin: TestClient) -> None:
    (one,) = lab.queued()
    key = admin.post(f"/api/v1/instruments/{lab.equipment_id}/push-keys", json={}).json()["key"]
    with tenant_session(lab.tenant_id) as session:
        session.execute(update(User).values(is_active=False))
    assert push(lab, key, one) == 202


def test_both_keys_are_valid_for_the_overlap_and_a_revoked_one_is_refused_at_once(lab: Lab, admin: TestClient) -> None:
    (one,) = lab.queued()
    address = f"/api/v1/instruments/{lab.equipment_id}/push-keys"
    first = admin.post(address, json={"expires_in_days": 30}).json()
    second = admin.post(address, json={"overlap_hours": 2}).json()
    assert [push(lab, key["key"], one) for key in (first, second)] == [202, 202]
    ends = {row["id"]: row["expires_at"] for row in admin.get(address).json()}
    assert ends[first["id"]] < (utc_now() + timedelta(hours=2, minutes=1)).isoformat() < ends[second["id"]]
    assert admin.delete(f"{address}/{second['id']}").status_code == 204
    assert push(lab, second["key"], one) == 401
    assert admin.delete(f"{address}/{second['id']}").status_code == 404
    third = admin.post(address, json={"overlap_hours": 0}).json()
    assert [push(lab, key["key"], one) for key in (first, third)] == [401, 202]
    assert len(audited(lab.tenant_id, "equipment.revoke_push_key")) == 1


def test_a_key_that_ran_out_is_refused_and_still_listed(lab: Lab, admin: TestClient) -> None:
    (one,) = lab.queued()
    address = f"/api/v1/instruments/{lab.equipment_id}/push-keys"
    key = admin.post(address, json={}).json()["key"]
    with tenant_session(lab.tenant_id) as session:
        session.execute(update(ApiToken).values(expires_at=utc_now() - timedelta(seconds=1)))
    assert push(lab, key, one) == 401
    assert len(admin.get(address).json()) == 1


def test_on_the_page_a_key_is_made_seen_rotated_and_revoked(lab: Lab) -> None:
    desk = sit_down(lab, "keeper", "administrator")
    place = f"/instruments/{lab.equipment_id}"
    assert "Make a push key" in desk.get(place).text
    assert desk.post(f"{place}/push-keys", {"expires_in_days": "0"}).status == 422
    page = desk.post(f"{place}/push-keys", {"expires_in_days": "30"})
    (shown,) = page.of("code", id="new-push-key")
    (one,) = lab.queued()
    assert push(lab, shown.text.strip(), one) == 202
    assert f"Authorization: Bearer {shown.text.strip()}" in page.source
    page = desk.get(place)
    assert shown.text.strip() not in page.source
    assert "Rotate: make the next key" in page.text
    revoke = next(form for form in page.of("form") if form.attributes["action"].endswith("/revoke"))
    assert desk.post(revoke.attributes["action"]).status == 303
    assert push(lab, shown.text.strip(), one) == 401
    assert "refused from now on" in desk.get(place).text
    boss = sit_down(lab, "boss", "supervisor")
    assert boss.get(place).of("section", id="push-keys") == []
    assert boss.post(f"{place}/push-keys", {}).status == 403


def run(*words: str) -> Result:
    return CliRunner().invoke(command, ["instrument", "key", *words])


def test_the_command_makes_a_key_by_name_or_id(lab: Lab) -> None:
    (one,) = lab.queued()
    for named in ("analyzer", str(lab.equipment_id)):
        done = run(named, "--tenant", "alpha", "--json")
        assert done.exit_code == 0, done.output
        made = json.loads(done.stdout)
        assert (made["instrument_id"], made["tenant"]) == (lab.equipment_id, "alpha")
        assert push(lab, made["key"], one) == 202
        assert done.stdout.count(made["key"]) == 1
    told = run("Analyzer", "--tenant", "alpha", "--days", "7").stdout
    assert re.search(r"lw_push_\S{43}\n", told)
    assert [row.actor_kind for row in audited(lab.tenant_id, "equipment.add_push_key")] == ["system"] * 3
    for words, said in ((("Nothing",), "instrument"), (("Analyzer", "--days", "0"), "days")):
        refused = run(*words, "--tenant", "alpha")
        assert refused.exit_code != 0
        assert said in refused.output
        assert "Traceback" not in refused.output


@pytest.fixture
def address(database: Database, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """The API at a real address."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listening:
        port = listening.getsockname()[1]
        monkeypatch.setenv("LABWIRE_API_PORT", str(port))
        settings.cache_clear()
        server = uvicorn.Server(uvicorn.Config(app(), log_level="warning", access_log=False))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not server.started and thread.is_alive():
            time.sleep(0.02)
        yield f"http://127.0.0.1:{port}"
        server.should_exit = True
        thread.join(10)


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl on PATH")
def test_the_command_in_the_documentation_pushes_a_result(lab: Lab, address: str, tmp_path: Path) -> None:
    text = DOCUMENT.read_text()
    (written,) = re.findall(r"```sh\n(curl .*?)```", text, re.DOTALL)
    (result,) = re.findall(r"`result.json`:\n\n```json\n(.*?)```", text, re.DOTALL)
    (one,) = lab.queued()
    ours, documented = json.loads(lab.body(one)), json.loads(result)
    (tmp_path / "result.json").write_text(json.dumps(documented | {name: ours[name] for name in ("id", "patientId")}))
    made = json.loads(run("Analyzer", "--tenant", "alpha", "--json").stdout)
    assert made["push_url"] == f"{address}/api/v1/instruments/{lab.equipment_id}/results"
    given = os.environ | {"PUSH_URL": made["push_url"], "PUSH_KEY": made["key"]}
    shell = ["/bin/sh", "-c", written]
    done = subprocess.run(  # the command is our own documentation's
        shell, cwd=tmp_path, env=given, capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["message_id"] > 0
