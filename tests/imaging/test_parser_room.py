"""Answers that wait for a parser: few wait, the others are told so at once, and no other request waits for them."""

import threading
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

import httpx
import pytest

from api.imaging import locating
from models.kernel.settings import settings
from tasks.clients.dicom.pool import pool
from tests.api.helpers import make_token
from tests.imaging.conftest import Clinic
from tests.imaging.dicoms import SERIES, STUDY, ct
from tests.vitals.serving import served

pytestmark = pytest.mark.api
PATH = f"/dicom-web/studies/{STUDY}/series/{SERIES}"
PATIENCE_SECONDS = 25
"""Less than anybody waits for a parser."""


@contextmanager
def busy_parsers() -> Iterator[None]:
    """Every parser works for somebody else."""
    size = settings().image_parsers
    for _ in range(size):
        pool()._free.acquire()
    try:
        yield
    finally:
        for _ in range(size):
            pool()._free.release()


@pytest.mark.parametrize(
    ("path", "asked"),
    [
        (f"{PATH}/instances/{SERIES}.1/rendered?window={{}},400", 100),
        (f"{PATH}/metadata?seen={{}}", 60),
        (f"{PATH}/instances/{SERIES}.1/frames/1?seen={{}}", 60),
    ],
)
def test_while_parsers_are_busy_few_wait_and_everybody_else_is_served(clinic: Clinic, path: str, asked: int) -> None:
    locating._CACHE._found.clear()
    clinic.stow(ct(1))
    token = make_token(clinic.tenant_id, int(clinic.technician.headers["X-Test-User"]))
    headers = {"Authorization": f"Bearer {token}"}
    refused = threading.Event()
    with (
        served() as address,
        httpx.Client(
            base_url=address, headers=headers, timeout=PATIENCE_SECONDS, limits=httpx.Limits(), trust_env=False
        ) as client,
        ThreadPoolExecutor(asked) as threads,
    ):

        def ask(number: int) -> httpx.Response:
            answer = client.get(path.format(number), timeout=4 * PATIENCE_SECONDS)
            if answer.status_code == 503:
                refused.set()
            return answer

        with busy_parsers():
            waiting = [threads.submit(ask, number) for number in range(asked)]
            assert refused.wait(PATIENCE_SECONDS)
            assert client.get("/api/v1/me").status_code == 200
            assert not all(one.done() for one in waiting)
        answers = [one.result() for one in waiting]
    found = Counter(answer.status_code for answer in answers)
    assert set(found) == {200, 503}
    assert found[200] >= 8
    assert all(int(answer.headers["Retry-After"]) >= 1 for answer in answers if answer.status_code == 503)
