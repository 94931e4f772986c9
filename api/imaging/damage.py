"""An image whose stored bytes are not what they were, or are gone: noted where it is found, never served."""

from typing import Literal

from models.imaging.stores.studies import note_problem
from models.kernel.audit import Actor
from models.kernel.errors import RetryableError
from models.kernel.tenancy import tenant_session

Problem = Literal["corrupt", "missing"]
RETRY_SECONDS = 3600.0
"""Somebody must send the file again, or bring it back from a copy."""


class DamagedError(RetryableError):
    """The image's bytes are `corrupt` or `missing` (503)."""

    def __init__(self, image_id: int, problem: Problem) -> None:
        super().__init__(f"the stored file of image {image_id} is {problem}", retry_after_seconds=RETRY_SECONDS)


def damaged(tenant_id: int, actor: Actor, image_id: int, problem: Problem) -> DamagedError:
    """The error to raise, after the image's row and the audit trail have been told."""
    with tenant_session(tenant_id) as session:
        note_problem(session, tenant_id, actor, image_id, problem)
    return DamagedError(image_id, problem)
