"""The Prefect server's REST interface, as far as asking for runs needs it. Imports nothing of Prefect."""

import time
from typing import Any

import httpx

from models.kernel.errors import RefusedError, RetryableError
from models.kernel.settings import settings

TIMEOUT_SECONDS = 5
BUSY_PAUSES_SECONDS = (0.1, 0.5)
"""Over SQLite Prefect answers 503, having done nothing, when two transactions collide."""


class PrefectServer:
    """The server the settings name. Use one from one thread; connections are kept between calls."""

    def __init__(self, transport: httpx.BaseTransport | None = None) -> None:
        config = settings()
        secret = config.prefect_auth_string
        user, _, password = (secret.get_secret_value() if secret else "").partition(":")
        self._client = httpx.Client(
            base_url=config.prefect_api_url or f"http://127.0.0.1:{config.prefect_port}/api",
            auth=(user, password) if user else None,
            timeout=TIMEOUT_SECONDS,
            transport=transport,
            trust_env=False,
        )
        self._ids: dict[str, str] = {}

    def ask_run(self, flow: str, parameters: dict[str, Any], *, key: str) -> str:
        """Ask for a run of a flow's deployment of the same name; the run's id. The same key again is the same run.

        RetryableError when the server is away or busy, RefusedError when it has no such deployment.
        """
        if flow not in self._ids:
            self._ids[flow] = self._call("GET", f"/deployments/name/{flow}/{flow}")["id"]
        body = {"parameters": parameters, "idempotency_key": key}
        try:
            return str(self._call("POST", f"/deployments/{self._ids[flow]}/create_flow_run", body)["id"])
        except RefusedError:
            self._ids.pop(flow, None)  # deployed anew: it has another id
            raise

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        try:
            answer = self._client.request(method, path, json=body)
            for pause in BUSY_PAUSES_SECONDS:
                if answer.status_code != httpx.codes.SERVICE_UNAVAILABLE:
                    break
                time.sleep(pause)
                answer = self._client.request(method, path, json=body)
        except httpx.HTTPError as error:
            raise RetryableError(f"the Prefect server does not answer ({type(error).__name__})") from None
        if answer.status_code >= 500:
            raise RetryableError(f"the Prefect server answered {answer.status_code}")
        if answer.status_code >= 400:
            raise RefusedError(f"the Prefect server answered {answer.status_code} to {method} {path}")
        found: dict[str, Any] = answer.json()
        return found
