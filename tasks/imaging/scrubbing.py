"""scrub-storage: every due object is read back and compared; what was found is the image's until it is sound again."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from models.imaging.stores.checking import KeptImage, Since, backends_of, due_images, note_found, with_problem
from models.kernel.audit import Actor
from models.kernel.clock import utc_now
from models.kernel.errors import ConfigError, InvalidError, RetryableError
from models.kernel.settings import settings
from models.kernel.tenancy import KnownTenant, known_tenants, tenant_session
from tasks.clients.storage.backends import storage_for
from tasks.imaging.objects import key_digest, problem_of
from tasks.imaging.outcomes import Cell
from tasks.imaging.strays import Strays
from tasks.runs import batch_task, flow_actor
from tasks.tally import Tally

AT_ONCE = 200
LANES = 4
MOST_UNREADABLE = 50
"""Of one run: after so many the storage is away, and nothing else there is tried."""
SWEEP_SECONDS = 86_400


class Scrub:
    """One run over the storage; opaque to Prefect."""

    __slots__ = ("actor", "left", "passed", "rows", "since", "tally", "tenants")

    def __init__(self, tenants: Sequence[KnownTenant], actor: Actor, since: Since, most: int) -> None:
        self.tenants, self.actor, self.since, self.left = tenants, actor, since, most
        self.tally = Tally()
        self.rows: list[dict[str, Cell]] = []
        self.passed: dict[int, set[int]] = defaultdict(set)
        """Images by tenant that could not be read now: still due."""

    def __repr__(self) -> str:
        return f"<Scrub: {self.tally.message}>"


@batch_task
async def begin_scrub(tenant: str, older_than_days: float, *, full: bool, most: int) -> Scrub:
    """A run that reads what was not read for so long, or everything; InvalidError for a negative number."""
    return await asyncio.to_thread(begin, tenant, flow_actor(), older_than_days, full=full, most=most)


@batch_task
async def check_some(scrub: Scrub) -> int:
    """Read the next due objects back; how many images. Nothing when all are done."""
    return await asyncio.to_thread(check, scrub)


@batch_task
async def look_through_storage(scrub: Scrub) -> None:
    """Compare what lies in the storage with what should: images without objects, objects without images."""
    await asyncio.to_thread(look_through, scrub)


def begin(tenant: str, actor: Actor, older_than_days: float, *, full: bool, most: int) -> Scrub:
    """The same without a run of Prefect's. Tenants that are not active any more are looked after too."""
    if older_than_days < 0:
        raise InvalidError("must not be negative", field="older_than_days")
    if most < 0:
        raise InvalidError("must not be negative", field="most")
    now = utc_now()
    since = Since(sound=now if full else now - timedelta(days=older_than_days), with_problem=now)
    return Scrub(known_tenants(tenant, with_inactive=True), actor, since, most)


def check(scrub: Scrub) -> int:
    """The same without a run of Prefect's."""
    for tenant in scrub.tenants:
        passed = scrub.passed[tenant.id]
        if len(passed) >= MOST_UNREADABLE:
            continue
        with tenant_session(tenant.id) as session:
            most = min(AT_ONCE, scrub.left)
            images = due_images(session, tenant.id, scrub.since, most=most, but=passed)
        if images:
            scrub.left -= len(images)
            _check(scrub, tenant, images)
            return len(images)
    return 0


def look_through(scrub: Scrub) -> None:
    """The same without a run of Prefect's; afterwards every image with a problem is in the tally."""
    for tenant in scrub.tenants:
        with tenant_session(tenant.id) as session:
            backends = backends_of(session, tenant.id) | {"filesystem", settings().radiology_storage}
        for backend in sorted(backends):
            try:
                storage = storage_for(backend, tenant.slug)
                scrub.tally.count("interrupted puts removed", storage.sweep(older_than_seconds=SWEEP_SECONDS))
                Strays(tenant, scrub.actor, storage, scrub.tally, scrub.rows).look()
            except (RetryableError, ConfigError):
                scrub.tally.problem("storage that cannot be listed")
                scrub.rows.append({"tenant": tenant.id, "backend": backend, "found": "cannot be listed"})
        _tell_problems(scrub, tenant)


def _check(scrub: Scrub, tenant: KnownTenant, images: Sequence[KeptImage]) -> None:
    def look(image: KeptImage) -> str | None:
        try:
            return problem_of(storage_for(image.backend, tenant.slug), image)
        except (RetryableError, ConfigError) as error:
            return type(error).__name__

    with ThreadPoolExecutor(LANES) as lanes:
        found = list(zip(images, lanes.map(look, images), strict=True))
    read = []
    for image, problem in found:
        if problem in ("corrupt", "missing", None):
            read.append((image, problem))
        else:
            scrub.passed[tenant.id].add(image.id)
            scrub.tally.problem("unreadable now")
            scrub.rows.append(_row(tenant, image, "unreadable now"))
    with tenant_session(tenant.id) as session:
        noted = note_found(session, tenant.id, scrub.actor, read)
    scrub.tally.count("images checked", noted)


def _tell_problems(scrub: Scrub, tenant: KnownTenant) -> None:
    with tenant_session(tenant.id) as session:
        images = with_problem(session, tenant.id)
    for image in images:
        scrub.tally.problem(f"images {image.problem}")
        scrub.rows.append(_row(tenant, image, image.problem or ""))


def _row(tenant: KnownTenant, image: KeptImage, found: str) -> dict[str, Cell]:
    return {
        "tenant": tenant.id,
        "backend": image.backend,
        "image": image.id,
        "key sha256": key_digest(image.keys[0]),
        "found": found,
    }
