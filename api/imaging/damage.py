"""An image whose stored bytes are not what they were, or are gone: noted where it is found, never served."""

from typing import Literal

from models.imaging.stores.studies import note_problem
from models.kernel.audit import Actor
from models.kernel.errors import DamagedError
from models.kernel.tenancy import tenant_session

Problem = Literal["corrupt", "missing"]


def damaged(tenant_id: int, actor: Actor, image_id: int, problem: Problem) -> DamagedError:
    """The error to raise, after the image's row and the audit trail have been told."""
    with tenant_session(tenant_id) as session:
        note_problem(session, tenant_id, actor, image_id, problem)
    return DamagedError(f"the stored file of image {image_id} is {problem}")
