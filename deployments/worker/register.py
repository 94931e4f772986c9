"""Make the Prefect server know the hub: work pool, deployments, automations. `python -m deployments.worker.register`.

The deployments are applied by Prefect's own command, and only when something they depend on has changed.
"""

import hashlib
import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

import yaml

from deployments.launcher.files import write_atomically
from deployments.worker.automations import ensure_automations
from deployments.worker.pool import ensure_pool
from deployments.worker.rest import PrefectRest
from models.kernel.settings import settings

ROOT = Path(__file__).parent.parent.parent
PREFECT_FILE = ROOT / "prefect.yaml"


def register(*, is_forced: bool = False) -> None:
    """Bring the server up to date; `is_forced` applies the deployments even if nothing seems changed."""
    pool, kind = os.environ["LABWIRE_WORK_POOL"], settings().worker_type
    record = Path(os.environ["PREFECT_HOME"]) / "deployed.json"
    with PrefectRest() as rest:
        _say("work pool", [pool] if ensure_pool(rest, pool, kind) else [])
        content = yaml.safe_load(PREFECT_FILE.read_text())
        wanted = {deployment["name"] for deployment in content["deployments"]}
        mark = fingerprint(pool, kind)
        if is_forced or _recorded(record) != mark or not wanted <= _known(rest, wanted):
            deploy(content, pool)
            write_atomically(record, json.dumps(mark))
            _say("deployments", sorted(wanted))
        _say("automations", ensure_automations(rest))


def deploy(content: dict[str, Any], pool: str) -> None:
    """`prefect deploy --all` on prefect.yaml, or on a copy of it that names another work pool."""
    file = PREFECT_FILE
    if any(deployment["work_pool"]["name"] != pool for deployment in content["deployments"]):
        deployments = [
            deployment | {"work_pool": deployment["work_pool"] | {"name": pool}}
            for deployment in content["deployments"]
        ]
        file = Path(os.environ["PREFECT_HOME"]) / "prefect.yaml"
        file.write_text(yaml.safe_dump(content | {"deployments": deployments}))
    line = [sys.executable, "-m", "prefect", "--no-prompt", "deploy", "--all", "--prefect-file", str(file)]
    subprocess.run(line, cwd=ROOT, check=True)


def fingerprint(pool: str, kind: str) -> str:
    """What the deployments are made from: the file, the code of their parameters, Prefect, the pool and its kind."""
    digest = hashlib.sha256(f"{version('prefect')} {pool} {kind}".encode())
    for path in [PREFECT_FILE, *sorted((ROOT / "flows").rglob("*.py")), *sorted((ROOT / "models").rglob("*.py"))]:
        digest.update(f"\0{path.relative_to(ROOT)}\0".encode() + path.read_bytes())
    return digest.hexdigest()


def _recorded(record: Path) -> str:
    """What was applied last; nothing where there is no record, or one that a kill or a full disk cut short."""
    try:
        return str(json.loads(record.read_text()))
    except (FileNotFoundError, ValueError):
        return ""


def _known(rest: PrefectRest, names: set[str]) -> set[str]:
    found = rest.post("/deployments/filter", {"deployments": {"name": {"any_": sorted(names)}}})
    return {deployment["name"] for deployment in found}


def _say(what: str, made: list[str]) -> None:
    sys.stdout.write(f"{what}: {', '.join(made) if made else 'nothing to do'}\n")


if __name__ == "__main__":
    register(is_forced="--force" in sys.argv[1:])
