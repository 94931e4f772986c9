"""Nothing that an outside system answers may end the work for all the others."""

from collections.abc import Callable, Coroutine
from functools import wraps
from traceback import extract_tb
from typing import Any, ParamSpec, TypeVar

import structlog

from models.kernel.errors import LabwireError

P = ParamSpec("P")
R = TypeVar("R")
Call = Callable[P, Coroutine[Any, Any, R]]

log = structlog.get_logger(__name__)


def contained(kind: type[LabwireError], what: str = "an outside system") -> Callable[[Call[P, R]], Call[P, R]]:
    """A call whose unexpected errors are raised as `kind`, without their messages: these quote what was received.

    Runs serve the instruments of all laboratories together. An answer we did not think of is then one failed call,
    and is logged with the line that did not expect it.
    """

    def decorate(call: Call[P, R]) -> Call[P, R]:
        @wraps(call)
        async def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return await call(*args, **kwargs)
            except LabwireError:
                raise
            except Exception as defect:  # noqa: BLE001  # raised again as an error of ours
                last = extract_tb(defect.__traceback__)[-1]
                log.error("an answer was not expected", what=what, error=type(defect).__name__, line=last.lineno)
                raise kind(f"{what}: its answer could not be read ({type(defect).__name__})") from None

        return guarded

    return decorate
