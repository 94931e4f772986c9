"""A timeline in sentences: what happened, who did it, and what else there is to say."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from api.instruments import words
from models.instruments.stores.timeline import TimelineEntry

BAD = ("assignment.fail", "assignment.hold", "assignment.unknown", "assignment.cancel", "assignment.expire")
GOOD = ("assignment.release", "assignment.complete", "assignment.enter")
NOTED = {"queue_id": "number at the instrument", "request_id": "request", "run_number": "run", "attempts": "attempts"}
"""What an audit row's changes say that a reader wants to know, and how it is called."""


@dataclass(frozen=True, slots=True)
class Line:
    """One entry. `tone` is good, bad or empty; `raw` is what was received, byte for byte as far as it is text."""

    at: datetime
    kind: str
    title: str
    who: str = ""
    text: str = ""
    tone: str = ""
    raw: str = ""


def lines_of(entries: Sequence[TimelineEntry]) -> list[Line]:
    """The entries in sentences, in the same order."""
    tell = {
        "audit": _audit,
        "submission": _submission,
        "message": _message,
        "held": _held,
        "result": _result,
        "verification": _verification,
        "comment": _comment,
    }
    return [tell[entry.kind](entry) for entry in entries]


def _audit(entry: TimelineEntry) -> Line:
    action, changes = str(entry.facts["action"]), entry.facts["changes"]
    moved = words.status_change(changes)
    parts = [f"{moved[0]} → {moved[1]}" if moved and moved[0] != "None" else ""]
    parts += [f"{called} {changes[name]}" for name, called in NOTED.items() if _is_plain(changes, name)]
    if changes.get("reason"):
        parts.append(f"“{changes['reason']}”")
    tone = "bad" if action in BAD else "good" if action in GOOD else ""
    return Line(entry.at, "audit", words.deed(action), entry.who or "", _joined(parts), tone)


def _submission(entry: TimelineEntry) -> Line:
    facts = entry.facts
    state = words.DELIVERY_STATES.get(str(facts["state"]), str(facts["state"]))
    tries = facts["attempts"]
    parts = [f"request {facts['request_id']}" if facts["request_id"] else ""]
    parts.append("" if not tries else "1 attempt" if tries == 1 else f"{tries} attempts")
    parts.append(f"answer: {facts['last_answer']}" if facts["last_answer"] else "")
    tone = {"done": "good", "dead": "bad", "unknown": "bad"}.get(str(facts["state"]), "")
    name = facts["instrument"] or "an instrument that is gone"
    return Line(entry.at, "submission", f"Submission to {name}: {state}", "", _joined(parts), tone)


def _message(entry: TimelineEntry) -> Line:
    facts = entry.facts
    how = "Pushed by" if facts["door"] == "push" else "Answer received from"
    parts = [f"{facts['size']} bytes", "" if facts["processed_at"] else "not yet checked"]
    return Line(entry.at, "message", f"{how} {facts['instrument']}", "", _joined(parts), raw=str(facts["body"]))


def _held(entry: TimelineEntry) -> Line:
    facts = entry.facts
    rules = [words.RULES.get(one.get("rule", ""), one.get("rule", "")) for one in facts["violations"]]
    parts = [words.HELD_STATES[str(facts["state"])]]
    if facts["resolved_by"]:
        parts.append(f"by {facts['resolved_by']}")
    if facts["reason"]:
        parts.append(f"“{facts['reason']}”")
    tone = "bad" if facts["state"] == "open" else ""
    return Line(entry.at, "held", f"Held: {', '.join(rules)}", "", _joined(parts), tone)


def _result(entry: TimelineEntry) -> Line:
    facts = entry.facts
    title = f"Result version {facts['version']}: {facts['raw_value']} {facts['unit']}".rstrip()
    flag = words.FLAGS[facts["flag"]][1] if facts["flag"] else "no range applies"
    parts = [flag, words.SOURCES[str(facts["source"])], f"“{facts['reason']}”" if facts["reason"] else ""]
    parts.append(str(facts["remarks"] or ""))
    return Line(entry.at, "result", title, entry.who or "", _joined(parts), "good" if facts["is_current"] else "")


def _verification(entry: TimelineEntry) -> Line:
    facts = entry.facts
    title = f"Verified, level {facts['level']}"
    note = f"“{facts['note']}”" if facts["note"] else ""
    return Line(
        entry.at, "verification", title, entry.who or "", _joined([f"version {facts['version']}", note]), "good"
    )


def _comment(entry: TimelineEntry) -> Line:
    return Line(entry.at, "comment", "Comment", entry.who or "", str(entry.facts["body"]))


def _is_plain(changes: Mapping[str, Any], name: str) -> bool:
    return isinstance(changes.get(name), str | int)


def _joined(parts: Sequence[str]) -> str:
    return " · ".join(part for part in parts if part)
