"""A large image costs no memory: it goes through in pieces."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.imaging.s3_servers import S3Server

pytestmark = [pytest.mark.contract, pytest.mark.slow]
MEASURING = """
import json, os, re, sys
from hashlib import sha256
from pathlib import Path
from tasks.clients.storage.backends import storage_for_new
from tasks.clients.storage.copies import hashed

def most():
    return int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024

folder, megabytes = Path(sys.argv[1]), int(sys.argv[2])
storage, key, data = storage_for_new("lab"), "radiology/1.2/1.3/1.4/a.dcm", os.urandom(1024 * 1024)
(folder / "small").write_bytes(b"small")
storage.put("radiology/1.2/1.3/1.5/a.dcm", folder / "small", sha256=sha256(b"small").hexdigest(), size=5, mime_type="")
digest = sha256()
with open(folder / "large", "wb") as file:
    for _ in range(megabytes):
        file.write(data)
        digest.update(data)
digest = digest.hexdigest()
grown = {"before": most()}
storage.put(key, folder / "large", sha256=digest, size=megabytes * 1024 * 1024, mime_type="application/dicom")
grown["put"] = most()
assert hashed(storage.read(key)) == digest
grown["read"] = most()
storage.fetch(key, folder / "copy")
grown["fetch"] = most()
print(json.dumps(grown))
"""


@pytest.mark.parametrize("megabytes", [48, 300])  # in one request, and in parts
def test_s3_takes_no_more_memory_for_a_large_image(swift: S3Server, tmp_path: Path, megabytes: int) -> None:
    _within_50_megabytes(tmp_path, megabytes, swift.environment())
    swift.connected().client.delete_object(Bucket=swift.bucket, Key="lab/radiology/1.2/1.3/1.4/a.dcm")


def test_the_file_system_takes_no_more_memory_for_a_large_image(tmp_path: Path, other_file_system: Path) -> None:
    _within_50_megabytes(tmp_path, 300, {"LABWIRE_MEDIA_ROOT": str(other_file_system)})  # copied


def _within_50_megabytes(folder: Path, megabytes: int, settings: dict[str, str]) -> None:
    line = [sys.executable, "-c", MEASURING, str(folder), str(megabytes)]
    done = subprocess.run(line, check=True, stdout=subprocess.PIPE, text=True, env=dict(os.environ) | settings)
    grown = json.loads(done.stdout)
    print(grown)
    assert max(grown.values()) - grown["before"] < 50
