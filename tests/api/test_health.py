import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from sqlalchemy import text

from api import health
from models.kernel import db
from models.kernel.settings import settings
from models.kernel.tenancy import owner_session
from tests.api.helpers import client, make_user, signed_in
from tests.conftest import Database

pytestmark = pytest.mark.api


@pytest.fixture(autouse=True)
def ask_prefect_anew() -> None:
    health._prefect_state.cache_clear()


class Answering(BaseHTTPRequestHandler):
    """Somebody listens, whatever they say."""

    def do_GET(self) -> None:
        self.send_response(401)
        self.end_headers()

    def log_message(self, *arguments: object) -> None:
        """Keep quiet."""


def test_the_process_lives_without_a_database(database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LABWIRE_DATABASE_URL", "postgresql://labwire_app:x@127.0.0.1:1/nothing")
    settings.cache_clear()
    db.engine.cache_clear()
    assert client().get("/healthz").json() == {"status": "alive"}
    answer = client().get("/readyz")
    assert answer.status_code == 503
    assert answer.json()["database"] == "unreachable"


def test_ready_says_whether_prefect_is_there_and_does_not_need_it(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABWIRE_PREFECT_API_URL", "http://127.0.0.1:1/api")
    settings.cache_clear()
    answer = client().get("/readyz")
    expected = {"is_ready": True, "database": "ok", "migrations": "ok", "prefect": "unreachable"}
    assert (answer.status_code, answer.json()) == (200, expected)
    server = HTTPServer(("127.0.0.1", 0), Answering)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setenv("LABWIRE_PREFECT_API_URL", f"http://127.0.0.1:{server.server_port}/api")
    settings.cache_clear()
    health._prefect_state.cache_clear()
    assert client().get("/readyz").json()["prefect"] == "reachable"
    server.shutdown()
    server.server_close()


def test_a_schema_that_is_behind_is_not_ready(database: Database) -> None:
    with owner_session() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '0001'"))
    answer = client().get("/readyz")
    assert (answer.status_code, answer.json()["migrations"]) == (503, "behind")


def test_metrics_count_by_template_and_hold_no_ids(alpha: int) -> None:
    make_user(alpha, "ada@alpha.org", "doctor")
    ada = signed_in("ada@alpha.org")
    ada.get("/api/v1/patients/123456")
    ada.get("/patients/123456", headers={"Accept": "text/html"})
    ada.get("/somewhere/123456")
    ada.request("BREW", "/api/v1/patients")
    found = client().get("/metrics").text
    assert 'labwire_requests_total{method="GET",route="/api/v1/patients/{patient_id}",status="404"}' in found
    assert 'route="/patients/{patient_id}"' in found
    assert 'route="unmatched"' in found
    assert 'method="other"' in found
    assert 'labwire_logins_total{outcome="accepted"}' in found
    assert "123456" not in found
    assert "alpha.org" not in found
    assert json.dumps("BREW") not in found
