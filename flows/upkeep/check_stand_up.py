"""The smallest process there is: shows that server, work pool, worker and code find each other."""

import asyncio

from prefect import flow, get_run_logger
from prefect.client.schemas.objects import State
from prefect.states import Completed


@flow(name="check-stand-up")
async def check_stand_up(note: str = "", seconds: float = 0) -> State[str]:
    """Complete, and say so.

    Args:
        note: Any word; it comes back in the run's message.
        seconds: How long to stay running before that, to watch a run in progress.
    """
    await asyncio.sleep(seconds)
    get_run_logger().info("stood for %s s", seconds)
    return Completed(message=f"stands up{': ' + note if note else ''}", data=note)
