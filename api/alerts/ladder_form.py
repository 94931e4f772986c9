"""The ladder as a form: a row of fields for each step and a few empty ones, without a script. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from starlette.datastructures import FormData

from api.forms import fill, text
from models.alerts.ladder import ROLES
from models.alerts.schemas import PolicyIn

MOST_STEPS, BLANK_STEPS = 10, 2
MINUTES = "is a whole number of minutes from {} to {}"


@dataclass(frozen=True, slots=True)
class Row:
    """One step as typed; without minutes and roles there is none."""

    minutes: str
    roles: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ladder:
    """What the form holds."""

    rows: Sequence[Row]
    question_minutes: str
    critical_skips_question: bool
    version: int | str

    @property
    def steps(self) -> list[int]:
        """Which rows are steps."""
        return [number for number, row in enumerate(self.rows) if row.minutes or row.roles]

    def given(self, form: FormData) -> PolicyIn:
        """The rule it makes; a ValidationError numbers the steps, see `beside_fields`."""
        steps: list[dict[str, Any]] = []
        for number in self.steps:
            row = self.rows[number]
            steps.append({"roles": list(row.roles)} | ({"after_minutes": row.minutes} if row.minutes else {}))
        return fill(PolicyIn, form, ladder=steps, critical_skips_question=self.critical_skips_question)


def read_ladder(form: FormData) -> Ladder:
    """What was typed."""
    rows = [
        Row(
            text(form, f"minutes_{number}"),
            tuple(role for role in form.getlist(f"roles_{number}") if isinstance(role, str)),
        )
        for number in range(MOST_STEPS)
    ]
    ticked = "critical_skips_question" in form
    return Ladder(_with_blanks(rows), text(form, "question_minutes"), ticked, text(form, "version"))


def shown_ladder(values: Mapping[str, Any], version: int) -> Ladder:
    """The rule as the form begins."""
    rows = [Row(str(step["after_minutes"]), tuple(step["roles"])) for step in values["ladder"]]
    ticked = bool(values["critical_skips_question"])
    return Ladder(_with_blanks(rows), str(values["question_minutes"]), ticked, version)


def beside_fields(errors: Mapping[str, str], ladder: Ladder | None) -> dict[str, str]:
    """Each complaint under the name of the field it stands beside, in the words of the form."""
    found: dict[str, str] = {}
    for field, message in errors.items():
        _, _, place = field.partition("ladder.")
        number, _, name = place.partition(".")
        if number.isdigit() and ladder is not None:
            row = ladder.steps[int(number)]
            if name.startswith("roles"):
                found[f"roles_{row}"] = "choose who is told"
            else:
                found[f"minutes_{row}"] = message if message == "is needed" else MINUTES.format(0, 1440)
        elif field == "question_minutes":
            found[field] = message if message == "is needed" else MINUTES.format(1, 240)
        elif field == "ladder" and ladder is not None and not ladder.steps:
            found[field] = "give at least one step"
        else:
            found[field] = message.replace("its after_minutes is 0", "its minutes are 0")
    return found


def _with_blanks(rows: Sequence[Row]) -> list[Row]:
    """As far as something is in them, and some empty ones."""
    filled = max((number for number, row in enumerate(rows, 1) if row.minutes or row.roles), default=0)
    known = [Row(row.minutes, tuple(role for role in ROLES if role in row.roles)) for row in rows[:filled]]
    return [*known, *[Row("", ())] * min(BLANK_STEPS, MOST_STEPS - filled)]
