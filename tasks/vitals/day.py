"""A day of vital signs judged, device by device: what was found is kept, shown and told of. No reading is changed."""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from zoneinfo import ZoneInfo

import httpx
import structlog
from prefect.artifacts import acreate_table_artifact
from prefect.context import FlowRunContext
from prefect.exceptions import PrefectException

from models.kernel.audit import Actor
from models.kernel.clock import utc_now
from models.kernel.errors import InvalidError
from models.kernel.tenancy import KnownTenant, known_tenants, tenant_session
from models.upkeep.quality import Validation, failed_before, record_validation
from models.vitals.day_limits import TOLD_WITHIN
from models.vitals.day_rules import BY_COLUMN, DeviceDay, Window, figures, window
from models.vitals.stores.day import load_days
from models.vitals.stores.upkeep import Doubtful, tell_of_doubtful
from tasks.quality import validate
from tasks.runs import batch_task, flow_actor, publish_tally
from tasks.tally import Tally

MOST_ROWS = 1000

log = structlog.get_logger(__name__)


class DayReport:
    """What was found on the devices of one run; opaque to Prefect."""

    __slots__ = ("found", "tally")

    def __init__(self) -> None:
        self.tally = Tally()
        self.found: list[tuple[int, Doubtful]] = []
        """Tenant id and device."""

    def __repr__(self) -> str:
        return f"<DayReport: {self.tally.message}>"


@batch_task
async def judge_day(tenant: str, day: date | None) -> DayReport:
    """Judge a day of one tenant's devices (slug) or of all for an empty one; None: yesterday, where each of them is."""
    return await asyncio.to_thread(check_day, tenant, day, flow_actor())


@dataclass(frozen=True, slots=True)
class Part:
    """One tenant's devices on its day."""

    tenant: KnownTenant
    window: Window
    devices: Sequence[DeviceDay]


def check_day(tenant: str, day: date | None, actor: Actor) -> DayReport:
    """The same without a run of Prefect's. InvalidError for a day that has not ended everywhere."""
    now, report = utc_now(), DayReport()
    chosen = [(one, window(_ended(day, one, now), one.time_zone)) for one in known_tenants(tenant)]
    parts = [Part(one, of_day, list(_load(one.id, of_day))) for one, of_day in chosen]
    rows = [_row(part.tenant.id, device) for part in parts for device in part.devices]
    if not rows:
        return report
    from expectations.vitals_day import build_suite  # imported here: it takes seconds

    verdict = validate(build_suite, rows, ids=("device_id",))
    for part in parts:
        if part.devices:
            _keep(report, part, actor, verdict.validations[part.tenant.id], verdict.failures, now)
    return report


def _ended(day: date | None, tenant: KnownTenant, now: datetime) -> date:
    today = now.astimezone(ZoneInfo(tenant.time_zone)).date()
    if day is None:
        return today - timedelta(days=1)
    if day >= today:
        raise InvalidError(f"has not ended where tenant {tenant.id} is", field="day")
    return day


def _load(tenant_id: int, of_day: Window) -> Iterator[DeviceDay]:
    """A group of devices in each transaction, so that none is long."""
    last = 0
    while True:
        with tenant_session(tenant_id) as session:
            devices, last = load_days(session, tenant_id, of_day, after=last)
        yield from devices
        if not last:
            return


def _row(tenant_id: int, device: DeviceDay) -> dict[str, int | float | None]:
    return {"tenant_id": tenant_id, "device_id": device.device_id, **figures(device)}


def _keep(
    report: DayReport,
    part: Part,
    actor: Actor,
    validation: Validation,
    failures: Mapping[int, Sequence[str]],
    now: datetime,
) -> None:
    """All or nothing of one tenant. A device that was found on this day before is not told of again."""
    tenant_id, batch = part.tenant.id, part.window.day.isoformat()
    found = [_doubtful(device, failures[device.device_id]) for device in part.devices if device.device_id in failures]
    is_told = True
    with tenant_session(tenant_id) as session:
        known = failed_before(session, tenant_id, validation.suite, batch, "device_id")
        record_validation(session, tenant_id, actor, replace(validation, batch=batch))
        news = [one for one in found if one.device_id not in known]
        if news and now - part.window.until <= TOLD_WITHIN:
            is_told = tell_of_doubtful(session, tenant_id, actor, part.window.day, news)
    report.tally.count("devices judged", len(part.devices)).count("with findings", len(found))
    for one in found:
        for column in one.findings:
            report.tally.count(BY_COLUMN[column].kind)
    if not is_told:
        report.tally.problem("nobody to mail").note(f"tenant {tenant_id} has neither supervisor nor technician")
    report.found += [(tenant_id, one) for one in found]


def _doubtful(device: DeviceDay, columns: Sequence[str]) -> Doubtful:
    told = {column: BY_COLUMN[column].tell(device) for column in BY_COLUMN if column in columns}
    return Doubtful(device.device_id, device.code, told)


async def publish_day(report: DayReport) -> None:
    """Leave counts and table on the run's page; without a run or a server nothing happens."""
    await publish_tally(report.tally)
    context = FlowRunContext.get()
    if context is None or context.flow is None or not report.found:
        return
    shown = report.found[:MOST_ROWS]
    left_out = f" The first {MOST_ROWS} of {len(report.found)} are shown." if len(report.found) > MOST_ROWS else ""
    try:
        await acreate_table_artifact(
            [
                {
                    "tenant": tenant_id,
                    "device": one.device_id,
                    "rules": ", ".join(one.findings),
                    "by how much": "; ".join(one.findings.values()),
                }
                for tenant_id, one in shown
            ],
            key=f"{context.flow.name}-devices",
            description=f"Devices somebody should look at. Nothing was held back for it.{left_out}",
        )
    except (httpx.HTTPError, PrefectException) as error:
        log.warning("the table could not be shown", error=type(error).__name__)
