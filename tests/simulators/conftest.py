"""One analyser, one mailbox, and a client that speaks to the analyser with a valid key."""

import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import trustme

from deployments.simulators.instrument import SimulatedInstrument
from deployments.simulators.mailbox import Mailbox

# The example of the interface document, word for word.
DOCUMENTED = {
    "id": 0,
    "patientId": "PAT-001",
    "testName": "CBC",
    "testCode": "LAB-CBC",
    "sampleId": "SAMP-123",
    "requestId": "REQ-456",
    "priority": "routine",
    "specimenType": "Blood",
    "metadata": {"assignmentId": 789, "vendorId": 1, "departmentId": 3},
}


def order(request_id: str = "REQ-456", **changes: Any) -> dict[str, Any]:
    """The documented order under another requestId, with changed fields."""
    return DOCUMENTED | {"requestId": request_id} | changes


def client_of(instrument: SimulatedInstrument, **options: Any) -> httpx.Client:
    """A client with the analyser's key."""
    headers = {instrument.options.auth_header: instrument.api_key}
    return httpx.Client(base_url=instrument.url, headers=headers, trust_env=False, timeout=5, **options)


@pytest.fixture
def instrument() -> Iterator[SimulatedInstrument]:
    with SimulatedInstrument(queue_seconds=0, run_seconds=0, first_id=12345) as running:
        yield running


@pytest.fixture
def client(instrument: SimulatedInstrument) -> Iterator[httpx.Client]:
    with client_of(instrument) as client:
        yield client


@pytest.fixture
def mailbox(tmp_path: Path) -> Iterator[Mailbox]:
    with Mailbox(tmp_path / "mail", control=True) as running:
        yield running


@pytest.fixture(scope="session")
def authority() -> trustme.CA:
    return trustme.CA()


@pytest.fixture(scope="session")
def certificate(authority: trustme.CA, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("certificate")
    issued = authority.issue_cert("127.0.0.1", "localhost")
    chain, key = folder / "chain.pem", folder / "key.pem"
    issued.private_key_and_cert_chain_pem.write_to_path(chain)
    issued.private_key_pem.write_to_path(key)
    return chain, key


@pytest.fixture(scope="session")
def trust(authority: trustme.CA) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context
