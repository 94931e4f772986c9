"""Debian's Orthanc with its DICOMweb plugin, started for comparison where it is installed."""

import json
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deployments.launcher.ports import free_port
from deployments.launcher.process import child_setup

PLUGIN = Path("/usr/share/orthanc/plugins/libOrthancDicomWeb.so")
PATH = "/dicom-web/studies"


def is_installed() -> bool:
    """Whether there is something to compare with (Debian: apt-get install orthanc orthanc-dicomweb)."""
    return shutil.which("Orthanc") is not None and PLUGIN.exists()


@contextmanager
def orthanc(parent: Path) -> Iterator[str]:
    """Its address; its files stay below `parent`, which goes with them. Files are synced, as by default."""
    home = Path(tempfile.mkdtemp(prefix="orthanc-", dir=parent))
    port = free_port()
    configuration = {
        "Name": "benchmark",
        "StorageDirectory": str(home / "storage"),
        "IndexDirectory": str(home / "storage"),
        "HttpPort": port,
        "DicomServerEnabled": False,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "SyncStorageArea": True,
        "Plugins": [str(PLUGIN)],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
    }
    (home / "orthanc.json").write_text(json.dumps(configuration))
    process = subprocess.Popen(
        ["Orthanc", str(home / "orthanc.json")],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=child_setup(),  # noqa: PLW1509 # calls into libc prepared beforehand
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait(url)
        yield url
    finally:
        process.terminate()
        process.wait(30)


def _wait(url: str) -> None:
    for _ in range(300):
        try:
            urllib.request.urlopen(f"{url}/system", timeout=5).read()
            return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
    raise RuntimeError("Orthanc did not start")
