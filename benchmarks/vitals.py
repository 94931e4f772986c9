"""Vital signs: the devices' door, then files."""

from collections.abc import Sequence

from benchmarks import vitals_door, vitals_files
from benchmarks.results import Row


def measure() -> Sequence[Row]:
    """Rows of both."""
    return [*vitals_door.measure(), *vitals_files.measure()]
