"""The three doors, given anything at all: never a mistake of ours (5xx), and never an answer that is not documented.

`LABWIRE_TEST_FUZZ_EXAMPLES=20000` looks further, each time elsewhere; without it the same few hundred requests are
sent each time.
"""

import json
import logging
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from itertools import product
from typing import Any
from urllib.parse import urlsplit

import psycopg2
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from api.errors import ErrorAnswer
from api.middleware import MOST_BODY_BYTES
from api.vitals.answers import BatchAnswer, HeldAnswer, StatusAnswer, SubmitAnswer
from tests.conftest import Database
from tests.vitals import fuzzing
from tests.vitals.conftest import Worn
from tests.vitals.raw_http import Answer, request, send
from tests.vitals.serving import served

pytestmark = pytest.mark.api
EXAMPLES = int(os.environ.get("LABWIRE_TEST_FUZZ_EXAMPLES", "0"))
SINGLE, BATCH, STATUS = "/api/iot/vitals/", "/api/iot/vitals/batch/", "/api/iot/status/"
ANSWERS: dict[str, dict[int, type[BaseModel]]] = {
    SINGLE: {200: SubmitAnswer, 202: HeldAnswer},
    BATCH: {200: BatchAnswer, 202: BatchAnswer},
    STATUS: {200: StatusAnswer},
}
CHECKS: Any = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
REFUSALS = {400, 401, 403, 413}
MORE_OF_A_BATCH = set(BatchAnswer.model_fields)
"""A batch of which nothing was taken says of each reading why."""


@pytest.fixture
def door(worn: Worn, database: Database, caplog: pytest.LogCaptureFixture) -> Iterator["Door"]:
    worn.clinic.rows("UPDATE device SET rate_per_minute = 1000000 RETURNING id")
    with served() as address, closing(psycopg2.connect(database.superuser_url)) as connection:
        connection.autocommit = True
        made = Door(worn, address, connection.cursor())
        yield made
        made.look_at_everything()
    logged = caplog.get_records("call") + caplog.get_records("teardown")
    assert [record.getMessage() for record in logged if record.levelno >= logging.ERROR] == []


class Door:
    """Sends, and looks at the answer and at what is in the database afterwards."""

    def __init__(self, worn: Worn, address: str, cursor: Any) -> None:
        self.worn, self.address, self._cursor = worn, address, cursor
        self.created: set[int] = set()
        self.held = 0

    def send(self, path: str, sent: bytes, method: str = "POST") -> Answer:
        answer = send(self.address, sent, method)
        expected = ANSWERS[path].get(answer.status)
        if expected is None:
            assert answer.status in REFUSALS, (answer.status, answer.body, sent[-2000:])
            self._is_refusal(path, answer)
            return answer
        assert answer.headers["content-type"] == "application/json"
        body = answer.json()
        expected.model_validate(body, strict=True)
        assert set(body) <= set(expected.model_fields)
        assert body["success"] is (answer.status == 200)
        if path != STATUS:
            self.is_kept(answer.status, body)
        return answer

    @staticmethod
    def _is_refusal(path: str, answer: Answer) -> None:
        body = answer.json()
        ErrorAnswer.model_validate(body, strict=True)
        assert body["success"] is False
        assert body["error"]
        assert set(body) - {"success", "error"} <= (MORE_OF_A_BATCH if path == BATCH else set())
        assert (answer.headers.get("www-authenticate") == "Bearer") is (answer.status == 401)

    def is_kept(self, status: int, body: dict[str, Any]) -> None:
        """What was answered is there at that very moment."""
        created = set(body["vitals_created"] if "vitals_created" in body else {body["vital_sign_id"]} - {None})
        assert bool(created) is (status == 200)
        self._cursor.execute(
            "SELECT id FROM vital_sign WHERE id = ANY(%s) AND device_id = %s AND patient_id = %s",
            (list(created), self.worn.device_id, self.worn.patient_id),
        )
        assert {id_ for (id_,) in self._cursor.fetchall()} == created
        self.created |= created
        self.held += bool(body.get("held"))

    def look_at_everything(self) -> None:
        """Nothing else is there: what was refused was not stored."""
        self._cursor.execute("SELECT array_agg(id) FROM vital_sign")
        assert set(self._cursor.fetchone()[0] or ()) == self.created
        self._cursor.execute("SELECT count(*) FROM held_reading")
        assert bool(self._cursor.fetchone()[0]) is bool(self.held)


def tried(examples: int) -> Callable[[Any], Any]:
    """The same examples each time, unless more are wanted."""
    return settings(
        max_examples=EXAMPLES or examples,
        derandomize=not EXAMPLES,
        deadline=None,
        database=None,
        phases=[Phase.generate, Phase.shrink],
        suppress_health_check=list(HealthCheck),
    )


