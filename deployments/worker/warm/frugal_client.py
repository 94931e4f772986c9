"""Prefect's client, which asks for the deployment of a run being submitted once; the worker's code asks twice."""

from contextvars import ContextVar
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient
from prefect.client.schemas.responses import DeploymentResponse

_READ: ContextVar[dict[UUID, DeploymentResponse] | None] = ContextVar("deployments read", default=None)


def begin_submission() -> None:
    """From now on, in this task and those it starts, each deployment is read once: as it is at this moment."""
    _READ.set({})


class FrugalClient:
    """Everything else is the client's own."""

    def __init__(self, client: PrefectClient) -> None:
        self._prefect = client

    async def read_deployment(self, deployment_id: UUID) -> DeploymentResponse:
        read = _READ.get()
        if read is None:
            return await self._prefect.read_deployment(deployment_id)
        if deployment_id not in read:
            read[deployment_id] = await self._prefect.read_deployment(deployment_id)
        return read[deployment_id]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._prefect, name)
