"""The heads of the audit chains, kept outside the database: whoever cuts a chain there has not cut it here.

One file a tenant, one line a head: JSON with the position, its chain value, and an HMAC over these and the line before.
Lines are only added, and forced to disk. Best kept on another machine (LABWIRE_AUDIT_HEAD_DIR).
"""

import fcntl
import hashlib
import hmac
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.kernel.clock import utc_now
from models.kernel.seal import BEGINNING, Link, last_link
from models.kernel.settings import settings
from models.kernel.tenancy import tenant_session

TAIL_BYTES = 4096
"""More than the longest line."""


@dataclass(frozen=True, slots=True)
class Head:
    """A line of a head file: what the chain was at `position`. `number` counts lines from 1."""

    number: int
    position: int
    chain: bytes
    is_genuine: bool = True


def head_file(tenant_id: int) -> Path:
    """Where a tenant's heads are kept."""
    folder = settings().audit_head_dir or settings().state_dir / "audit-heads"
    return folder / f"{tenant_id}.jsonl"


def tenants_with_heads() -> list[int]:
    """The tenants whose head files are there, whether or not the database still knows them."""
    names = [file.stem for file in head_file(0).parent.glob("*.jsonl")]
    return sorted(int(name) for name in names if name.isascii() and name.isdigit() and len(name) < 19)


def write_head(tenant_id: int) -> bool:
    """Add the present end of the chain unless the last line has it or a later one; whether a line was added.

    To be called after the seals are committed: a head never says more than the database does.
    """
    with tenant_session(tenant_id) as session:
        last = last_link(session, tenant_id)
    if last.position == 0:
        return False
    file = head_file(tenant_id)
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    is_new = not file.exists()
    with file.open("ab+") as out:
        fcntl.flock(out, fcntl.LOCK_EX)  # two runs at once add one line after the other
        _drop_torn_line(out.fileno())
        previous = _parsed(_last_line(out.fileno()))
        if previous["position"] >= last.position:
            return False
        out.write(_line(tenant_id, last, previous["mac"]))
        out.flush()
        os.fsync(out.fileno())
    if is_new:
        _sync_folder(file.parent)
    return True


def heads_size(tenant_id: int) -> int | None:
    """The present length of a tenant's head file in bytes; None where there is none."""
    try:
        return head_file(tenant_id).stat().st_size
    except FileNotFoundError:
        return None


def read_heads(tenant_id: int, *, size: int) -> Iterator[Head]:
    """The lines in the first `size` bytes of the file, each with whether it is one we wrote there."""
    key = settings().key("audit_key")
    mac = BEGINNING.hex()
    with head_file(tenant_id).open("rb") as lines:
        for number, line in enumerate(lines, 1):
            size -= len(line)
            if size < 0 or not line.endswith(b"\n"):  # added since, or being written
                return
            content = _parsed(line)
            is_genuine = content["tenant_id"] == tenant_id and hmac.compare_digest(
                _mac(key, mac, content), content["mac"]
            )
            mac = content["mac"]
            yield Head(number, content["position"], bytes.fromhex(content["chain"]), is_genuine)


def _line(tenant_id: int, last: Link, previous_mac: str) -> bytes:
    content: dict[str, Any] = {
        "tenant_id": tenant_id,
        "position": last.position,
        "chain": last.chain.hex(),
        "written_at": utc_now().isoformat(),
    }
    content["mac"] = _mac(settings().key("audit_key"), previous_mac, content)
    return json.dumps(content).encode() + b"\n"


def _mac(key: bytes, previous_mac: str, content: dict[str, Any]) -> str:
    signed = [previous_mac, content["tenant_id"], content["position"], content["chain"], content["written_at"]]
    return hmac.new(key, json.dumps(signed).encode(), hashlib.sha256).hexdigest()


def _parsed(line: bytes) -> dict[str, Any]:
    """A line's content; of one that is not ours, something whose MAC cannot be right."""
    try:
        content = json.loads(line)
        bytes.fromhex(content["chain"]), bytes.fromhex(content["mac"])
        if isinstance(content["position"], int) and isinstance(content["written_at"], str):
            return {"tenant_id": content["tenant_id"], **content}
    except (ValueError, TypeError, KeyError, RecursionError):
        pass
    return {"tenant_id": 0, "position": 0, "chain": "", "written_at": "", "mac": BEGINNING.hex()}


def _drop_torn_line(file: int) -> None:
    """Cut off a line whose writing was interrupted: the next one says all that it would have said."""
    size = os.fstat(file).st_size
    tail = os.pread(file, TAIL_BYTES, max(size - TAIL_BYTES, 0))
    if tail and not tail.endswith(b"\n"):
        os.ftruncate(file, size - len(tail) + tail.rfind(b"\n") + 1)


def _last_line(file: int) -> bytes:
    size = os.fstat(file).st_size
    tail = os.pread(file, TAIL_BYTES, max(size - TAIL_BYTES, 0))
    return tail[:-1].rpartition(b"\n")[2] if tail else b""


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
