"""How far a device's day may go before somebody should look at the device, each limit with its reason. Pure."""

from collections.abc import Mapping
from datetime import timedelta

HISTORY_DAYS = 14
"""A device is compared with its own two weeks before: two of every weekday, and little of the season."""
FEWEST_DAYS = 5
"""Of fewer days with readings nothing is usual yet."""
TOLD_WITHIN = timedelta(days=7)
"""Days that ended longer ago are looked at again without a mail: nobody has to act on them."""

GAP_FLOOR_MINUTES = 30
"""Washing, an X-ray, a new electrode: nobody looks into half an hour."""
GAP_FACTOR = 1.5
"""Half as long again as the longest stretch of a usual day, which holds nights without the device and long rounds."""

STUCK_READINGS = 12
"""So many the same in a row: even where every second reading repeats the one before, chance is one in 2,000."""
STUCK_HOURS: Mapping[str, float] = {
    "heart_rate": 6,
    "blood_pressure_systolic": 12,
    "blood_pressure_diastolic": 12,
    "temperature": 8,
    "respiratory_rate": 12,
    "oxygen_saturation": 6,
    "glucose": 6,
}
"""How long a living patient's value may stay the same to the digit.

- heart_rate: it moves with every breath; a pacemaker holds a sleeper's rate for hours, though not for six to the digit.
- blood_pressure: monitors repeat a cuff's value until the next measurement, at most 12 h later (NEWS2, Royal College of
  Physicians 2017, table 2); of separate measurements no two are alike for long.
- temperature: it rises and falls by 0.5 °C a day (Mackowiak, JAMA 1992;268:1578), so by more than 0.1 in eight hours.
- respiratory_rate: a ventilator holds it between two rounds.
- oxygen_saturation: a resting patient's stays within a percent for hours; 100 is the scale's end and is never stuck.
- glucose: sensors give it every 5 minutes and meals move it; gateways repeat a bedside value for 4 to 6 h.
- weight: the same for days in health, and so left out.
"""
SCALE_ENDS: Mapping[str, float] = {"oxygen_saturation": 100}
"""Values that stay because there is nothing beyond them."""

DRIFT_READINGS = 3
"""Of fewer readings a day has no median that one bad reading would not move. Weight is taken once a day: left out."""
DRIFT_SPREADS = 3.5
"""Iglewicz and Hoaglin (How to Detect and Handle Outliers, 1993): a modified z-score beyond it is an outlier."""
MAD_TO_SIGMA = 1.4826
"""The median absolute deviation of normally distributed values, in standard deviations."""
DRIFT_FLOORS: Mapping[str, float] = {
    "heart_rate": 5,
    "blood_pressure_systolic": 5,
    "blood_pressure_diastolic": 5,
    "temperature": 0.3,
    "respiratory_rate": 2,
    "oxygen_saturation": 2,
    "glucose": 15,
}
"""The least spread that is believed: what a device may be wrong by, for days can be alike by chance.

Heart rate 5 /min (IEC 60601-2-27), blood pressure 5 mmHg (ISO 81060-2), temperature 0.3 °C (ISO 80601-2-56), glucose
15 mg/dL (ISO 15197:2013), saturation 2 % (half of what ISO 80601-2-61 allows), breaths 2 /min (as makers state it).
"""

CHARGED_PERCENT = 10
"""A battery that rose by so much was charged: how fast it falls is then not judged."""
BATTERY_HOURS = 12
"""A shorter time says nothing about a day."""
BATTERY_DAYS = 2
"""Found in the night, acted on during the next day, and some time for the spare."""
MOST_BATTERY_DAYS = 365

SIGNAL_READINGS = 12
SIGNAL_PERCENT = 50
"""Makers' scales differ; where half of a day's readings lie below the middle, all of them call that poor."""
HELD_READINGS = 20
"""Of fewer readings no share is counted, as with files."""
HELD_PERCENT = 5
"""One in twenty impossible or out of its time is no loose contact any more."""
