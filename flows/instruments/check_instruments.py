"""Every 5 minutes, and on demand."""

from prefect import flow
from prefect.client.schemas.objects import State

from tasks.instruments.checks import ask_for_status, find_instruments
from tasks.instruments.report import publish_report
from tasks.runs import named_run
from tasks.tally import Tally


@flow(name="check-instruments", flow_run_name=named_run)
async def check_instruments(tenant: str = "", instrument_id: int | None = None) -> State[Tally]:
    """Ask every instrument for its status, queue length and calibration, for the history that uptime is counted from.

    Safe to run again: it adds one more look to the history.

    Args:
        tenant: slug of a tenant; empty for all
        instrument_id: check this instrument alone
    """
    instruments = await find_instruments(tenant, instrument_id=instrument_id)
    report = await ask_for_status(instruments)
    await publish_report(report)
    return report.tally.as_state()
