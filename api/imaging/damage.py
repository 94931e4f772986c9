"""An image whose stored bytes are not what they were, or are gone: noted where it is found, never served."""

from collections.abc import Callable
from typing import Literal, TypeVar

from models.imaging.stores.studies import Place, note_problem
from models.imaging.tables import RadiologyImage
from models.kernel.audit import Actor
from models.kernel.errors import DamagedError, LabwireError, RetryableError
from models.kernel.tenancy import tenant_session

Problem = Literal["corrupt", "missing"]
Answer = TypeVar("Answer")


class MovedError(RetryableError):
    """The object lies elsewhere since its row was read: nothing is wrong with it."""

    def __init__(self, image_id: int) -> None:
        super().__init__(f"the stored file of image {image_id} is being moved", retry_after_seconds=1)


def damaged(tenant_id: int, actor: Actor, place: Place, problem: Problem) -> LabwireError:
    """The error to raise: DamagedError, after the image's row and the audit trail have been told, or MovedError."""
    with tenant_session(tenant_id) as session:
        is_noted = note_problem(session, tenant_id, actor, place, problem)
    if not is_noted:
        return MovedError(place.image_id)
    return DamagedError(f"the stored file of image {place.image_id} is {problem}")


def wherever_it_lies(tenant_id: int, image: RadiologyImage, serve: Callable[[RadiologyImage], Answer]) -> Answer:
    """What `serve` answers; asked once more, with the row as it is now, where the object was moved meanwhile."""
    try:
        return serve(image)
    except MovedError:
        with tenant_session(tenant_id) as session:
            image = session.get_one(RadiologyImage, (tenant_id, image.id))
        return serve(image)
