"""Images on their way from one storage to another: no row ever names an object that is not there.

Whoever switches a row has its lock and has looked that the objects are there; whoever removes an object has the lock
too, and has looked that the row names another place. So two moves in opposite directions harm nothing either.
"""

from collections.abc import Callable, Sequence

from sqlalchemy import select
from sqlalchemy.orm import Session

from models.imaging.stores.checking import KeptImage, kept
from models.imaging.tables import RadiologyImage
from models.kernel.audit import Action, Actor, record


def images_at(session: Session, tenant_id: int, backend: str, *, after: int, most: int) -> Sequence[KeptImage]:
    """Images at this backend, in the order of their ids."""
    image = RadiologyImage
    wanted = select(image).where(image.tenant_id == tenant_id, image.backend == backend, image.id > after)
    return [kept(row) for row in session.scalars(wanted.order_by(image.id).limit(most))]


def switch_place(
    session: Session,
    tenant_id: int,
    actor: Actor,
    image: KeptImage,
    new: tuple[str, Sequence[str]],
    are_there: Callable[[], bool],
) -> bool:
    """Name another backend and keys; False where the row changed meanwhile, or the objects are not there (any more)."""
    row = session.get_one(RadiologyImage, (tenant_id, image.id), with_for_update=True, populate_existing=True)
    if (row.backend, kept(row).keys) != (image.backend, image.keys) or not are_there():
        return False
    backend, keys = new
    row.backend, row.file_key = backend, keys[0]
    if row.wrapped_key is not None:
        row.wrapped_key = keys[1]
    session.flush()
    changes = {"backend": [image.backend, backend], "checksum": row.checksum}
    record(session, tenant_id, actor, Action("image.move", "radiology_image", image.id, changes))
    return True


def remove_if_left(session: Session, tenant_id: int, image_id: int, backend: str, remove: Callable[[], None]) -> bool:
    """Have objects at `backend` removed while the row, locked, names another; False where it names this one."""
    row = session.get_one(RadiologyImage, (tenant_id, image_id), with_for_update=True, populate_existing=True)
    if row.backend == backend:
        return False
    remove()
    return True
