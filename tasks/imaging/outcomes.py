"""What became of what was dropped: counts for the run's final state, and a table on its page."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import httpx
import structlog
from prefect.artifacts import acreate_table_artifact
from prefect.context import FlowRunContext
from prefect.exceptions import PrefectException

from tasks.tally import Tally

MOST_ROWS = 1000
Cell = str | int | None
WORDS = {"stored": "images stored", "repeated": "images repeated", "held": "images held", "failed": "images failed"}
NOT_TAKEN_IN, NOBODY, HELD, EXPIRED, REMINDED = "not taken in", "nobody to mail", "held", "expired", "reminded of"
NOT_GIVEN_UP, NOT_REMOVED = "not given up", "not removed"
FAILED = (NOT_TAKEN_IN, NOT_GIVEN_UP, NOT_REMOVED)
PLACES: dict[Cell, int] = {what: n for n, what in enumerate((*FAILED, NOBODY, HELD, EXPIRED, REMINDED))}
"""What came of an upload, in the order of the table; anything else behind it."""
PROBLEMS = frozenset({*FAILED, NOBODY})

log = structlog.get_logger(__name__)


@dataclass(slots=True)
class FileOutcome:
    """One file: its number in its source, the first digits of its SHA-256, and its fate."""

    number: int
    fingerprint: str
    ended: str = ""
    rule: str = ""
    image_id: int | None = None
    upload_id: int | None = None


@dataclass(slots=True)
class SourceOutcome:
    """One folder, ZIP or file that was dropped: its number in the run, digits of the SHA-256 of its name, its fate."""

    number: int
    tenant_id: int
    fingerprint: str
    rule: str = ""
    skipped: int = 0
    files: list[FileOutcome] = field(default_factory=list)
    ended: str = ""

    @property
    def counts(self) -> Counter[str]:
        """Files by their fate."""
        return Counter(each.ended for each in self.files)

    @property
    def is_good(self) -> bool:
        """Whether every image in it is stored, or held for somebody to look at."""
        return not self.rule and not self.counts["failed"]

    def reason(self) -> str:
        """The text beside a source in quarantine: rules and numbers, no name and no value."""
        lines = [f"refused: {self.rule}"] if self.rule else []
        lines += [f"{what}: {number}" for what, number in self.counts.items() if what and number]
        for each in self.files:
            if each.rule:
                lines.append(f"file {each.number} (sha256 {each.fingerprint}): {each.rule}")
        lines.append("Moved back to the inbox it is read again; what was stored is not stored a second time.")
        return "\n".join(lines) + "\n"


class StudyReport:
    """What was dropped, as one run found it; opaque to Prefect. `done` of `total` files are at their end."""

    __slots__ = ("done", "sources", "tally", "total")

    def __init__(self) -> None:
        self.tally = Tally()
        self.sources: list[SourceOutcome] = []
        self.done = self.total = 0

    def add(self, source: SourceOutcome) -> None:
        """Count a source that has reached its end, and with it all its files."""
        self.done = self.total
        (self.tally.count if source.ended == "archived" else self.tally.problem)(f"sources {source.ended}")
        for ended, words in WORDS.items():
            self.tally.count(words, source.counts[ended])
        self.tally.count("files that are no images", source.counts["no image"])
        self.tally.count("files skipped", source.skipped)
        self.sources.append(source)

    def rows(self) -> list[dict[str, Cell]]:
        """The table, what needs a person first."""
        rows: list[dict[str, Cell]] = []
        for source in sorted(self.sources, key=lambda each: (each.ended == "archived", each.number)):
            of_source: dict[str, Cell] = {
                "tenant": source.tenant_id,
                "source": source.number,
                "source sha256": source.fingerprint,
            }
            if source.rule:
                rows.append(of_source | {"outcome": source.ended, "rule": source.rule})
            for each in sorted(source.files, key=lambda one: (not one.rule, one.number)):
                rows.append(
                    of_source
                    | {
                        "file": each.number,
                        "file sha256": each.fingerprint,
                        "image": each.image_id,
                        "held as upload": each.upload_id,
                        "outcome": each.ended,
                        "rule": each.rule,
                    }
                )
        return rows

    def __repr__(self) -> str:
        return f"<StudyReport: {self.tally.message}>"


class UploadReport:
    """What one run did with uploads: counts, and which of them came to what; opaque to Prefect."""

    __slots__ = ("_rows", "tally")

    def __init__(self) -> None:
        self.tally = Tally()
        self._rows: list[dict[str, Cell]] = []

    def list_one(self, tenant: str, upload_id: int, outcome: str, rule: str = "") -> None:
        """A row of the table: tenant's slug, the upload's number, what came of it, the rule that says why."""
        self._rows.append({"tenant": tenant, "upload": upload_id, "outcome": outcome, "rule": rule})

    def count_one(self, tenant: str, upload_id: int, outcome: str, rule: str = "") -> None:
        """The same, and counted under its outcome: as a problem where a person must look at it."""
        (self.tally.problem if outcome in PROBLEMS else self.tally.count)(outcome)
        self.list_one(tenant, upload_id, outcome, rule)

    def merge(self, other: "UploadReport") -> Self:
        """Add another report's counts and rows to this one."""
        self.tally.merge(other.tally)
        self._rows += other._rows
        return self

    def rows(self) -> list[dict[str, Cell]]:
        """The table, what needs a person first and what was finished last."""
        return sorted(self._rows, key=lambda row: PLACES.get(row["outcome"], len(PLACES)))

    def __repr__(self) -> str:
        return f"<UploadReport: {self.tally.message}>"


async def publish_rows(name: str, rows: Sequence[Mapping[str, Cell]], description: str) -> None:
    """Leave a table on the run's page; without a run, a row or a server nothing happens."""
    context = FlowRunContext.get()
    if context is None or context.flow is None or not rows:
        return
    if len(rows) > MOST_ROWS:
        description += f" The first {MOST_ROWS} of {len(rows)} are shown."
    keys = list(dict.fromkeys(key for row in rows[:MOST_ROWS] for key in row))
    shown = [{key: "" if row.get(key) is None else row[key] for key in keys} for row in rows[:MOST_ROWS]]
    try:
        await acreate_table_artifact(shown, key=f"{context.flow.name}-{name}", description=description)
    except (httpx.HTTPError, PrefectException) as error:
        log.warning("the table could not be shown", error=type(error).__name__)
