"""What the soak concludes from what it has seen."""

import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from benchmarks.soak import judge
from benchmarks.soak.facts import LOCKED, Order, count_locked
from benchmarks.soak.watch import Use, growths
from benchmarks.soak.watch import _use_of as use_of
from benchmarks.soak.work import Day
from deployments.launcher.files import StateFolder

pytestmark = pytest.mark.unit


def _life(pid: int, start: int, *, memory: float = 100, growing: float = 0, samples: int = 60) -> list[Use]:
    """A sample every 10 s; `growing` MB an hour."""
    return [Use(start + 10 * i, pid, memory + growing * i * 10 / 3600, 20, 5, 1) for i in range(samples)]


def test_a_leak_is_seen_and_a_restart_or_warming_up_is_none() -> None:
    leaking = growths({"api": _life(1, 0, growing=200)})
    assert [one.held for one in leaking if one.limit.name == "memory MB"] == [False]
    assert all(one.held for one in leaking if one.limit.name != "memory MB")
    restarted = _life(1, 0, memory=40, samples=20) + _life(2, 200, memory=300, samples=40)
    assert all(one.held for one in growths({"worker": restarted, "api-2": _life(3, 0)}))
    warming = [Use(10 * i, 1, min(100 + 10 * i, 200), 20, 5, 1) for i in range(60)]
    assert all(one.held for one in growths({"prefect": warming}))


def test_what_did_not_live_long_enough_is_said_not_judged() -> None:
    (memory, *_) = growths({"api": _life(1, 0, growing=9000, samples=8)})
    assert memory.held
    assert not memory.is_long_enough
    assert "long enough" in judge.judge_growth([memory])[0].found
    assert growths({"runs": _life(0, 0, growing=9000), "instruments": _life(4, 0, growing=9000)}) == []


def _order(number: int, status: str, **other: Any) -> Order:
    given: dict[str, Any] = {
        "id": number,
        "status": status,
        "request_id": f"REQ-{number}",
        "sample_id": f"SOAK-{number}",
        "remarks": "",
        "is_idempotent": True,
        "results": int(status in judge.DONE),
        "submission": None,
        "held_by": None,
    }
    return Order(**given | other)


@pytest.mark.parametrize(
    ("order", "held"),
    [
        (_order(1, "R"), True),
        (_order(1, "H", held_by="patient"), True),
        (_order(1, "F", remarks="Aspiration error"), True),
        (_order(1, "U", is_idempotent=False, submission="unknown: no answer"), True),
        (_order(1, "U", submission="unknown: no answer"), False),
        (_order(1, "F"), False),
        (_order(1, "P", submission="due: refused"), False),
        (_order(1, "Q"), False),
    ],
)
def test_every_order_must_end_or_say_why(order: Order, held: bool) -> None:
    assert judge._all_ended([order]).held is held


def test_doubles_are_found() -> None:
    orders = [_order(1, "A"), _order(2, "U", is_idempotent=False), _order(3, "P")]
    once = judge._once(orders, Counter({"REQ-1": 1}))
    assert [verdict.held for verdict in once] == [True, True]
    for entries in (Counter({"REQ-1": 2}), Counter[str](), Counter({"REQ-1": 1, "REQ-2": 2})):
        assert not judge._once(orders, entries)[0].held
    assert not judge._once([_order(1, "A", results=2)], Counter({"REQ-1": 1}))[1].held
    assert not judge._once([_order(3, "P", results=1)], Counter())[1].held


def test_lost_and_double_orders_are_found() -> None:
    day = cast(Day, SimpleNamespace(ordered=2, troubles=[]))
    assert judge._all_kept(day, [_order(1, "A"), _order(2, "A")]).held
    assert not judge._all_kept(day, [_order(1, "A")]).held
    assert not judge._all_kept(day, [_order(1, "A"), _order(1, "A")]).held
    assert not judge._all_kept(day, [_order(1, "A"), _order(2, "A"), _order(3, "A")]).held


def test_locked_databases_are_counted_in_rotated_logs_too(tmp_path: Path) -> None:
    folder = StateFolder(tmp_path)
    folder.create()
    (folder.logs / "prefect.log").write_text(f"fine\nerror: {LOCKED}\n")
    (folder.logs / "prefect.log.1").write_text(f"{LOCKED}\n{LOCKED}\n")
    assert count_locked(folder) == 3


def test_a_process_is_measured() -> None:
    used = use_of(os.getpid())
    assert used is not None
    memory, descriptors, threads = used
    assert 10 < memory < 2000
    assert descriptors >= 3
    assert threads >= 1
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    assert use_of(ended.pid) is None
