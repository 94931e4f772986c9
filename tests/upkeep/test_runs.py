"""What every flow and task has in common: errors without their messages, tallies, batches."""

from collections.abc import Callable
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from models.kernel.errors import ConflictError, RetryableError
from models.kernel.tenancy import owner_session
from tasks.batch import Batch
from tasks.runs import UnexpectedError, batch_task, described, publish_tally
from tasks.tally import ProblemsFound, Tally
from tests.conftest import Database
from tests.factories import make_tenant

VALUE = "Quetzalina"


def failing(error: BaseException) -> Callable[[], Any]:
    async def raise_it() -> None:
        raise error

    return batch_task(raise_it).fn


@pytest.mark.unit
async def test_our_own_errors_pass_and_others_are_named_by_class_and_place() -> None:
    for own in (ConflictError("assignment 1 is released"), RetryableError("busy", retry_after_seconds=3)):
        with pytest.raises(type(own)) as passed:
            await failing(own)()
        assert passed.value is own
    for foreign in (ValueError(VALUE), ExceptionGroup("several", [KeyError(VALUE), ValueError(VALUE)])):
        with pytest.raises(UnexpectedError) as described_error:
            await failing(foreign)()
        assert VALUE not in f"{described_error.value!r}"
        assert described_error.value.__suppress_context__
    with pytest.raises(UnexpectedError, match=r"^ValueError in raise_it \(tests/upkeep/test_runs.py:\d+\)$"):
        await failing(ValueError(VALUE))()


@pytest.mark.store
def test_a_database_error_keeps_its_state_and_constraint(database: Database) -> None:
    make_tenant("north")
    with pytest.raises(IntegrityError) as error, owner_session() as session:
        session.execute(text(f"INSERT INTO tenant (slug, name) VALUES ('north', '{VALUE}')"))
    told = described(error.value)
    assert told.startswith("UniqueViolation 23505 tenant_slug_key in ")
    assert VALUE not in told


@pytest.mark.unit
class TestTally:
    def test_the_message_counts_and_problems_make_the_run_failed(self) -> None:
        tally = Tally().count("stored", 12).count("held").count("skipped", 0).note("see the held list")
        state = tally.as_state()
        assert (state.type, state.message, state.data) == ("COMPLETED", "stored 12, held 1; see the held list", tally)
        tally.problem("dead", 2).problem("unknown", 0)
        state = tally.as_state()
        assert (state.type, state.message) == ("FAILED", "stored 12, held 1; dead 2; see the held list")
        assert isinstance(state.data, ProblemsFound)
        assert state.data.tally is tally

    def test_tallies_add_up(self) -> None:
        one = Tally().count("sent", 1).note("a")
        other = Tally().count("sent", 2).problem("dead").note("a").note("b")
        assert one.merge(other).message == "sent 3; dead 1; a; b"
        assert Tally().message == "nothing to do"

    async def test_outside_a_run_nothing_is_published(self) -> None:
        await publish_tally(Tally())


@pytest.mark.unit
def test_a_batch_shows_no_row() -> None:
    batch = Batch([VALUE, "b"])
    assert (len(batch), list(batch), repr(batch)) == (2, [VALUE, "b"], "<Batch of 2>")
    assert not hasattr(batch, "__dict__")
