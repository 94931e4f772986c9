"""What became of the files of a run: counts for its final state, a table on its page, the reason beside a bad file."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import httpx
import structlog
from prefect.artifacts import acreate_table_artifact
from prefect.context import FlowRunContext
from prefect.exceptions import PrefectException

from tasks.runs import publish_tally
from tasks.tally import Tally
from tasks.vitals.contents import Fault

MOST_ROWS = 1000
MOST_LINES = 200
READINGS = {
    "stored": "readings stored",
    "repeated": "readings repeated",
    "held": "readings held",
    "not taken": "readings not taken",
}

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class FileOutcome:
    """One file: its number in the run, the first digits of its SHA-256 (its name may say whose it is), and its fate."""

    number: int
    tenant_id: int
    fingerprint: str = ""
    rule: str = ""
    """Why it is refused as a whole; empty: it is not."""
    readings: Counter[str] = field(default_factory=Counter)
    faults: list[Fault] = field(default_factory=list)
    ended: str = ""

    @property
    def is_good(self) -> bool:
        """Whether everything in it was stored, was there already, or is held for somebody to look at."""
        return not self.rule and not self.faults

    def reason(self) -> str:
        """The text beside a file in quarantine: field names and rules, never a value."""
        lines = [f"sha256: {self.fingerprint or 'not read'}"]
        if self.rule:
            lines.append(f"refused: {self.rule}")
        lines += [f"{what}: {number}" for what, number in self.readings.items() if number]
        for fault in self.faults[:MOST_LINES]:
            lines.append(f"reading {fault.index}: {fault.field + ': ' if fault.field else ''}{fault.reason}")
        if len(self.faults) > MOST_LINES:
            lines.append(f"and {len(self.faults) - MOST_LINES} more")
        lines.append("Moved back to the inbox it is read again; what was stored is not stored a second time.")
        return "\n".join(lines) + "\n"


class FileReport:
    """The files of one run; opaque to Prefect."""

    __slots__ = ("files", "tally")

    def __init__(self) -> None:
        self.tally = Tally()
        self.files: list[FileOutcome] = []

    def add(self, file: FileOutcome) -> None:
        """Count a file that has reached its end. A good day's thousands leave only the first in the table."""
        (self.tally.count if file.ended == "archived" else self.tally.problem)(f"files {file.ended}")
        for what, words in READINGS.items():
            self.tally.count(words, file.readings[what])
        if file.ended != "archived" or len(self.files) < MOST_ROWS:
            self.files.append(file)

    def __repr__(self) -> str:
        return f"<FileReport: {self.tally.message}>"


async def publish_files(report: FileReport) -> None:
    """Leave counts and table on the run's page, bad files first; without a run or a server nothing happens."""
    await publish_tally(report.tally)
    context = FlowRunContext.get()
    if context is None or context.flow is None or not report.files:
        return
    files = sorted(report.files, key=lambda file: (file.ended == "archived", file.number))
    try:
        await acreate_table_artifact(
            _rows(files[:MOST_ROWS]),
            key=f"{context.flow.name}-files",
            description="What became of each file. The reason of one in quarantine lies beside it, under its SHA-256.",
        )
    except (httpx.HTTPError, PrefectException) as error:
        log.warning("the table could not be shown", error=type(error).__name__)


def _rows(files: Sequence[FileOutcome]) -> list[dict[str, str | int]]:
    return [
        {
            "tenant": file.tenant_id,
            "file": file.number,
            "sha256": file.fingerprint,
            **{what: file.readings[what] for what in READINGS},
            "outcome": file.ended,
            "rule": file.rule,
        }
        for file in files
    ]
