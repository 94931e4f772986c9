"""The size rules ruff has no rule for: no source, style, script or template above 300 lines, `__init__.py` empty."""

import subprocess
import sys
from pathlib import Path

MOST_LINES = 300
ROOT = Path(__file__).parent.parent
KINDS = ("py", "css", "js", "html")
FOREIGN = (".min.js",)
"""Endings of what others wrote."""


def tracked_sources() -> list[Path]:
    """Every file of our own of these kinds, those not yet committed included, those ignored not."""
    patterns = [f"*.{kind}" for kind in KINDS]
    line = ["git", "ls-files", "--cached", "--others", "--exclude-standard", *patterns]
    try:
        names = subprocess.run(line, cwd=ROOT, check=True, capture_output=True, text=True).stdout.splitlines()
    except (OSError, subprocess.CalledProcessError):  # a source archive has no history
        found = [path for pattern in patterns for path in ROOT.rglob(pattern) if ".venv" not in path.parts]
        return [path for path in found if not path.name.endswith(FOREIGN)]
    return [ROOT / name for name in names if (ROOT / name).exists() and not name.endswith(FOREIGN)]


def complaints(sources: list[Path]) -> list[str]:
    """One line for each broken rule."""
    found = []
    for path in sorted(sources):
        name, lines = path.relative_to(ROOT), len(path.read_text().splitlines())
        if path.name == "__init__.py" and path.stat().st_size:
            found.append(f"{name}: must be empty")
        elif lines > MOST_LINES:
            found.append(f"{name}: {lines} lines, at most {MOST_LINES}")
    return found


if __name__ == "__main__":
    sources = tracked_sources()
    found = complaints(sources)
    print("\n".join(found) or f"Sizes: {len(sources)} files, none above {MOST_LINES} lines.")
    sys.exit(bool(found))
