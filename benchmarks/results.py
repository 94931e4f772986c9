"""The rows that benchmarks produce, the table they are printed as, and the file they are kept in."""

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

FILE = Path(__file__).with_name("results.json")
COMPARE = {"<=": lambda figure, bound: figure <= bound, ">=": lambda figure, bound: figure >= bound}


@dataclass(frozen=True, slots=True)
class Row:
    """One promise: what was measured, against what (in the same run), and the bound of their ratio."""

    name: str
    figure: float
    unit: str
    limit_name: str
    limit_figure: float
    goal: str

    @property
    def ratio(self) -> float:
        """Figure to limit; where the goal is absolute, the goal is its own limit and this is 1 at the goal."""
        return self.figure / self.limit_figure

    @property
    def held(self) -> bool:
        """Whether the ratio is within the goal (`<= 2.0`)."""
        sign, bound = self.goal.split()
        return bool(COMPARE[sign](self.ratio, float(bound)))

    def as_json(self) -> dict[str, Any]:
        """As results.json has it."""
        rounded = {"figure": _short(self.figure), "limit_figure": _short(self.limit_figure)}
        return {**asdict(self), **rounded, "ratio": _short(self.ratio), "goal": self.goal, "held": self.held}


def show(rows: Sequence[Row]) -> None:
    """Print the table."""
    lines = [("measured", "figure", "limit", "figure", "ratio", "goal", "held")]
    lines += [
        (
            row.name,
            f"{_short(row.figure)} {row.unit}",
            row.limit_name,
            f"{_short(row.limit_figure)} {row.unit}",
            f"{row.ratio:.2f}",
            row.goal,
            "yes" if row.held else "NO",
        )
        for row in rows
    ]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    for line in lines:
        print("  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip())


def keep(area: str, rows: Sequence[Row]) -> None:
    """Replace the area's rows in results.json; names begin with the area."""
    kept = json.loads(FILE.read_text())["results"] if FILE.exists() else []
    others = [row for row in kept if not row["name"].startswith(f"{area}: ")]
    content = {
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": machine(),
        "results": sorted([*others, *(row.as_json() for row in rows)], key=lambda row: row["name"]),
    }
    FILE.write_text(json.dumps(content, indent=2) + "\n")


def machine() -> str:
    """What the figures were measured on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{os.cpu_count()} cores, {memory:.0f} GB, {platform.system()}, Python {platform.python_version()}"


def _short(figure: float) -> float:
    return float(f"{figure:.4g}")
