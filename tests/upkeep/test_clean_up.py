"""clean-up removes what has ended and was kept long enough, and nothing else; killed, doubled and repeated."""

import asyncio
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any

import pytest
from sqlalchemy import text

from models.kernel.audit import SYSTEM
from models.kernel.errors import ConfigError
from models.kernel.settings import read_settings, settings
from models.kernel.tenancy import owner_session, tenant_session
from models.upkeep import retention
from models.upkeep.retention import PARENTS, RULES
from tasks.upkeep import clean_up
from tests.conftest import Database
from tests.factories import make_tenant

pytestmark = pytest.mark.store

PRUNED = {rule.table for rule in RULES} | {PARENTS[rule.parent] for rule in RULES if rule.parent}
KEPT = {
    "alembic_version": "the schema's version",
    "tenant": "few, and everything's anchor",
    "audit_event": "append-only: the record of who did what",
    "audit_seal": "append-only: the chain over the record",
    "app_user": "people; named by what they did",
    "api_token": "made by people, one by one; named by the audit trail",
    "patient": "the record",
    "patient_identifier": "the record",
    "department": "set up by people",
    "equipment": "set up by people",
    "equipment_key": "set up by people; a rotation adds one",
    "test_definition": "the catalogue",
    "panel": "the catalogue",
    "panel_test": "the catalogue",
    "reference_range": "the catalogue; results name what they were flagged by",
    "assignment": "the record",
    "assignment_comment": "the record",
    "instrument_message": "what results were made from, as received",
    "held_result": "the record of what was not let through",
    "result": "the record",
    "verification": "the record",
    "quality_check": "keeps its own number of rows (LABWIRE_QUALITY_CHECKS_KEPT)",
    "failure_notice": "one row for each deployment",
    "device": "set up by people",
    "device_patient": "whose a device was: the record",
    "device_key": "set up by people; a rotation adds one",
    "device_contact": "one row for each device",
    "tenant_rate": "counts of minutes: prepare-partitions removes those of days before",
    "device_activity": "the record of what devices were answered",
    "vital_sign": "the record",
    "held_reading": "the record of what was held",
    "vitals_policy": "set up by people",
    "alert": "the record",
    "alert_event": "the record: who was told when, and what came of it",
    "alert_threshold": "set up by people",
    "alert_policy": "set up by people",
    "alert_contact": "set up by people",
    **dict.fromkeys(("radiology_order", "radiology_study", "radiology_series"), "the record"),
    "radiology_image": "the record: nothing that was stored is deleted",
    "image_description": "what images say, made once",
    "series_metadata": "one row for each series",
    "image_upload": "the record of what was sent, held and given up",
    "viewer_grant": "the record of who was given an address",
    "alert_question": "the record: what a patient was asked and answered",
}
"""Every table that is never pruned, or prunes itself, and why: a new table is named here or in RULES."""

OLD = {
    "idempotency_key": """
        INSERT INTO idempotency_key (tenant_id, scope, key, content_sha256, created_at)
        SELECT t, 'orders', 'k-' || n || age, 'x', now() - age FROM ages""",
    "user_session": """
        INSERT INTO user_session (tenant_id, user_id, token_hash, expires_at)
        SELECT t, u, sha256((age || 's' || n)::bytea), now() - age FROM ages""",
    "password_reset": """
        INSERT INTO password_reset (tenant_id, user_id, token_hash, expires_at)
        SELECT t, u, sha256((age || 'p' || n)::bytea), now() - age FROM ages""",
    "delivery": """
        WITH e AS (INSERT INTO outbox_event (tenant_id, type, entity, payload)
                   SELECT t, 'x.happened', 'x:' || extract(day FROM age), '{}' FROM ages
                   RETURNING tenant_id, id, entity)
        INSERT INTO delivery (tenant_id, event_id, destination, entity, state, answered_at)
        SELECT tenant_id, id, 'mail', entity, 'done', now() - make_interval(days => substr(entity, 3)::int) FROM e""",
    "stale_notice": """
        INSERT INTO stale_notice (tenant_id, day, assignment_count, created_at)
        SELECT t, current_date - extract(day FROM age)::int - n::int, 1, now() - age FROM ages""",
    "equipment_check": """
        INSERT INTO equipment_check (tenant_id, equipment_id, checked_at, is_online, status)
        SELECT t, i, now() - age, true, 'online' FROM ages""",
}
AGES = """
WITH ages AS (
    SELECT t.id AS t, u.id AS u, i.id AS i, n, make_interval(days => d) AS age
    FROM tenant t JOIN app_user u ON u.tenant_id = t.id JOIN equipment i ON i.tenant_id = t.id,
         generate_series(1, :count) n, unnest(CAST(:days AS int[])) d
    WHERE t.id = :tenant_id
)
"""


