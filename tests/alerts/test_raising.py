"""Readings raise, worsen and clear alerts; one open alert for each patient and kind, whatever comes at once."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest
from sqlalchemy import text

from models.alerts.schemas import ThresholdIn
from models.alerts.stores import limits
from models.alerts.stores.raising import raise_alerts
from models.kernel.audit import SYSTEM
from models.kernel.errors import InvalidError
from models.kernel.tenancy import tenant_session
from tests.alerts.conftest import Clinic
from tests.factories import make_tenant
from tests.kernel.statements import noted_statements

pytestmark = pytest.mark.store


def test_an_abnormal_reading_opens_one_alert_and_the_next_of_its_kind_none(clinic: Clinic) -> None:
    assert clinic.reads(heart_rate=75) == 0
    assert clinic.reads(heart_rate=120) == 1
    assert clinic.reads(heart_rate=121) == 0
    assert clinic.alerts() == [("heart_rate_high", "warning", None)]
    assert clinic.reads(heart_rate=122, oxygen_saturation=90, temperature=39.5) == 2
    assert len(clinic.alerts()) == 3


def test_worsening_raises_the_level_and_recovery_closes(clinic: Clinic) -> None:
    steps = [(120, 1), (140, 1), (120, 0), (108, 0), (100, 0), (120, 1)]
    assert [clinic.reads(heart_rate=value) for value, _ in steps] == [triggered for _, triggered in steps]
    assert clinic.alerts() == [("heart_rate_high", "critical", "recovered"), ("heart_rate_high", "warning", None)]
    [first, _] = clinic.rows("SELECT value, version, next_step_at FROM alert ORDER BY id")
    assert (first.value, first.version, first.next_step_at) == (Decimal(140), 3, None)
    names = [name for name in clinic.story() if name not in ("asked", "told")]
    assert names == ["opened", "worsened", "recovered", "opened"]


def test_readings_of_one_group_are_counted_each(clinic: Clinic) -> None:
    group = [
        clinic.seen("P1", minutes=2, heart_rate=140),
        clinic.seen("P1", minutes=1, heart_rate=120),
        clinic.seen("P2", heart_rate=75),
        clinic.seen("P2", minutes=1, glucose=40, respiratory_rate=30),
    ]
    assert clinic.store(*group) == {1: 1, 2: 1, 4: 2}
    assert len(clinic.alerts()) == 3


def test_an_alert_that_opened_and_ended_in_one_group_is_kept_and_nobody_is_asked(clinic: Clinic) -> None:
    clinic.store(clinic.seen(heart_rate=140), clinic.seen(minutes=1, heart_rate=75))
    assert clinic.alerts() == [("heart_rate_high", "critical", "recovered")]
    assert (clinic.story(), clinic.mails("alert_question")) == (["opened", "recovered"], [])


def test_a_reading_older_than_the_end_of_the_last_alert_opens_none(clinic: Clinic) -> None:
    clinic.reads(heart_rate=140)
    clinic.reads(heart_rate=75)
    late = clinic.seen(minutes=-1, heart_rate=140)
    assert clinic.store(late) == {}
    assert len(clinic.alerts()) == 1


def test_news2_alarms_only_when_it_is_whole(clinic: Clinic) -> None:
    measured: dict[str, Any] = {
        "respiratory_rate": 20,
        "oxygen_saturation": 95,
        "blood_pressure_systolic": 105,
        "heart_rate": 95,
        "temperature": 38.5,
    }
    assert clinic.reads(**measured) == 0
    assert clinic.reads(**measured, consciousness="alert") == 0
    assert clinic.reads(**measured, consciousness="alert", supplemental_oxygen=True) == 1
    assert clinic.alerts() == [("news2_high", "warning", None)]


def test_limits_of_a_tenant_and_of_a_patient(clinic: Clinic) -> None:
    def limit(**more: object) -> None:
        with tenant_session(clinic.tenant_id) as session:
            given = ThresholdIn.model_validate({"kind": "heart_rate_high"} | more)
            limits.set_threshold(session, clinic.tenant_id, SYSTEM, given)

    limit(warning=90)
    limit(patient_id=clinic.patient("P2"), warning=120)
    assert [clinic.reads("P1", heart_rate=100), clinic.reads("P2", heart_rate=100)] == [1, 0]
    limit(patient_id=clinic.patient("P2"), is_on=False)
    assert clinic.reads("P2", heart_rate=200) == 0
    with pytest.raises(InvalidError, match="before the warning"):
        limit(patient_id=clinic.patient("P1"), critical=80)


def test_nothing_abnormal_costs_one_query(clinic: Clinic) -> None:
    group = [clinic.seen(f"P{n}", heart_rate=75, temperature=37) for n in range(20)]
    with tenant_session(clinic.tenant_id) as session:
        with noted_statements() as said:
            raise_alerts(session, clinic.tenant_id, group)
        assert len(said) == 1
        session.execute(text("SET LOCAL enable_seqscan = off"))
        plan = " ".join(
            session.scalars(
                text("EXPLAIN SELECT 1 FROM alert WHERE tenant_id = :t AND patient_id = ANY(:p) AND closed_at IS NULL"),
                {"t": clinic.tenant_id, "p": [1, 2, 3]},
            )
        )
    assert "alert_open_key" in plan


def test_a_thousand_critical_readings_at_once_make_one_alert_and_one_question(clinic: Clinic) -> None:
    readings = [clinic.seen(minutes=n / 1000, heart_rate=150, oxygen_saturation=85) for n in range(1000)]
    with ThreadPoolExecutor(8) as pool:
        counts = list(pool.map(lambda n: clinic.store(*readings[n : n + 4]), range(0, 1000, 4)))
    assert sum(sum(count.values()) for count in counts) == 2
    assert sorted(clinic.alerts()) == [
        ("heart_rate_high", "critical", None),
        ("oxygen_saturation_low", "critical", None),
    ]
    assert len(clinic.mails("alert_question")) == 2


def test_groups_of_many_patients_in_other_orders_do_not_block_each_other(clinic: Clinic) -> None:
    readings = [clinic.seen(f"P{n}", heart_rate=150) for n in range(12)]
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda n: clinic.store(*(readings if n % 2 else readings[::-1])), range(16)))
    assert len(clinic.alerts()) == 12


def test_each_change_is_audited_without_a_value(clinic: Clinic) -> None:
    clinic.reads(heart_rate=137)
    clinic.reads(heart_rate=138)
    clinic.reads(heart_rate=75)
    rows = clinic.rows("SELECT action, changes FROM audit_event WHERE action LIKE 'alert.%' ORDER BY id")
    assert [row.action for row in rows] == ["alert.opened", "alert.asked", "alert.recovered"]
    assert not any("137" in str(row.changes) for row in rows)


def test_tenants_do_not_see_each_others_alerts(clinic: Clinic) -> None:
    clinic.reads(heart_rate=150)
    other = Clinic(make_tenant("other"), now=clinic.now + timedelta(minutes=1))
    assert other.reads(heart_rate=150) == 1
    assert [len(clinic.alerts()), len(other.alerts())] == [1, 1]
