"""`labwire tenant | user | token | patient`, as scripts use them."""

import json
from typing import Any

import pytest
from sqlalchemy import text
from typer.testing import CliRunner, Result

from deployments.cli.main import app
from models.kernel.tenancy import owner_session
from tests.api.helpers import audited, client, with_token
from tests.conftest import Database

pytestmark = pytest.mark.store


def run(*words: str, stdin: str = "") -> Result:
    return CliRunner().invoke(app, list(words), input=stdin)


def made(*words: str, stdin: str = "") -> dict[str, Any]:
    done = run(*words, "--json", stdin=stdin)
    assert done.exit_code == 0, done.output
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_a_laboratory_its_people_and_a_patient_in_four_commands(database: Database) -> None:
    tenant = made("tenant", "create", "Korle Bu Hospital", "--time-zone", "Africa/Accra")
    assert tenant["slug"] == "korle-bu-hospital"
    user = made(
        *("user", "create", "Ada@lab.org", "--tenant", tenant["slug"]),
        *("--role", "technician", "--role", "verifier", "--password-stdin"),
        stdin="seven green bottles\n",
    )
    assert user["roles"] == ["technician", "verifier"]
    assert "password_link" not in user
    token = made("token", "create", "ada@lab.org", "--days", "7")
    patient = made("patient", "create", "P123", "--tenant", tenant["slug"])
    program = with_token(token["token"])
    assert program.get("/api/v1/me").json()["time_zone"] == "Africa/Accra"
    assert program.get(f"/api/v1/patients/{patient['id']}").json()["code"] == "P123"
    credentials = {"email": "ada@lab.org", "password": "seven green bottles"}
    assert client().post("/api/v1/sessions", json=credentials).status_code == 201
    assert [row.actor_kind for row in audited(tenant["id"], "patient.create")] == ["system"]
    assert len(audited(tenant["id"], "tenant.create")) == 1


def test_without_a_password_the_link_is_printed_and_works_once(database: Database) -> None:
    made("tenant", "create", "Alpha")
    user = made("user", "create", "ada@alpha.org", "--tenant", "alpha", "--role", "doctor")
    token = user["password_link"].rsplit("/", 1)[1]
    for expected in (204, 404):
        given = {"token": token, "password": "eight red bottles"}
        assert client().post("/api/v1/password-links/use", json=given).status_code == expected
    with owner_session() as session:  # it is printed, not mailed
        assert session.scalar(text("SELECT count(*) FROM outbox_event")) == 0


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (("tenant", "create", "Alpha"), "slug"),
        (("tenant", "create", "Beta", "--time-zone", "Mars/Olympus"), "time_zone"),
        (("tenant", "create", "日本"), "slug"),
        (("user", "create", "nobody", "--tenant", "alpha", "--role", "doctor"), "email"),
        (("user", "create", "a@b.org", "--tenant", "alpha", "--role", "king"), "roles"),
        (("user", "create", "a@b.org", "--tenant", "gamma", "--role", "doctor"), "tenant"),
        (("token", "create", "nobody@b.org"), "email"),
        (("patient", "create", "P1", "--tenant", "gamma"), "tenant"),
        (("patient", "create", "P1", "--tenant", "alpha", "--birth-date", "yesterday"), "birth_date"),
        (("patient", "create", "P1", "--tenant", "alpha", "--sex", "f"), "sex"),
    ],
)
def test_what_is_wrong_is_said_in_a_line_without_a_trace(
    database: Database, words: tuple[str, ...], complaint: str
) -> None:
    made("tenant", "create", "Alpha")
    done = run(*words)
    assert done.exit_code == 1
    assert complaint in done.stderr
    assert "Traceback" not in done.output
    assert isinstance(done.exception, SystemExit)


def test_a_weak_password_from_stdin_is_refused(database: Database) -> None:
    made("tenant", "create", "Alpha")
    words = ("user", "create", "ada@alpha.org", "--tenant", "alpha", "--role", "doctor", "--password-stdin")
    for password in ("short\n", "\n", "nul\0nul\0nul\0\n"):
        done = run(*words, stdin=password)
        assert done.exit_code == 1
        assert "password" in done.stderr or "character" in done.stderr


def test_an_address_known_twice_needs_its_laboratory(database: Database) -> None:
    for name in ("Alpha", "Beta"):
        made("tenant", "create", name)
        made("user", "create", "ada@lab.org", "--tenant", name.lower(), "--role", "doctor")
    done = run("token", "create", "ada@lab.org")
    assert done.exit_code == 1
    assert "alpha, beta" in done.stderr
    token = made("token", "create", "ada@lab.org", "--tenant", "beta", "--scope", "read")
    assert with_token(token["token"]).get("/api/v1/me").json()["tenant_slug"] == "beta"
