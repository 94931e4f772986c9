"""The same application behind a real server: what only shows on a socket."""

import http.client
import logging
import re
import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import uvicorn

from api.app import create_app
from api.middleware import MOST_BODY_BYTES
from models.kernel.tenancy import tenant_session
from models.people.tables import User
from tests.api.helpers import PASSWORD, make_token, make_user

pytestmark = pytest.mark.api


class Lines(logging.Handler):
    """Keeps what a server logs."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture
def server(alpha: int) -> Iterator[str]:
    """The address of a running server."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    running = uvicorn.Server(uvicorn.Config(create_app(), log_level="info", proxy_headers=False))
    thread = threading.Thread(target=running.run, kwargs={"sockets": [sock]}, daemon=True)
    thread.start()
    while not running.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{sock.getsockname()[1]}"
    running.should_exit = True
    thread.join(10)


def test_tokens_never_reach_the_access_log(server: str) -> None:
    kept = Lines()
    logger = logging.getLogger("uvicorn.access")
    logger.addHandler(kept)
    try:
        httpx.get(f"{server}/reset/lw_reset_VERYSECRET")
        httpx.get(f"{server}/patients?token=VERYSECRET&q=x")
        httpx.get(f"{server}/healthz")
    finally:
        logger.removeHandler(kept)
    assert len(kept.lines) == 3
    assert "VERYSECRET" not in " ".join(kept.lines)
    assert "/healthz" in kept.lines[2]


def test_a_long_body_is_refused_before_it_is_read(server: str) -> None:
    place = server.removeprefix("http://")
    connection = http.client.HTTPConnection(place, timeout=10)
    connection.putrequest("POST", "/api/v1/sessions")
    connection.putheader("Content-Type", "application/json")
    connection.putheader("Content-Length", str(50 * MOST_BODY_BYTES))
    connection.endheaders()
    assert connection.getresponse().status == 413
    connection.close()


def test_a_body_without_an_end_is_refused(server: str) -> None:
    place, piece = server.removeprefix("http://"), b" " * 65536
    host, port = place.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as sock:
        sock.sendall(
            b"POST /api/v1/sessions HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\n"
        )
        sent = 0
        try:
            while sent <= 3 * MOST_BODY_BYTES:
                sock.sendall(f"{len(piece):x}\r\n".encode() + piece + b"\r\n")
                sent += len(piece)
        except OSError:
            pass  # the server has said no and closed
        found = re.match(rb"HTTP/1\.1 (\d+)", sock.recv(4096))
    assert found
    assert found[1] == b"413"


@pytest.mark.usefixtures("real_hashes")
def test_many_guesses_at_once_never_get_more_than_the_allowed_attempts(server: str, alpha: int) -> None:
    user_id = make_user(alpha, "ada@alpha.org")

    def guess(number: int) -> int:
        credentials = {"email": "ada@alpha.org", "password": f"guess {number}"}
        return httpx.post(f"{server}/api/v1/sessions", json=credentials, timeout=30).status_code

    with ThreadPoolExecutor(12) as pool:
        statuses = list(pool.map(guess, range(24)))
    assert set(statuses) <= {401, 429}
    with tenant_session(alpha) as session:
        user = session.get_one(User, (alpha, user_id))
    assert user.failed_logins <= 5
    assert user.locked_until is not None
    right = {"email": "ada@alpha.org", "password": PASSWORD}
    assert httpx.post(f"{server}/api/v1/sessions", json=right, timeout=30).status_code == 401


@pytest.mark.usefixtures("real_hashes")
def test_a_flood_of_sign_ins_leaves_other_requests_alone(server: str, alpha: int) -> None:
    """Sign-ins beyond those being worked on are told to come back, so they never hold all threads of the server."""
    token = make_token(alpha, make_user(alpha, "grace@alpha.org"))
    wrong = {"email": "nobody@alpha.org", "password": "x"}
    statuses: list[int] = []

    def sign_in(_: int) -> None:
        statuses.append(httpx.post(f"{server}/api/v1/sessions", json=wrong, timeout=60).status_code)

    with ThreadPoolExecutor(60) as flood:
        flood.map(sign_in, range(120))
        while not statuses:
            time.sleep(0.01)
        answer = httpx.get(f"{server}/api/v1/me", headers={"Authorization": f"Bearer {token}"}, timeout=10)
    assert answer.status_code == 200
    assert set(statuses) == {401, 429}


@pytest.mark.usefixtures("real_hashes")
def test_an_unknown_address_takes_as_long_as_a_wrong_password(server: str, alpha: int) -> None:
    make_user(alpha, "ada@alpha.org")

    def best(email: str) -> float:
        times = []
        for _ in range(4):
            started = time.perf_counter()
            httpx.post(f"{server}/api/v1/sessions", json={"email": email, "password": "wrong password"}, timeout=30)
            times.append(time.perf_counter() - started)
        return min(times)

    best("nobody@alpha.org")
    known, unknown = best("ada@alpha.org"), best("nobody@alpha.org")
    assert unknown > known / 3  # a hash is computed either way: far more than the rest of the work
