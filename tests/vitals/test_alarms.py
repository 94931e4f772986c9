"""Readings that alarm: one alert, counted in the answer; what came late alarms nobody."""

import threading

import pytest

from tests.vitals.conftest import Clinic, Worn
from tests.vitals.test_doors import moment, reading

pytestmark = pytest.mark.api
CRITICAL = {"heart_rate": 190}


def open_alerts(clinic: Clinic) -> list[tuple[str, str]]:
    rows = clinic.rows("SELECT kind, level FROM alert WHERE closed_at IS NULL ORDER BY kind")
    return [(row.kind, row.level) for row in rows]


def test_a_critical_reading_opens_one_alert_and_says_so(worn: Worn) -> None:
    first = worn.post(reading(**CRITICAL)).json()
    assert first["alerts_triggered"] == 1
    again = worn.post(reading(heart_rate=191, timestamp=moment(seconds=20))).json()
    assert again["alerts_triggered"] == 0
    assert len(open_alerts(worn.clinic)) == 1
    assert worn.post(reading(heart_rate=75, timestamp=moment(seconds=5))).json()["alerts_triggered"] == 0
    assert open_alerts(worn.clinic) == [], "recovery closes it"


def test_a_repeated_critical_reading_is_answered_as_the_first_time(worn: Worn) -> None:
    sent = reading(**CRITICAL)
    assert worn.post(sent).json() == worn.post(sent).json()
    assert worn.post(sent).json()["alerts_triggered"] == 1


def test_a_late_reading_alarms_nobody(worn: Worn) -> None:
    late = worn.post(reading(timestamp=moment(hours=2), **CRITICAL)).json()
    assert (late["success"], late["alerts_triggered"]) == (True, 0)
    assert open_alerts(worn.clinic) == []


def test_a_normal_reading_alarms_nobody(worn: Worn) -> None:
    assert worn.post(reading()).json()["alerts_triggered"] == 0
    assert open_alerts(worn.clinic) == []


def test_many_critical_readings_at_once_make_one_alert(worn: Worn) -> None:
    worn.clinic.rows("UPDATE device SET rate_per_minute = 100000 RETURNING id")
    answers: list[int] = []

    def post(number: int) -> None:
        for each in range(10):
            sent = reading(heart_rate=180 + each, timestamp=moment(seconds=100 - number - each / 20))
            sent["timestamp"] = sent["timestamp"].replace("Z", f".{number:02}{each}Z")
            answers.append(worn.post(sent).json()["alerts_triggered"])

    threads = [threading.Thread(target=post, args=(number,)) for number in range(10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(answers) == 100
    assert len(open_alerts(worn.clinic)) == 1
    assert len(worn.clinic.rows("SELECT 1 FROM vital_sign")) == 100
