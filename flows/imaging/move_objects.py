"""On demand: images to another storage."""

from typing import Literal

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.imaging.outcomes import publish_rows
from tasks.imaging.relocating import begin_move, move_some, remove_leftovers
from tasks.runs import named_run, publish_tally
from tasks.tally import Tally


@flow(name="move-objects", flow_run_name=named_run)
async def move_objects(
    from_backend: Literal["filesystem", "s3"],
    to_backend: Literal["filesystem", "s3"],
    tenant: str = "",
    most: int = 10_000,
) -> State[Tally]:
    """Copy images to another storage, read them back there, and then remove them where they were.

    Safe to run again and to kill: an image is switched once its bytes were read back at the new place, and copies that
    a killed run left are removed. It fails where an image is corrupt or missing; that one stays where it is.

    Args:
        from_backend: where the images are
        to_backend: where they shall be; new ones go where LABWIRE_RADIOLOGY_STORAGE says
        tenant: slug of a tenant; empty for all
        most: images that are moved at the most
    """
    move = await begin_move(tenant, from_backend, to_backend, most)
    while await move_some(move):
        pass
    await remove_leftovers(move)
    await publish_tally(move.tally)
    await publish_rows("findings", move.rows, "Images that stay. Keys are named by digits of their SHA-256.")
    return move.tally.as_state()
