"""The invariants: each is held or broken, with what was found."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from benchmarks.soak.clients import Runs
from benchmarks.soak.facts import (
    Order,
    audit_verdict,
    count_deliveries,
    count_entries,
    count_leases,
    count_locked,
    old_runs,
)
from benchmarks.soak.trouble import INSTRUMENTS, Trouble
from benchmarks.soak.watch import Growth
from benchmarks.soak.work import BATCH_ORDERS, Day
from deployments.launcher.files import StateFolder
from deployments.launcher.status import present

OPEN = frozenset("PQI")
DONE = frozenset("AVR")
LONG_RUN_SECONDS = 180
"""The automation marks a run without signs of life after 100 s; no run of ours takes that long when nothing is due."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """One invariant."""

    what: str
    held: bool
    found: str


def judge(day: Day, trouble: Trouble, folder: StateFolder, orders: Sequence[Order]) -> list[Verdict]:
    """Every invariant but those of growth."""
    parts = present(folder)
    unready = [part["name"] for part in parts.get("parts", []) if not part["ready"]]
    left = old_runs(Runs(day.hub).in_states("RUNNING", "PENDING", "CANCELLING"), seconds=LONG_RUN_SECONDS)
    sound, audit = audit_verdict()
    locked = count_locked(folder)
    wrong = Counter(day.answers.wrong)
    leases = count_leases()
    deliveries = count_deliveries()
    return [
        _all_kept(day, orders),
        _all_ended(orders),
        *_once(orders, count_entries(day.hub, INSTRUMENTS)),
        Verdict("nothing left leased", leases == 0, f"{leases} leased"),
        Verdict("no message left to send", not deliveries.get("due"), _counts(deliveries)),
        Verdict("the audit trail is whole", sound, audit),
        Verdict("no run left unfinished", not left, "; ".join(left[:5]) or "none"),
        Verdict("Prefect's database was never locked", locked == 0, f"{locked} lines"),
        Verdict("no caller saw a 500", not wrong, _counts(wrong) or "none"),
        Verdict("nobody gave up on the API", not day.troubles, "; ".join(day.troubles[:3]) or "none"),
        Verdict("every killed part came back", not trouble.not_back, ", ".join(trouble.not_back) or "all"),
        Verdict("every part is ready", bool(parts["ready"]), ", ".join(unready) or "all"),
    ]


def judge_growth(found: Sequence[Growth]) -> list[Verdict]:
    """One verdict for each figure of each part."""
    return [
        Verdict(
            f"{one.part}: {one.limit.name}",
            one.held,
            f"{one.first:.1f} -> {one.last:.1f} in {one.minutes:.1f} min, {one.growth:+.1f}, at most {one.allowed:+.1f}"
            if one.is_long_enough
            else "no process of it lived long enough to be judged",
        )
        for one in found
    ]


def exceptions(orders: Sequence[Order]) -> list[str]:
    """The orders without a result, and why, counted."""
    kinds = Counter((one.status, one.reason) for one in orders if one.status not in DONE)
    return [f"{number} x {status}: {reason or 'NO REASON'}" for (status, reason), number in kinds.most_common()]


def _all_kept(day: Day, orders: Sequence[Order]) -> Verdict:
    samples = Counter(one.sample_id for one in orders)
    double = sum(count > 1 for count in samples.values())
    # The batch whose answer was never seen may be there or not.
    is_right = double == 0 and day.ordered <= len(orders) <= day.ordered + (BATCH_ORDERS if day.troubles else 0)
    return Verdict("every order is kept, once", is_right, f"{len(orders)} of {day.ordered}, {double} double")


def _all_ended(orders: Sequence[Order]) -> Verdict:
    """Results; otherwise a failure or hold with its reason, or an unknown one where nobody may send again."""
    wrong = [
        one
        for one in orders
        if one.status in OPEN
        or (one.status not in DONE and not one.reason)
        or (one.status == "U" and one.is_idempotent)
    ]
    states = Counter(one.status for one in orders)
    examples = "".join(f"; {one.id} {one.status} {one.reason}" for one in wrong[:3])
    return Verdict("every order ended, or says why not", not wrong, _counts(states) + examples)


def _once(orders: Sequence[Order], entries: Counter[str]) -> list[Verdict]:
    wrong = [
        f"{one.id} ({one.status}): {entries[one.request_id]}"
        for one in orders
        if entries[one.request_id] > 1 or (one.status in DONE and entries[one.request_id] != 1)
    ]
    doubled = [f"{one.id} ({one.status}): {one.results}" for one in orders if one.results != (one.status in DONE)]
    return [
        Verdict(
            "one entry at the analyser each", not wrong, "; ".join(wrong[:5]) or f"{sum(entries.values())} entries"
        ),
        Verdict(
            "one result each", not doubled, "; ".join(doubled[:5]) or f"{sum(one.results for one in orders)} results"
        ),
    ]


def _counts(counted: Counter[str] | dict[str, int]) -> str:
    return ", ".join(f"{name} {number}" for name, number in sorted(counted.items()))
