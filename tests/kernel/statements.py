"""What is said to the database."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import event

from models.kernel.db import engine
from models.kernel.pipeline import Pipeline


@contextmanager
def noted_statements() -> Iterator[list[str]]:
    """Every statement of the application's engine, pipelines' included, but those that prepare others."""
    said: list[str] = []
    listen = lambda *given: said.append(given[2])  # noqa: E731
    carry_out = Pipeline._carry_out

    def note(pipeline: Pipeline, statement: str, values: tuple[Any, ...] | None = None) -> Any:
        if not statement.startswith("PREPARE"):
            said.append(statement)
        return carry_out(pipeline, statement, values)

    event.listen(engine(), "before_cursor_execute", listen)
    try:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Pipeline, "_carry_out", note)
            yield said
    finally:
        event.remove(engine(), "before_cursor_execute", listen)
