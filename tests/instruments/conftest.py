"""A laboratory with one analyser, connected."""

from collections.abc import Iterable, Iterator

import pytest

from deployments.simulators.instrument import SimulatedInstrument
from tests.conftest import Database
from tests.instruments.helpers import Lab, make_lab
from tests.instruments.world import SETTINGS, World


@pytest.fixture
def simulator() -> Iterator[SimulatedInstrument]:
    """An analyser that is done at once and honours idempotency keys."""
    with SimulatedInstrument(**SETTINGS) as instrument:
        yield instrument


@pytest.fixture
def world(database: Database, simulator: SimulatedInstrument) -> World:
    """One laboratory with that analyser."""
    made = World(make_lab(), {})
    made.connect(simulator)
    return made


@pytest.fixture
def forgetful(database: Database) -> Iterator[World]:
    """One laboratory with an analyser that takes no notice of idempotency keys."""
    with SimulatedInstrument(honours_keys=False, **SETTINGS) as instrument:
        made = World(make_lab(), {})
        made.connect(instrument)
        yield made


@pytest.fixture
def lab(database: Database) -> Lab:
    """One laboratory with an instrument that nobody answers for."""
    return make_lab()


@pytest.fixture
def wishes(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, list[int]]]:
    """Flow and assignments of every run that pages and routes wish for; no server is asked."""
    from api import runs  # not for every test: it takes a second

    noted: list[tuple[str, list[int]]] = []

    class Noted:
        def add(self, flow: str, tenant: str, ids: Iterable[int]) -> None:
            noted.append((flow, sorted(ids)))

    monkeypatch.setattr(runs, "_wishes", Noted)
    return noted
