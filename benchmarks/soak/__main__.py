"""`make soak`: an hour with the hub while its instruments fail and its parts are killed, and what must hold afterwards.

`python -m benchmarks.soak --minutes 60`. Ends with 0 only if every invariant held.
"""

import argparse
import os
import sys
import time

from benchmarks.soak.clients import GaveUpError, Person, Runs
from benchmarks.soak.facts import Order, count_leases, load_orders
from benchmarks.soak.judge import OPEN, Verdict, exceptions, judge, judge_growth
from benchmarks.soak.trouble import PARTS, Trouble
from benchmarks.soak.watch import WARM_UP_SECONDS, Watch, growths
from benchmarks.soak.work import Day
from deployments.demo.run import throw_away_hub
from deployments.demo.scenario import Hub
from deployments.launcher.files import StateFolder
from models.kernel.settings import settings

MINUTES = 30.0
KILLED_SHARE = 0.6
"""Parts are killed in the first part of the time; what is left shows whether anything grows."""
MINUTES_PER_ROUND = 15
SETTLE_SECONDS = 420
LINE_SECONDS = 30


def say(line: str) -> None:
    """One line at once."""
    print(line, flush=True)


def main() -> int:
    """The exit code: 0 when every invariant held."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=MINUTES, help="how long work is fed in (default %(default)s)")
    minutes = parser.parse_args().minutes
    for name in [name for name in os.environ if name.startswith(("LABWIRE_", "PREFECT_"))]:
        del os.environ[name]
    say(f"labwire soak: {minutes:g} minutes of work and trouble in a throw-away folder")
    with throw_away_hub(say) as hub:
        os.environ["LABWIRE_STATE_DIR"] = str(hub.state_dir)
        settings.cache_clear()
        verdicts = soak(hub, minutes)
    broken = sum(not verdict.held for verdict in verdicts)
    say(f"\nlabwire soak: {'everything held' if not broken else f'{broken} of {len(verdicts)} did NOT hold'}")
    return 1 if broken else 0


def soak(hub: Hub, minutes: float) -> list[Verdict]:
    """Feed work, make trouble, let it settle, judge."""
    folder = StateFolder(hub.state_dir)
    day, watch, trouble = Day(hub), Watch(folder), Trouble(hub, folder, say)
    kills = len(PARTS) * max(1, round(minutes / MINUTES_PER_ROUND))
    watch.begin()
    day.begin()
    trouble.begin(kill_every=minutes * 60 * KILLED_SHARE / (kills + 1), kills=kills)
    _progress(day, watch, minutes)
    day.end()
    trouble.end()
    say("labwire soak: no more work and no more trouble; letting it settle")
    orders = _settle(day)
    watch.end()
    # A short soak judges what lived past half of it.
    grown = growths(watch.samples, warm_up=min(WARM_UP_SECONDS, minutes * 15))
    verdicts = [*judge(day, trouble, folder, orders), *judge_growth(grown)]
    _report(day, trouble, verdicts, orders)
    return verdicts


def _progress(day: Day, watch: Watch, minutes: float) -> None:
    began = time.monotonic()
    while (gone := time.monotonic() - began) < minutes * 60:
        time.sleep(min(LINE_SECONDS, minutes * 60 - gone))
        now = (time.monotonic() - began) / 60
        say(f"  {now:5.1f} min  ordered {day.ordered}, released {day.released}; {watch.line()}")


def _settle(day: Day) -> list[Order]:
    """Have everything that is due done, as the schedules would by and by, until nothing is open."""
    runs = Runs(day.hub)
    technician = Person(day.hub, "technician@lagoon.example", day.answers)
    deadline = time.monotonic() + SETTLE_SECONDS
    while time.monotonic() < deadline:
        orders = load_orders()
        waiting = [one for one in orders if one.status in OPEN]
        unfinished = runs.in_states("RUNNING", "PENDING", "CANCELLING")
        leases = count_leases()
        say(f"  {len(waiting)} open, {leases} leased, {len(unfinished)} runs unfinished")
        if not waiting and not leases:
            break
        try:
            _hurry(technician, runs, waiting)
        except GaveUpError as error:
            day.troubles.append(str(error))
        time.sleep(LINE_SECONDS / 2)
    day.review()
    technician.close()
    return load_orders()


def _hurry(technician: Person, runs: Runs, waiting: list[Order]) -> None:
    pending = [one for one in waiting if one.status == "P"]
    for one in pending[:50]:  # a moment ago it may have gone, or be on its way: 409
        technician.ask("POST", f"/assignments/{one.id}/send", accept=(409,))
    if len(waiting) > len(pending):
        runs.start("poll-results")


def _report(day: Day, trouble: Trouble, verdicts: list[Verdict], orders: list[Order]) -> None:
    say("\nanswers of the API: " + ", ".join(f"{what} {count}" for what, count in sorted(day.answers.counts.items())))
    say("trouble made: " + ", ".join(f"{what} {count}" for what, count in sorted(trouble.counts.items())))
    say("flow runs: " + ", ".join(f"{what} {count}" for what, count in Runs(day.hub).count_by_state().items()))
    without = exceptions(orders)
    say("orders without a result: " + ("none" if not without else ""))
    for line in without:
        say(f"  {line}")
    width = max(len(verdict.what) for verdict in verdicts)
    say("")
    for verdict in verdicts:
        say(f"{'held  ' if verdict.held else 'BROKEN'}  {verdict.what:<{width}}  {verdict.found}")


if __name__ == "__main__":
    sys.exit(main())
