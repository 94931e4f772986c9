"""Nothing can be changed, taken out, moved or cut off in the audit trail without `verify` naming it."""

import itertools
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import select

from models.kernel.audit import SYSTEM, Action, record
from models.kernel.heads import write_head
from models.kernel.seal import seal_tenant
from models.kernel.tables import AuditSeal
from models.kernel.tenancy import tenant_session
from models.kernel.verify import verify_tenant
from tests.conftest import Database
from tests.factories import make_tenant
from tests.kernel.killed_sealer import STEPS
from tests.kernel.trail import as_superuser, seal, write

pytestmark = pytest.mark.store


class TestSealing:
    def test_rows_get_gap_free_positions_and_nothing_is_found(self, tenant: int) -> None:
        for count in (3, 1, 5):
            write(tenant, count)
            assert seal(tenant) == count
        with tenant_session(tenant) as session:
            assert list(session.scalars(select(AuditSeal.position).order_by(AuditSeal.position))) == list(range(1, 10))
        write(tenant, 2)
        verdict = verify_tenant(tenant)
        assert (verdict.sealed, verdict.unsealed, verdict.heads, verdict.findings) == (9, 2, 3, [])

    def test_a_row_whose_transaction_lasts_longer_is_sealed_later_and_not_forgotten(self, tenant: int) -> None:
        with tenant_session(tenant) as slow:
            record(slow, tenant, SYSTEM, Action("slow.change", "thing", 1, {}))
            write(tenant, 3)
            assert seal(tenant) == 0  # the slow one began before
        assert seal(tenant) == 4
        assert verify_tenant(tenant).is_sound

    def test_tenants_have_chains_of_their_own(self, tenant: int) -> None:
        south = make_tenant("south")
        for _ in range(3):
            write(tenant)
            write(south, 2)
        assert (seal(tenant), seal(south)) == (3, 6)
        assert verify_tenant(tenant).is_sound
        assert verify_tenant(south).is_sound

    def test_several_sealers_and_writers_at_once_make_one_chain(self, tenant: int) -> None:
        is_over = threading.Event()

        def keep_sealing() -> None:
            while not is_over.is_set():
                seal(tenant)

        def keep_writing() -> None:
            for _ in range(30):
                write(tenant, 5)

        with ThreadPoolExecutor(6) as threads:
            sealers = [threads.submit(keep_sealing) for _ in range(3)]
            writers = [threads.submit(keep_writing) for _ in range(3)]
            for writer in writers:
                writer.result()
            is_over.set()
            for sealer in sealers:
                sealer.result()
        seal(tenant)
        verdict = verify_tenant(tenant)
        assert (verdict.sealed, verdict.unsealed, verdict.findings) == (450, 0, [])

    def test_a_limited_run_goes_on_where_the_last_one_ended(self, tenant: int) -> None:
        write(tenant, 10)
        assert [seal_tenant(tenant, most=4) for _ in range(4)] == [4, 4, 2, 0]
        write_head(tenant)
        assert verify_tenant(tenant).is_sound

    def test_sealing_goes_on_after_a_restore_into_a_server_that_counts_transactions_anew(
        self, tenant: int, database: Database
    ) -> None:
        write(tenant, 4)
        with as_superuser(database) as execute:  # as if the rows came from a server with greater numbers
            execute("UPDATE audit_event SET transaction_id = transaction_id + 1000000000")
            seal(tenant)
            write(tenant, 2)
            execute("UPDATE audit_event SET transaction_id = transaction_id + 1000000000 WHERE id = 5")
        assert seal(tenant) == 2  # the old unsealed one and the new one
        write(tenant, 3)
        assert seal(tenant) == 3
        verdict = verify_tenant(tenant)
        assert (verdict.sealed, verdict.unsealed, verdict.findings) == (9, 0, [])

    def test_after_a_restore_a_running_transaction_is_not_passed_over(self, tenant: int, database: Database) -> None:
        write(tenant, 2)
        with as_superuser(database) as execute:
            execute("UPDATE audit_event SET transaction_id = transaction_id + 1000000000")
        seal(tenant)
        with tenant_session(tenant) as slow:
            record(slow, tenant, SYSTEM, Action("slow.change", "thing", 1, {}))
            write(tenant, 2)
            assert seal(tenant) == 0
        assert seal(tenant) == 3
        assert verify_tenant(tenant).is_sound

    @pytest.mark.slow
    def test_a_hundred_thousand_rows(self, tenant: int) -> None:
        for _ in range(10):
            write(tenant, 10_000)
        began = time.monotonic()
        assert sum(itertools.takewhile(bool, iter(lambda: seal_tenant(tenant), None))) == 100_000
        write_head(tenant)
        sealed_in = time.monotonic() - began
        began = time.monotonic()
        assert verify_tenant(tenant).is_sound
        verified_in = time.monotonic() - began
        print(f"100,000 rows sealed in {sealed_in:.1f} s, verified in {verified_in:.1f} s")


@pytest.mark.chaos
@pytest.mark.parametrize(
    ("step", "has_head"),  # the folder is forced to disk only for a new file
    [(step, has_head) for step in STEPS for has_head in (False, True) if not (has_head and step == "after the head")],
)
def test_a_sealer_killed_at_any_step_leaves_nothing_to_find(tenant: int, step: str, has_head: bool) -> None:
    if has_head:
        write(tenant, 3)
        seal(tenant)
    write(tenant, 4)
    line = [sys.executable, "-m", "tests.kernel.killed_sealer", step, str(tenant)]
    killed = subprocess.run(line, capture_output=True, text=True, timeout=60, check=False)
    assert killed.returncode == -9, killed.stderr[-2000:]
    assert verify_tenant(tenant).is_sound
    write(tenant, 1)
    seal(tenant)
    verdict = verify_tenant(tenant)
    assert (verdict.sealed, verdict.unsealed, verdict.findings) == (8 if has_head else 5, 0, [])
