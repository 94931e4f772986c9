"""A process that keeps images is killed at any moment: what is listed is complete, what is left over is swept."""

import random
import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

import pytest

from tasks.clients.storage.filesystem import FilesystemStorage
from tests.imaging.storages import keys, read

pytestmark = pytest.mark.chaos
KILLS = 20
PUTTING = """
import os, sys, threading
from hashlib import sha256
from pathlib import Path
from models.imaging.uids import new_uid, object_key
from tasks.clients.storage.filesystem import FilesystemStorage

root, *spools = sys.argv[1:]
storage, saying = FilesystemStorage(Path(root)), threading.Lock()

def put_for_ever(spool):
    size = 2_000_000
    while True:
        data = os.urandom(size)
        digest = sha256(data).hexdigest()
        source = Path(spool, new_uid())
        source.write_bytes(data)
        key = object_key("1.2", "1.3", new_uid(), digest)
        storage.put(key, source, sha256=digest, size=size, mime_type="")
        with saying:
            os.write(1, f"{key}\\n".encode())
        source.unlink()

for spool in spools:
    threading.Thread(target=put_for_ever, args=(spool,)).start()
"""


def test_after_a_kill_every_listed_object_is_complete_and_the_rest_is_hidden(
    tmp_path: Path, other_file_system: Path
) -> None:
    storage = FilesystemStorage(tmp_path / "media" / "lab")
    near = tmp_path / "spool"
    near.mkdir()
    acknowledged: set[str] = set()
    swept = 0
    for number in range(KILLS):
        spools = [str(near), str(other_file_system), str(other_file_system)]  # linked and copied ones
        line = [sys.executable, "-c", PUTTING, str(storage.root), *spools]
        with subprocess.Popen(line, stdout=subprocess.PIPE, text=True) as putting:
            assert putting.stdout is not None
            acknowledged.add(putting.stdout.readline().strip())
            time.sleep(random.Random(number).uniform(0, 0.1))
            putting.kill()
            acknowledged |= {said.strip() for said in putting.stdout if said.endswith("\n")}
        for folder in (near, other_file_system):
            for path in folder.iterdir():
                path.unlink()
        swept += _judge(storage, acknowledged)
    assert swept > 0


def _judge(storage: FilesystemStorage, acknowledged: set[str]) -> int:
    """Everything as promised; how many leftovers were swept. What was judged is removed."""
    listed = set(keys(storage))
    assert acknowledged - {""} <= listed
    for key in listed:
        assert sha256(read(storage, key)).hexdigest() == key.rsplit("/", 1)[1]
    files = {path for path in storage.root.rglob("*") if path.is_file()}
    left = files - {storage.root / key for key in listed}
    assert all(path.name.startswith(".") for path in left)
    assert storage.sweep(older_than_seconds=3600) == 0
    assert storage.sweep(older_than_seconds=-60) == len(left)
    assert set(keys(storage)) == listed
    for key in listed:
        storage.remove(key)
    acknowledged.clear()
    assert not any(path.is_file() for path in storage.root.rglob("*"))
    return len(left)
