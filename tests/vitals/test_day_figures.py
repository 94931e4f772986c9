"""A day of real rows in figures: what the database counts, for which device, patient and day."""

from datetime import timedelta

import pytest
from sqlalchemy import text

from models.kernel.tenancy import tenant_session
from models.vitals.day_rules import Battery, Course, window
from models.vitals.stores import day as day_store
from tests.factories import make_tenant
from tests.vitals.conftest import Clinic
from tests.vitals.days import LAGOS, Wrist, loaded, wear, yesterday

pytestmark = pytest.mark.store
HOURLY = [float(hour) for hour in range(24)]


@pytest.fixture
def wrist(clinic: Clinic) -> Wrist:
    return wear(clinic)


def minutes(wrist: Wrist) -> tuple[float | None, float | None, int]:
    gaps = wrist.figures().gaps
    told = [None if one is None else round(one) for one in (gaps.longest_minutes, gaps.usual_minutes)]
    return told[0], told[1], gaps.days


class TestGaps:
    def test_the_longest_stretch_and_that_of_the_days_before(self, wrist: Wrist) -> None:
        wrist.put_usual(6)
        wrist.put([hour for hour in HOURLY if not 9 < hour < 14])
        assert minutes(wrist) == (300, 60, 6)

    def test_a_stretch_over_midnight_counts_whole_on_the_day_it_ends(self, wrist: Wrist) -> None:
        wrist.put(HOURLY[:21], back=1)
        wrist.put(HOURLY[3:])
        assert minutes(wrist)[0] == 7 * 60

    def test_a_silence_that_goes_on_counts_to_midnight(self, wrist: Wrist) -> None:
        wrist.put(HOURLY, back=1)
        wrist.put(HOURLY[:15])
        assert minutes(wrist)[0] == 10 * 60

    def test_a_day_without_any_reading_is_one_stretch(self, wrist: Wrist) -> None:
        wrist.put_usual(6)
        assert minutes(wrist)[0] == 25 * 60

    def test_only_time_on_a_patient_counts(self, wrist: Wrist) -> None:
        wrist.put_usual(2)
        wrist.put([9, 10, 11, 12])
        with tenant_session(wrist.clinic.tenant_id) as session:
            session.execute(
                text("UPDATE device_patient SET assigned_from = :since, assigned_until = :until"),
                {"since": wrist.at(8.5), "until": wrist.at(12.5)},
            )
        assert minutes(wrist) == (60, None, 0), "of the time before it was somebody's nothing is usual"

    def test_between_two_patients_it_is_nobodys(self, wrist: Wrist) -> None:
        other = wrist.clinic.patient("P2")
        wrist.put_usual(1)
        wrist.put([hour for hour in HOURLY if hour <= 8 or hour >= 20])
        with tenant_session(wrist.clinic.tenant_id) as session:
            values = {"d": wrist.device_id, "p": other, "until": wrist.at(8.5), "since": wrist.at(19.5)}
            session.execute(text("UPDATE device_patient SET assigned_until = :until"), values)
            session.execute(
                text(
                    "INSERT INTO device_patient (tenant_id, device_id, patient_id, assigned_from) "
                    "SELECT tenant_id, :d, :p, :since FROM device WHERE id = :d"
                ),
                values,
            )
        assert minutes(wrist)[0] == 60

    def test_a_device_that_is_not_in_use_has_none(self, wrist: Wrist) -> None:
        wrist.put([12])
        wrist.clinic.rows("UPDATE device SET is_active = false RETURNING 1")
        assert minutes(wrist) == (None, None, 0)

    def test_a_device_that_is_nobodys_and_sent_nothing_is_left_out(self, clinic: Clinic) -> None:
        clinic.device("SPARE")
        assert loaded(clinic.tenant_id) == {}


class TestStuck:
    def test_the_longest_run_of_the_same_value(self, wrist: Wrist) -> None:
        rates = [70, 71, *[72] * 14, 73, *[72] * 7]
        wrist.put(HOURLY, heart_rate=rates, weight=80)
        assert wrist.figures().same_hours == {"heart_rate": 13}

    def test_a_reading_without_the_vital_sign_does_not_end_its_run(self, wrist: Wrist) -> None:
        rates = [60 if hour % 2 else None for hour in range(24)]
        wrist.put(HOURLY, heart_rate=rates, temperature=[36.5 + hour / 10 for hour in range(24)])
        assert wrist.figures().same_hours == {"heart_rate": 22, "temperature": 0}

    def test_few_readings_are_not_judged_and_short_runs_are_none(self, wrist: Wrist) -> None:
        wrist.put(HOURLY[:11], heart_rate=72)
        assert wrist.figures().same_hours == {}
        wrist.put([23], heart_rate=90)
        assert wrist.figures().same_hours == {"heart_rate": 0}

    def test_the_end_of_the_scale_is_never_stuck(self, wrist: Wrist) -> None:
        wrist.put(HOURLY, oxygen_saturation=100, temperature=37.0)
        assert wrist.figures().same_hours == {"oxygen_saturation": 0, "temperature": 23}
        wrist.put([hour + 0.5 for hour in HOURLY], oxygen_saturation=[100, *[98] * 23])
        assert wrist.figures().same_hours == {"oxygen_saturation": 0, "temperature": 23}

    def test_only_the_days_own_readings_count(self, wrist: Wrist) -> None:
        wrist.put(HOURLY, back=1, heart_rate=72)
        wrist.put(HOURLY[:12], back=-1, heart_rate=72)
        wrist.put(HOURLY[:12], heart_rate=72)
        assert wrist.figures().same_hours == {"heart_rate": 11}


