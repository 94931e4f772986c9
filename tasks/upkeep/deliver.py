"""Carrying the outbox: everything due to one kind of destination is sent, until nothing was due for a while."""

import asyncio
import time
from collections.abc import Sequence
from uuid import uuid4

from sqlalchemy.orm import Session

from models.kernel import outbox
from models.kernel.clock import utc_now
from models.kernel.errors import (
    ConfigError,
    LabwireError,
    RefusedError,
    RetryableError,
    UnavailableError,
    UnknownOutcomeError,
)
from models.kernel.outbox import Answer, Leased
from models.kernel.ports import Carrier
from models.kernel.settings import settings
from models.kernel.tenancy import KnownTenant, known_tenants, registry_session, tenant_session
from models.upkeep.rules import next_attempt_at
from tasks.ledger import Ledger
from tasks.runs import UnexpectedError, batch_task, described
from tasks.tally import Tally
from tasks.upkeep.destinations import KINDS, Kind

CLAIM_AT_ONCE = 100
LOOK_EVERY_SECONDS = 1.0
IDLE_SECONDS = 10.0


@batch_task
async def deliver_due(tenant: str, idle_seconds: float | None = None) -> Tally:
    """Send what is due to every destination, and what becomes due meanwhile, until idle for 10 s or what is given."""
    return await deliver_kinds(KINDS, tenant, idle_seconds=IDLE_SECONDS if idle_seconds is None else idle_seconds)


async def deliver_kinds(kinds: Sequence[Kind], tenant: str = "", *, idle_seconds: float = IDLE_SECONDS) -> Tally:
    """Drain all kinds at once, so that a slow one delays no other."""
    tenants = await asyncio.to_thread(known_tenants, tenant)
    drains = [Drain(kind, tenants, idle_seconds) for kind in kinds]
    ends = await asyncio.gather(*[drain.run() for drain in drains], return_exceptions=True)
    tally = Tally()
    for drain, end in zip(drains, ends, strict=True):
        if end is not None:
            raise end
        tally.merge(drain.tally)
    return tally


class Drain:
    """One run's work on one kind of destination."""

    def __init__(self, kind: Kind, tenants: Sequence[KnownTenant], idle_seconds: float = IDLE_SECONDS) -> None:
        self.kind = kind
        self.tally = Tally()
        self.owner = str(uuid4())
        self._tenants = {tenant.id: tenant for tenant in tenants}
        self._idle_seconds = idle_seconds
        self._is_stopped = False
        self._persistence = kind.persistence(settings())
        self._gate = asyncio.Semaphore(kind.in_flight)

    async def run(self) -> None:
        """Send until nothing has been due for the idle time, or the destination turns out to be unreachable."""
        carrier: Carrier | None = None
        leased: list[Leased] = []
        try:
            idle_since = time.monotonic()
            while not self._is_stopped and time.monotonic() - idle_since < self._idle_seconds:
                leased = await asyncio.to_thread(self._claim)
                if leased:
                    carrier = carrier or self.kind.open(settings())
                    await self._send_all(carrier, leased)
                    idle_since = time.monotonic()
                else:
                    await asyncio.sleep(min(LOOK_EVERY_SECONDS, self._idle_seconds))
        except ConfigError as error:
            await asyncio.to_thread(self._release, leased)
            self.tally.problem("not set up").note(str(error))
        finally:
            if carrier is not None:
                await carrier.close()

    def _claim(self) -> list[Leased]:
        with registry_session() as session:
            due = outbox.tenants_with_due(session, self.kind.prefix)
        claimed: list[Leased] = []
        for tenant_id in due:
            if tenant_id in self._tenants:
                with tenant_session(tenant_id) as session:
                    claimed += self._claim_of(session, tenant_id)
        return claimed

    def _claim_of(self, session: Session, tenant_id: int) -> list[Leased]:
        prefix, may_resend = self.kind.prefix, self.kind.may_resend
        interrupted = outbox.settle_interrupted(
            session,
            tenant_id,
            prefix,
            may_resend=may_resend,
            most_attempts=self._persistence.attempts,
            longest_pause=self._persistence.longest_pause,
        )
        if may_resend:
            self.tally.count("interrupted and taken up", len(interrupted))
        else:
            self.tally.problem("unknown", len(interrupted))
        return outbox.claim(session, tenant_id, prefix, owner=self.owner, most=CLAIM_AT_ONCE)

    async def _send_all(self, carrier: Carrier, leased: list[Leased]) -> None:
        try:
            async with Ledger(self.owner) as ledger, asyncio.TaskGroup() as sends:
                for one in leased:
                    sends.create_task(self._send_one(carrier, ledger, one))
        finally:
            await asyncio.to_thread(self._release, leased)

    async def _send_one(self, carrier: Carrier, ledger: Ledger, one: Leased) -> None:
        async with self._gate:
            if self._is_stopped or not await ledger.intend(one):
                return
            answer = await self._attempt(carrier, one)
            written = ledger.answer(one, answer)
        if await written:  # without holding up the next send
            self._count(answer)

    async def _attempt(self, carrier: Carrier, one: Leased) -> Answer:
        try:
            words = await carrier.send(one, self._tenants[one.tenant_id])
        except RefusedError as error:
            return Answer(one.id, "dead", str(error))
        except UnknownOutcomeError as error:
            if self.kind.may_resend:
                return self._again(one, error)
            return Answer(one.id, "unknown", str(error))
        except (UnavailableError, ConfigError) as error:
            self._is_stopped = True
            self.tally.problem("could not be sent").note(str(error))
            return self._again(one, error)
        except RetryableError as error:
            return self._again(one, error)
        except Exception as error:  # noqa: BLE001  # one delivery's defect must not keep the others from going
            self.tally.problem("defects").note(described(error))
            return self._again(one, UnexpectedError(described(error)))
        return Answer(one.id, "done", words)

    def _again(self, one: Leased, error: LabwireError) -> Answer:
        """Due again after a pause, or dead when that was the last attempt."""
        attempts = one.attempts + 1
        if attempts >= self._persistence.attempts:
            return Answer(one.id, "dead", f"attempt {attempts}, the last: {error}")
        asked = error.retry_after_seconds if isinstance(error, RetryableError) else None
        longest = self._persistence.longest_pause
        moment = next_attempt_at(utc_now(), attempts=attempts, asked_seconds=asked, longest_pause=longest)
        return Answer(one.id, "due", f"attempt {attempts}: {error}", moment)

    def _count(self, answer: Answer) -> None:
        if answer.state in ("dead", "unknown"):
            self.tally.problem(answer.state)
        else:
            self.tally.count("sent" if answer.state == "done" else "to be tried again")

    def _release(self, leased: Sequence[Leased]) -> None:
        """Give back what was claimed and not tried; what was tried is not touched by it."""
        by_tenant: dict[int, list[int]] = {}
        for one in leased:
            by_tenant.setdefault(one.tenant_id, []).append(one.id)
        for tenant_id, ids in by_tenant.items():
            with tenant_session(tenant_id) as session:
                outbox.release(session, tenant_id, ids, owner=self.owner)
