"""Which test files run in one process one after the other, and which begin.

A started hub and a Prefect server cost 10 to 20 s of computing each and serve a whole process: their files stay
together. Files that take long begin, for the last one of a run is worked on by one process alone.
"""

import re
from functools import lru_cache
from pathlib import Path

from xdist.scheduler.loadfile import LoadFileScheduling

ROOT = Path(__file__).parent.parent
SHARED = {"hub": r"\bhub: RunningHub", "prefect": r"\bprefect_server\b"}
"""What shows that a file's tests use it."""
LONG = (
    *("launcher/test_outside_roles.py", "launcher/test_api_processes.py", "worker/test_warm.py", "api/test_server.py"),
    *("api/test_openapi_examples.py", "upkeep/test_mail_outage.py", "vitals/test_stampede.py", "vitals/test_fuzz.py"),
)
"""Besides those that start a hub, a Prefect server or a browser."""


@lru_cache(maxsize=1000)
def together(file: str) -> str:
    """The name of what this file's tests share with those of other files, or else the file."""
    text = (ROOT / file).read_text()
    return next((name for name, sign in SHARED.items() if re.search(sign, text)), file)


@lru_cache(maxsize=1000)
def rank(file: str) -> int:
    """Files of the lowest rank begin."""
    if (shared := together(file)) in SHARED:
        return list(SHARED).index(shared)
    if file.removeprefix("tests/") in LONG:
        return 2
    return 3 if re.search(r"\bmark\.browser\b", (ROOT / file).read_text()) else 4


class Together(LoadFileScheduling):  # type: ignore[misc] # xdist ships no types
    """A file, or all files that share something costly, go to one process."""

    def _split_scope(self, nodeid: str) -> str:
        return together(nodeid.partition("::")[0])
