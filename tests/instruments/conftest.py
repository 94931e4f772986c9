"""A laboratory with one analyser, connected."""

from collections.abc import Iterator

import pytest

from deployments.simulators.instrument import SimulatedInstrument
from tests.conftest import Database
from tests.instruments.helpers import make_lab
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