def fill(tenant_id: int, *, days: list[int], count: int = 1) -> None:
    """So many ended rows of each age in every table that is pruned."""
    with owner_session() as session:
        values = {"tenant_id": tenant_id, "days": days, "count": count}
        for statement in OLD.values():
            # a WITH of its own follows ours with a comma
            joined = AGES + statement.strip().replace("WITH e AS", ", e AS", 1)
            session.execute(text(joined), values)


@pytest.fixture
def north(database: Database) -> int:
    return laboratory("north")


def laboratory(slug: str) -> int:
    tenant_id = make_tenant(slug)
    with owner_session() as session:
        for statement in (
            "INSERT INTO app_user (tenant_id, email, name, roles) VALUES (:t, 'a@lab.example', 'A', '{}')",
            "INSERT INTO equipment (tenant_id, name, model) VALUES (:t, 'Analyser', 'M')",
        ):
            session.execute(text(statement), {"t": tenant_id})
    return tenant_id


def counts(tenant_id: int) -> dict[str, int]:
    with tenant_session(tenant_id) as session:
        return {table: session.scalar(text(f"SELECT count(*) FROM {table}")) or 0 for table in sorted(PRUNED)}


def clean(tenant: str = "", **others: Any) -> str:
    return clean_up.clean(tenant, SYSTEM, **others).message


ALL_OF_ONE = dict.fromkeys(sorted(PRUNED), 1)


def test_every_table_is_pruned_or_kept_for_a_reason(database: Database) -> None:
    with owner_session() as session:
        tables = set(session.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")))
    assert tables == PRUNED | set(KEPT)
    assert not PRUNED & set(KEPT)
    assert {rule.table for rule in RULES} == set(OLD)


def test_what_was_kept_long_enough_goes_and_the_rest_stays(north: int) -> None:
    fill(north, days=[20, 400])
    assert clean() == (
        "idempotency keys 1, sessions 1, one-time links 1, mails 1, stale notices 1, instrument checks 1"
    )
    assert counts(north) == ALL_OF_ONE
    with tenant_session(north) as session:
        newest = "SELECT min(checked_at) > now() - interval '21 days' FROM equipment_check"
        assert session.scalar(text(newest))


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.table)
def test_a_row_goes_with_the_day_its_setting_names(
    north: int, rule: retention.Rule, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"LABWIRE_{rule.keep.upper()}", "10")
    settings.cache_clear()
    fill(north, days=[9, 11])
    with tenant_session(north) as session:
        before = session.scalar(text("SELECT now() - interval '10 days'"))
        assert isinstance(before, datetime)
        assert retention.count_ended(session, north, rule, before=before) == 1
    assert f"{rule.what} 1" in clean()
    assert counts(north)[rule.table] == 1


def test_a_dry_run_counts_and_removes_nothing(north: int) -> None:
    fill(north, days=[400], count=3)
    before = counts(north)
    assert clean(dry_run=True) == (
        "idempotency keys 3, sessions 3, one-time links 3, mails 3, stale notices 3, instrument checks 3; "
        "dry run: nothing was removed"
    )
    assert counts(north) == before
    assert removals(north) == []


@pytest.mark.rerun
def test_a_second_run_finds_nothing(north: int) -> None:
    fill(north, days=[1, 400])
    clean()
    before = counts(north)
    assert clean() == "nothing to do"
    assert counts(north) == before


def test_sessions_and_links_still_in_use_stay_whatever_their_age(north: int) -> None:
    with owner_session() as session:
        user = session.scalar(text("SELECT id FROM app_user"))
        for statement in (
            "INSERT INTO user_session (tenant_id, user_id, token_hash, created_at, expires_at) "
            "VALUES (:t, :u, 'x', now() - interval '500 days', now() + interval '1 hour')",
            "INSERT INTO password_reset (tenant_id, user_id, token_hash, created_at, expires_at) "
            "VALUES (:t, :u, 'x', now() - interval '500 days', now() + interval '1 hour')",
        ):
            session.execute(text(statement), {"t": north, "u": user})
    assert clean() == "nothing to do"
    with owner_session() as session:  # ended by a person and used long ago, though not expired
        session.execute(text("UPDATE user_session SET ended_at = now() - interval '400 days'"))
        session.execute(text("UPDATE password_reset SET used_at = now() - interval '400 days'"))
    assert clean() == "sessions 1, one-time links 1"


