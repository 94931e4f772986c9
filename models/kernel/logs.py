"""Logs: one JSON object a line on standard error, with whatever looks like a secret taken out."""

import logging
import re
import sys
from collections.abc import Mapping
from typing import Any, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

HIDDEN = "…"
SECRET_NAMES = re.compile(r"(?i)(password|passwd|secret|token|api_?key|authorization|cookie|credential)")
SECRETS = (
    (re.compile(r"\blw_[a-z]+_[A-Za-z0-9_-]{8,}"), HIDDEN),
    (re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9+/=._~-]{8,}"), rf"\1 {HIDDEN}"),
    (re.compile(r"(://[^\s:/@]+):[^\s@/]+@"), rf"\1:{HIDDEN}@"),
    (re.compile(r"(?i)\b((?:password|secret|token|api_?key|key|code)=)[^\s&\"']+"), rf"\1{HIDDEN}"),
    (re.compile(r"(/reset/)[^\s?\"']+"), rf"\1{HIDDEN}"),
)


def scrub(text: str) -> str:
    """`text` without tokens, passwords in addresses, and values of parameters named like secrets."""
    for pattern, replacement in SECRETS:
        text = pattern.sub(replacement, text)
    return text


def configure_logs(stream: TextIO | None = None, *, level: int = logging.INFO) -> None:
    """Have structlog and the standard library's loggers of this process write JSON lines to `stream`."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    last: list[Processor] = [
        structlog.stdlib.ProcessorFormatter.remove_processors_meta,
        _without_secrets,
        structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
    ]
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.PositionalArgumentsFormatter(), *shared], processors=last
        )
    )
    logging.basicConfig(handlers=[handler], level=level, force=True)
    logging.getLogger("httpx").setLevel(logging.WARNING)  # it writes every address it asks
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )


def _without_secrets(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    return {name: _clean(name, value) for name, value in event.items()}


def _clean(name: str, value: Any) -> Any:
    if SECRET_NAMES.search(name) and value:
        return HIDDEN
    if isinstance(value, str):
        return scrub(value)
    if isinstance(value, Mapping):
        return {str(inner): _clean(str(inner), one) for inner, one in value.items()}
    if isinstance(value, list | tuple):
        return [_clean("", one) for one in value]
    return value