def key_headers(worn: Worn) -> list[tuple[bytes, bytes]]:
    return [(b"Authorization", f"Bearer {worn.key}".encode()), (b"Content-Type", b"application/json")]


@pytest.mark.parametrize(("path", "bodies"), [(SINGLE, fuzzing.singles), (BATCH, fuzzing.batches)])
def test_any_body_is_answered_as_documented(door: Door, path: str, bodies: Callable[[], fuzzing.Body]) -> None:
    statuses: set[int] = set()

    @tried(400)
    @given(bodies())
    def run(body: bytes) -> None:
        statuses.add(door.send(path, request("POST", path, key_headers(door.worn), body)).status)

    run()
    assert statuses >= {200, 202, 400}, "the requests reach every part of the door"


@pytest.mark.parametrize("path", [SINGLE, BATCH, STATUS])
def test_any_headers_and_framing_are_answered_as_documented(door: Door, path: str) -> None:
    body = {SINGLE: fuzzing.singles(), BATCH: fuzzing.batches(), STATUS: st.just(b"")}[path]
    method = "GET" if path == STATUS else "POST"

    @tried(150)
    @given(
        fuzzing.authorizations(door.worn.key),
        fuzzing.more_headers,
        st.booleans(),
        st.sampled_from([0, 0, 1, 7, 4096]),
        body,
    )
    def run(keys: Any, more: Any, has_slash: bool, chunk: int, sent: bytes) -> None:
        target = path if has_slash else path.rstrip("/")
        door.send(path, request(method, target, [*keys, *more], sent, chunk=min(chunk, len(sent))), method)

    run()


def test_every_field_may_hold_anything(door: Door) -> None:
    values = fuzzing.NUMBERS + fuzzing.STRINGS + fuzzing.SHAPES + fuzzing.MOMENTS_AS_JSON
    for days, name in enumerate(fuzzing.FIELDS, 1):
        at = (fuzzing.NOW - timedelta(days=days)).strftime("%Y-%m-%dT08:30:00")
        given = [
            f'{{"timestamp":"{at}.{place:06}Z","heart_rate":75,{json.dumps(name)}:{value}}}'
            for place, value in enumerate(values)
        ]
        body = f'{{"device_id":"DEV001","readings":[{",".join(given)}]}}'
        answer = door.send(BATCH, request("POST", BATCH, key_headers(door.worn), body.encode()))
        assert answer.json()["total_readings"] == len(values)


def try_operation(door: Door, schema: Any, path: str, mode: GenerationMode) -> None:
    (operation,) = schema[path].values()

    @tried(50)
    @given(case=operation.as_strategy(generation_mode=mode))
    def run(case: Case[Any]) -> None:
        answer = case.call_and_validate(headers={"Authorization": f"Bearer {door.worn.key}"}, checks=CHECKS)
        if answer.status_code in (200, 202) and path != STATUS:
            door.is_kept(answer.status_code, answer.json())

    run()


def test_what_the_description_of_the_api_allows_and_forbids(door: Door) -> None:
    schema = schemathesis.openapi.from_url(f"{door.address}/openapi.json")
    for path, mode in product(ANSWERS, (GenerationMode.POSITIVE, GenerationMode.NEGATIVE)):
        try_operation(door, schema, path, mode)


def test_a_body_without_end_is_refused(door: Door) -> None:
    for chunk in (0, 65_536):
        sent = request("POST", SINGLE, key_headers(door.worn), b" " * (MOST_BODY_BYTES + 1), chunk=chunk)
        assert door.send(SINGLE, sent).status == 413


def test_other_methods_are_no_door(door: Door) -> None:
    for path, method in product(ANSWERS, ("GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "HEAD")):
        for target in (path, path.rstrip("/")):
            if method != ("GET" if path == STATUS else "POST"):
                answer = send(door.address, request(method, target, key_headers(door.worn), b"{}"), method)
                assert answer.status == 405, (method, target)
                assert method == "HEAD" or answer.json()["success"] is False


def test_who_hangs_up_halfway_is_no_mistake_of_ours(door: Door) -> None:
    parts = urlsplit(door.address)
    assert parts.hostname is not None
    for path in ANSWERS:
        whole = request("GET" if path == STATUS else "POST", path, key_headers(door.worn), b'{"device_id": "DEV001"}')
        for end in (1, len(whole) // 2, len(whole) - 1):
            with socket.create_connection((parts.hostname, parts.port or 80), 30) as connection:
                connection.sendall(whole[:end])