@pytest.mark.parametrize("state", ["due", "leased", "dead", "unknown"])
def test_mail_that_is_not_delivered_stays(north: int, state: str) -> None:
    fill(north, days=[400])
    with owner_session() as session:
        session.execute(text("UPDATE delivery SET state = :state"), {"state": state})
    assert "mails" not in clean()
    assert (counts(north)["delivery"], counts(north)["outbox_event"]) == (1, 1)


def test_what_went_to_an_instrument_stays_and_a_mail_of_the_same_event_with_it(north: int) -> None:
    fill(north, days=[400])
    with owner_session() as session:
        more = (
            "INSERT INTO delivery (tenant_id, event_id, destination, entity, state, answered_at) "
            "SELECT tenant_id, event_id, 'instrument:1', entity, 'done', answered_at FROM delivery"
        )
        session.execute(text(more))
    assert "mails" not in clean()
    assert counts(north)["delivery"] == 2
    with owner_session() as session:
        session.execute(text("DELETE FROM delivery WHERE destination = 'mail'"))
    assert clean() == "nothing to do"
    assert (counts(north)["delivery"], counts(north)["outbox_event"]) == (1, 1)


def removals(tenant_id: int) -> list[tuple[str, int]]:
    wanted = text("SELECT resource_type, changes FROM audit_event WHERE action = 'retention.prune' ORDER BY id")
    with tenant_session(tenant_id) as session:
        return [(row.resource_type, row.changes["number"]) for row in session.execute(wanted)]


def test_rows_go_in_batches_each_with_its_audit_row(north: int) -> None:
    fill(north, days=[400], count=25)
    clean(batch=10)
    batches = removals(north)
    assert [number for table, number in batches if table == "equipment_check"] == [10, 10, 5]
    assert len(batches) == 3 * len(RULES)
    assert set(counts(north).values()) == {0}


def test_tenants_are_cleaned_apart_and_closed_ones_too(north: int) -> None:
    south = laboratory("south")
    for tenant_id in (north, south):
        fill(tenant_id, days=[400])
    clean("south")
    assert (set(counts(north).values()), set(counts(south).values())) == ({1}, {0})
    with owner_session() as session:
        session.execute(text("UPDATE tenant SET is_active = false"))
    clean()
    assert set(counts(north).values()) == {0}
    assert len(removals(north)) == len(removals(south)) == len(RULES)


def test_two_at_once_remove_each_row_once(north: int) -> None:
    fill(north, days=[400], count=200)
    with ThreadPoolExecutor(2) as pool:
        tallies = list(pool.map(lambda _: clean_up.clean("", SYSTEM, batch=20), range(2)))
    assert {rule.what: sum(tally.counts[rule.what] for tally in tallies) for rule in RULES} == {
        rule.what: 200 for rule in RULES
    }
    assert set(counts(north).values()) == {0}
    assert sum(number for _, number in removals(north)) == 200 * len(RULES)


@pytest.mark.chaos
@pytest.mark.parametrize("times", [1, 4, 12])
async def test_killed_half_way_it_has_removed_whole_batches_and_the_next_run_ends_it(north: int, times: int) -> None:
    fill(north, days=[1, 400], count=25)
    before = counts(north)
    line = [sys.executable, "-m", "tests.upkeep.killed_cleaner", str(times)]
    killed = await asyncio.to_thread(subprocess.run, line, capture_output=True, text=True, timeout=60, check=False)
    assert killed.returncode == -9, killed.stderr[-2000:]
    done = removals(north)
    assert len(done) == times - 1
    gone = {table: before[table] - left for table, left in counts(north).items() if table != "outbox_event"}
    assert gone == {table: sum(number for name, number in done if name == table) for table in gone}
    clean()
    assert counts(north) == dict.fromkeys(sorted(PRUNED), 25)


@pytest.mark.parametrize(("name", "days"), [("CHECKS", "7"), ("SESSIONS", "0"), ("MAILS", "x"), ("LINKS", "99999")])
def test_days_that_cannot_be_meant_are_refused(name: str, days: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"LABWIRE_KEEP_{name}_DAYS", days)
    with pytest.raises(ConfigError, match=f"keep_{name.lower()}_days"):
        read_settings()
