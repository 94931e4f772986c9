"""The Prefect server's REST interface, as far as asking for runs needs it. Imports nothing of Prefect."""

import time
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import httpx

from models.kernel.clock import utc_now
from models.kernel.errors import RefusedError, RetryableError
from models.kernel.settings import settings

TIMEOUT_SECONDS = 5
BUSY_PAUSES_SECONDS = (0.1, 0.5)
"""Over SQLite Prefect answers 503, having done nothing, when two transactions collide."""


ENDED_BADLY = ["FAILED", "CRASHED"]
PAGE = 200
"""The most Prefect gives at once."""


@dataclass(frozen=True, slots=True)
class EndedRun:
    """A run that ended `failed` or `crashed`, its deployment (else its flow), and its page in the Prefect UI."""

    deployment: str
    state: str
    ended_at: datetime
    page: str


def _given(parameters: dict[str, Any]) -> dict[str, Any]:
    """Without those that are left empty, which stand for everything."""
    return {name: value for name, value in parameters.items() if value not in ("", None)}


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

        A run that is due and has not begun will find the work too: then that one's id. So on a laden machine wishes do
        not queue up. RetryableError when the server is away or busy, RefusedError when it has no such deployment.
        """
        if flow not in self._ids:
            self._ids[flow] = self._call("GET", f"/deployments/name/{flow}/{flow}")["id"]
        waiting = self._waiting(self._ids[flow], parameters)
        if waiting:
            return waiting
        body = {"parameters": parameters, "idempotency_key": key}
        try:
            return str(self._call("POST", f"/deployments/{self._ids[flow]}/create_flow_run", body)["id"])
        except RefusedError:
            self._ids.pop(flow, None)  # deployed anew: it has another id
            raise

    def ended_badly(self, since: datetime, until: datetime) -> list[EndedRun]:
        """Every run that failed or crashed between the two moments; runs within runs are their parents' business.

        RetryableError when the server is away or busy.
        """
        query = {
            "sort": "ID_DESC",
            "limit": PAGE,
            "flow_runs": {
                "state": {"type": {"any_": ENDED_BADLY}},
                "end_time": {"after_": since.isoformat(), "before_": until.isoformat()},
                "parent_task_run_id": {"is_null_": True},
            },
        }
        runs: list[dict[str, Any]] = []
        while page := self._call("POST", "/flow_runs/filter", query | {"offset": len(runs)}):
            runs += page
        deployments = self._names("deployments", {run["deployment_id"] for run in runs} - {None})
        flows = self._names("flows", {run["flow_id"] for run in runs if run["deployment_id"] not in deployments})
        pages = str(self._client.base_url).rstrip("/").removesuffix("/api")
        return [
            EndedRun(
                deployment=deployments.get(run["deployment_id"]) or flows.get(run["flow_id"], "unknown"),
                state=run["state_type"].lower(),
                ended_at=datetime.fromisoformat(run["end_time"]),
                page=f"{pages}/runs/flow-run/{run['id']}",
            )
            for run in runs
        ]

    def close(self) -> None:
        """Give the connections back."""
        self._client.close()

    def _waiting(self, deployment_id: str, parameters: dict[str, Any]) -> str:
        """A run of the deployment that is due, has not begun and will do what these parameters ask for; else empty.

        Pending ones do not count: a worker has taken them, and may have been killed since.
        """
        query = {
            "limit": PAGE,
            "deployments": {"id": {"any_": [deployment_id]}},
            "flow_runs": {
                "state": {"type": {"any_": ["SCHEDULED"]}},
                "expected_start_time": {"before_": utc_now().isoformat()},
            },
        }
        wanted = _given(parameters)
        for run in self._call("POST", "/flow_runs/filter", query):
            told = _given(run["parameters"])
            if told == wanted or (not told and wanted.keys() <= {"tenant"}):
                return str(run["id"])
        return ""

    def _names(self, kind: str, ids: set[str]) -> dict[str, str]:
        """The names of these deployments or flows by id; those that are gone are left out."""
        wanted, names = sorted(ids), dict[str, str]()
        for start in range(0, len(wanted), PAGE):
            some = {kind: {"id": {"any_": wanted[start : start + PAGE]}}}
            names |= {one["id"]: one["name"] for one in self._call("POST", f"/{kind}/filter", some)}
        return names

    def _call(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
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
        return answer.json()
