"""The Prefect server's REST interface, as far as standing the hub up needs it."""

import os
import time
from types import TracebackType
from typing import Any, Self

import httpx

from models.kernel.errors import ConfigError

TIMEOUT_SECONDS = 30
PAUSES_SECONDS = (0.1, 0.3, 1, 3)


class RetryTransport(httpx.HTTPTransport):
    """Asks again after 503: over SQLite Prefect answers so, having done nothing, when two transactions collide."""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """The first answer that is not 503, or the last one."""
        for pause in PAUSES_SECONDS:
            answer = super().handle_request(request)
            if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                return answer
            answer.close()
            time.sleep(pause)
        return super().handle_request(request)


def prefect_client(url: str, auth: str) -> httpx.Client:
    """A client of the server whose REST address is `url`; `auth` is `user:password`, or empty."""
    user, _, password = auth.partition(":")
    credentials = (user, password) if user else None
    return httpx.Client(base_url=url, auth=credentials, timeout=TIMEOUT_SECONDS, transport=RetryTransport())


class PrefectRest:
    """A client of the server that PREFECT_API_URL and PREFECT_API_AUTH_STRING name; use it in a `with`."""

    def __init__(self) -> None:
        url = os.environ.get("PREFECT_API_URL")
        if not url:
            raise ConfigError("PREFECT_API_URL is not set; `labwire` sets it from the state folder")
        self._client = prefect_client(url, os.environ.get("PREFECT_API_AUTH_STRING", ""))

    def get(self, path: str) -> Any:
        """The answer to GET, or None when there is no such thing."""
        answer = self._client.get(path)
        return None if answer.status_code == httpx.codes.NOT_FOUND else answer.raise_for_status().json()

    def post(self, path: str, body: dict[str, Any]) -> Any:
        """The answer to POST, or None when what it would make is there already."""
        answer = self._client.post(path, json=body)
        return None if answer.status_code == httpx.codes.CONFLICT else answer.raise_for_status().json()

    def delete(self, path: str) -> None:
        """DELETE; that it is gone already is fine."""
        answer = self._client.delete(path)
        if answer.status_code != httpx.codes.NOT_FOUND:
            answer.raise_for_status()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._client.close()
