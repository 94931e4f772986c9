"""One TLS context for all of Prefect's clients in a process and its forks."""

import ssl
from functools import lru_cache
from typing import Any

import certifi
from prefect.client import orchestration
from prefect.settings import get_current_settings


class _SharedContexts:
    """The module `ssl` as Prefect's client sees it."""

    create_default_context = staticmethod(lru_cache(ssl.create_default_context))

    def __getattr__(self, name: str) -> Any:
        return getattr(ssl, name)


def share_contexts() -> None:
    """From now on reading the bundle of authorities (25 ms, three times a run) is done once for each bundle.

    Prefect makes a context for every client, also where the server is spoken to without TLS. Ours keep their own.
    """
    orchestration.ssl = _SharedContexts()  # type: ignore[assignment,attr-defined]
    if not get_current_settings().api.tls_insecure_skip_verify:
        _SharedContexts.create_default_context(cafile=get_current_settings().api.ssl_cert_file or certifi.where())
