"""What the first run of a process does once and every fork would do again: done once, in the warm parent."""

import io
import logging
import os
from collections.abc import Iterator

from prefect.client.orchestration import get_client
from prefect.logging.configuration import ensure_logging_setup
from prefect.logging.handlers import PrefectConsoleHandler
from prefect.settings import get_current_settings
from pydantic import BaseModel

from deployments.worker.warm.tls import share_contexts

Heritage = tuple[dict[str, str], str]
"""What Prefect's settings were read from: variables, and the folder of `.env`, `prefect.toml` and `pyproject.toml`."""


def rehearse() -> None:
    """Nothing is opened and no thread is started."""
    share_contexts()
    ensure_logging_setup()
    build_models()
    _write_a_line()
    if get_current_settings().api.url:  # without one, a client would start a server
        _make_clients()


def build_models() -> None:
    """Prefect's pydantic models are built when first used: 30 ms of each run."""
    for model in list(_models(BaseModel)):
        if not model.__pydantic_complete__:
            model.model_rebuild(raise_errors=False)


def heritage() -> Heritage:
    """Compared in the fork: where it is the same, settings and logging are the parent's already (95 ms of each run)."""
    return {name: value for name, value in os.environ.items() if _is_setting(name)}, os.getcwd()


def _is_setting(name: str) -> bool:
    return name.startswith("PREFECT_") and not name.startswith("PREFECT__")


def _models(base: type[BaseModel]) -> Iterator[type[BaseModel]]:
    for model in base.__subclasses__():
        yield model
        yield from _models(model)


def _write_a_line() -> None:
    """Let the console's highlighter compile its expressions."""
    text = "Finished in state Completed(), flow run 'name' for flow 'name' http://127.0.0.1:80/runs/flow-run/1"
    record = logging.LogRecord("prefect.flow_runs", logging.INFO, "", 0, text, (), None)
    record.flow_run_name, record.flow_name = "name", "name"
    for handler in logging.getLogger().handlers:
        if isinstance(handler, PrefectConsoleHandler):
            file, handler.console.file = handler.console.file, io.StringIO()
            handler.emit(record)
            handler.console.file = file


def _make_clients() -> None:
    get_client(sync_client=True)
    get_client(sync_client=False)
