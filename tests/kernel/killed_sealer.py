"""Run as a process by the tests: seals a tenant's trail and kills itself with SIGKILL at the named step.

python -m tests.kernel.killed_sealer STEP TENANT_ID
"""

import os
import signal
import sys
from collections.abc import Callable
from typing import Any

from models.kernel import heads, seal
from models.kernel.heads import write_head
from models.kernel.seal import seal_tenant

STEPS: dict[str, tuple[Any, str, bool]] = {
    "before the seals are written": (seal, "_append", True),
    "before they are committed": (seal, "_append", False),
    "before the head is written": (heads, "last_link", True),
    "in the middle of the head's line": (heads, "_line", False),
    "before the head is forced to disk": (os, "fsync", True),
    "after the head": (heads, "_sync_folder", False),
}


def die_at(step: str) -> None:
    """Replace the function of that step by one that ends the process before or after its work."""
    owner, name, is_before = STEPS[step]
    original: Callable[..., Any] = getattr(owner, name)

    def deadly(*args: Any, **kwargs: Any) -> Any:
        result: Any = None if is_before else original(*args, **kwargs)
        if step == "in the middle of the head's line":
            with heads.head_file(args[0]).open("ab") as out:
                out.write(result[:40])
        os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, deadly)


if __name__ == "__main__":
    die_at(sys.argv[1])
    seal_tenant(int(sys.argv[2]))
    write_head(int(sys.argv[2]))
