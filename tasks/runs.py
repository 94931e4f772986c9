"""What every flow and task of the hub has in common: names of runs, options of tasks, the artifact with the counts."""

from collections.abc import Callable, Coroutine
from functools import wraps
from pathlib import Path
from traceback import extract_tb
from typing import Any, ParamSpec, TypeVar

import httpx
import structlog
from prefect import Task, task
from prefect.artifacts import acreate_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.context import FlowRunContext
from prefect.exceptions import PrefectException
from prefect.runtime import flow_run
from sqlalchemy.exc import DBAPIError

from models.kernel.audit import Actor
from models.kernel.clock import utc_now
from models.kernel.errors import LabwireError
from tasks.tally import Tally

P = ParamSpec("P")
R = TypeVar("R")
AsyncFunction = Callable[P, Coroutine[Any, Any, R]]

HERE = Path(__file__).parent.parent

log = structlog.get_logger(__name__)


class UnexpectedError(LabwireError):
    """A defect, named by the class of the error and its place in our code; the original message may hold values."""


def named_run() -> str:
    """The name of the present run: what, for whom, when (`deliver-messages · north · 2026-11-20 13:40:05Z`)."""
    parameters = {name: value for name, value in flow_run.parameters.items() if value not in (None, "", False)}
    tenant = parameters.pop("tenant", None) or "all"
    others = [f"{name.removesuffix('_id')} {value}" for name, value in parameters.items()]
    when = flow_run.scheduled_start_time or utc_now()
    return " · ".join([str(flow_run.flow_name), str(tenant), *others, f"{when:%Y-%m-%d %H:%M:%S}Z"])


def flow_actor() -> Actor:
    """The present run as the audit trail names it; outside a run its id is empty."""
    return Actor("flow", str(flow_run.id or ""), str(flow_run.flow_name or "outside a flow"))


def batch_task(function: AsyncFunction[P, R]) -> Task[P, Coroutine[Any, Any, R]]:
    """A task that handles a batch: nothing cached, no result kept, and no error that could carry a patient's data.

    An error that is not ours is raised as `UnexpectedError`: Prefect would store its message, and the messages of
    databases and validators quote values.
    """

    @wraps(function)
    async def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return await function(*args, **kwargs)
        except LabwireError:
            raise
        except Exception as error:  # noqa: BLE001  # raised again, without its message
            raise UnexpectedError(described(error)) from None

    as_task = task(cache_policy=NO_CACHE, persist_result=False, task_run_name=function.__name__)
    return as_task(guarded)


def described(error: BaseException) -> str:
    """An error without its message: class, SQLSTATE and constraint of a database error, where in our code it rose."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    text = type(error).__name__
    if isinstance(error, DBAPIError) and error.orig is not None:
        diagnosis = getattr(error.orig, "diag", None)
        facts = [getattr(error.orig, "pgcode", None), getattr(diagnosis, "constraint_name", None)]
        text = " ".join([type(error.orig).__name__, *(fact for fact in facts if fact)])
    ours = [frame for frame in extract_tb(error.__traceback__) if Path(frame.filename).is_relative_to(HERE)]
    ours = [frame for frame in ours if ".venv" not in frame.filename]
    if not ours:
        return text
    place = Path(ours[-1].filename).relative_to(HERE)
    return f"{text} in {ours[-1].name} ({place}:{ours[-1].lineno})"


async def publish_tally(tally: Tally) -> None:
    """Leave the counts as a table on the run's page. Without a run, or without Prefect's server, nothing happens."""
    context = FlowRunContext.get()
    if context is None or context.flow is None:
        return
    rows = [{"what": what, "number": number} for what, number in (tally.counts + tally.problems).items()]
    try:
        await acreate_table_artifact(rows or [{"what": "nothing to do", "number": 0}], key=context.flow.name)
    except (httpx.HTTPError, PrefectException) as error:
        log.warning("the counts could not be shown", error=type(error).__name__)
