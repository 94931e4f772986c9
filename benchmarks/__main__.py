"""`make bench`: measure what is promised, print it, and keep it in results.json."""

import argparse
import sys
from collections.abc import Callable, Sequence
from importlib import import_module

from benchmarks.results import Row, keep, show

AREAS = ("instruments", "worker", "vitals", "imaging")


def main() -> int:
    """Measure every area, or one; 1 when a goal was missed."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", choices=AREAS, help="measure this area alone")
    chosen = parser.parse_args().only
    rows: list[Row] = []
    for area in AREAS if chosen is None else (chosen,):
        measure: Callable[[], Sequence[Row]] = import_module(f"benchmarks.{area}").measure
        found = measure()
        keep(area, found)
        rows += found
    show(rows)
    return 0 if all(row.held for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
