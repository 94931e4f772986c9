"""Every night, and on demand."""

from datetime import date

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.runs import named_run
from tasks.tally import Tally
from tasks.vitals.day import judge_day, publish_day


@flow(name="check-vitals-day", flow_run_name=named_run)
async def check_vitals_day(tenant: str = "", day: date | None = None) -> State[Tally]:
    """Judge each device by its day: gaps, stuck sensors, drift from its own history, battery, signal, held readings.

    No reading is changed. What is found waits on the page Quality, and a mail tells technicians and supervisors, once
    of each device and day; the run counts it and is Completed, for the hub did its work. It fails where a day could not
    be judged or nobody is there to be told. Safe to run again: what is found takes the place of what was found before.

    Args:
        tenant: slug of a tenant; empty for all
        day: a day that has ended, as 2026-11-20; empty for yesterday in the laboratory's time zone
    """
    report = await judge_day(tenant, day)
    await publish_day(report)
    return report.tally.as_state()