class TestDrift:
    def test_medians_of_days_and_their_spread(self, wrist: Wrist) -> None:
        for back, usual in enumerate((70, 72, 74, 76, 78), 1):
            wrist.put(HOURLY, back=back, heart_rate=[usual] * 20 + [150] * 4)
        wrist.put(HOURLY, heart_rate=[99] * 20 + [20] * 4)
        assert wrist.figures().courses == {"heart_rate": Course(median=99, usual=74, deviation=2, days=5)}

    def test_somebody_elses_days_are_not_its_history(self, wrist: Wrist) -> None:
        other = wrist.clinic.patient("P2")
        wrist.put_usual(6, heart_rate=120, patient_id=other)
        wrist.put(HOURLY, heart_rate=60)
        assert wrist.figures().courses == {}
        wrist.put(HOURLY, back=7, heart_rate=61)
        assert wrist.figures().courses == {"heart_rate": Course(median=60, usual=61, deviation=0, days=1)}

    def test_the_patient_who_wore_it_last_is_meant(self, wrist: Wrist) -> None:
        other = wrist.clinic.patient("P2")
        wrist.put_usual(6, heart_rate=120, patient_id=other)
        wrist.put(HOURLY[:20], heart_rate=60)
        wrist.put(HOURLY[20:], heart_rate=125, patient_id=other)
        assert wrist.figures().courses == {"heart_rate": Course(median=125, usual=120, deviation=0, days=6)}

    def test_days_of_few_readings_and_days_long_past_have_no_part(self, wrist: Wrist) -> None:
        wrist.put_usual(2, heart_rate=70)
        wrist.put([1, 2], back=3, heart_rate=20)
        wrist.put(HOURLY, back=15, heart_rate=20)
        wrist.put([1, 2, 3], heart_rate=70)
        assert wrist.figures().courses == {"heart_rate": Course(70, 70, 0, 2)}
        wrist.put([1, 2], temperature=37)
        wrist.put(HOURLY, back=1, temperature=37)
        assert set(wrist.figures().courses or {}) == {"heart_rate"}

    def test_a_day_begins_at_midnight_of_the_laboratory(self, wrist: Wrist) -> None:
        wrist.put([23.5, 23.6, 23.7], back=1, heart_rate=70)  # the same day in UTC as the next ones
        wrist.put([0.1, 0.2, 0.3], heart_rate=80)
        wrist.put([24.0, 24.1, 24.2], heart_rate=200)
        assert wrist.at(0.1).astimezone(LAGOS).date() == yesterday()
        assert wrist.figures().courses == {"heart_rate": Course(80, 70, 0, 1)}


class TestBatteryAndSignal:
    def test_the_first_and_last_level_and_the_greatest_rise(self, wrist: Wrist) -> None:
        wrist.put([1, 5, 9, 13, 17], battery_level=[90, 70, None, 85, 40], signal_quality=[10, 20, 30, None, 90])
        found = wrist.figures()
        assert found.battery == Battery(first=90, last=40, rise=15, hours=16)
        assert (found.signal, found.signals, found.stored) == (25, 4, 5)

    def test_a_charge_in_small_steps_is_a_rise(self, wrist: Wrist) -> None:
        wrist.put(HOURLY, battery_level=[*range(60, 40, -2), *range(41, 55)])
        assert wrist.figures().battery == Battery(first=60, last=54, rise=13, hours=23)

    def test_without_any_there_is_nothing_to_judge(self, wrist: Wrist) -> None:
        wrist.put(HOURLY, heart_rate=70)
        assert (wrist.figures().battery, wrist.figures().signal) == (None, None)


class TestHeld:
    def test_held_readings_of_the_day_those_that_were_released_not(self, wrist: Wrist) -> None:
        wrist.put([1, 2])
        wrist.hold([3, 4])
        wrist.hold([5], settlement="discarded")
        wrist.hold([6], settlement="released")
        wrist.hold([30])
        assert (wrist.figures().stored, wrist.figures().held) == (2, 3)

    def test_where_the_time_is_wrong_it_is_the_day_they_came(self, wrist: Wrist) -> None:
        wrong = [{"field": "timestamp", "rule": "in_the_future"}]
        for days in (900, 901):
            wrist.hold([3], findings=wrong, recorded_at=wrist.at(3) + timedelta(days=days))
        wrist.hold([4], findings=wrong, received_at=wrist.at(4) - timedelta(days=9))
        assert wrist.figures().held == 2


def test_every_device_is_looked_at_in_groups_and_each_once(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(day_store, "DEVICES_AT_ONCE", 2)
    wrists = [wear(clinic, f"DEV{number}", f"P{number}") for number in range(5)]
    for number, one in enumerate(wrists):
        one.put(HOURLY[: number + 1], heart_rate=70)
    assert {key: day.stored for key, day in loaded(clinic.tenant_id).items()} == {
        one.device_id: number + 1 for number, one in enumerate(wrists)
    }


def test_of_another_tenant_nothing_is_counted(clinic: Clinic) -> None:
    theirs = wear(Clinic(make_tenant("other")))
    theirs.put(HOURLY, heart_rate=70)
    theirs.hold([3])
    with tenant_session(clinic.tenant_id) as session:
        seen = day_store.load_days(session, theirs.clinic.tenant_id, window(yesterday(), "Africa/Lagos"))
    assert seen == ([], 0)
    assert loaded(clinic.tenant_id) == {}
    assert loaded(theirs.clinic.tenant_id)[theirs.device_id].stored == 24
