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
from typing import Any

import psycopg2
from psycopg2 import sql
from sqlalchemy.engine import make_url

from deployments.launcher.ports import free_port
from deployments.launcher.process import child_setup

PLUGINS = Path("/usr/share/orthanc/plugins")
PLUGIN, INDEX = PLUGINS / "libOrthancDicomWeb.so", PLUGINS / "libOrthancPostgreSQLIndex.so"
PATH = "/dicom-web/studies"


def is_installed() -> bool:
    """Whether there is something to compare with (Debian: apt-get install orthanc orthanc-dicomweb)."""
    return shutil.which("Orthanc") is not None and PLUGIN.exists()


def has_durable_index() -> bool:
    """Whether its index can be kept in PostgreSQL (Debian: apt-get install orthanc-postgresql)."""
    return is_installed() and INDEX.exists()


@contextmanager
def orthanc(parent: Path, superuser_url: str | None = None) -> Iterator[str]:
    """Its address; its files stay below `parent`, which goes with them. Files are synced, as by default.

    Its index is SQLite's, not synced, as by default; or a database of its own at the server of that URL, synced.
    """
    home = Path(tempfile.mkdtemp(prefix="orthanc-", dir=parent))
    port = free_port()
    index = _index(superuser_url, home.name) if superuser_url else {}
    configuration: dict[str, Any] = {
        "Name": "benchmark",
        "StorageDirectory": str(home / "storage"),
        "IndexDirectory": str(home / "storage"),
        "HttpPort": port,
        "DicomServerEnabled": False,
        "RemoteAccessAllowed": False,
        "AuthenticationEnabled": False,
        "SyncStorageArea": True,
        "Plugins": [str(PLUGIN), *([str(INDEX)] if index else [])],
        "DicomWeb": {"Enable": True, "Root": "/dicom-web/"},
        **index,
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


def _index(superuser_url: str, name: str) -> dict[str, Any]:
    """A new database, as Orthanc's configuration names it."""
    connection = psycopg2.connect(superuser_url)
    connection.autocommit = True
    with connection.cursor() as cursor:
        cursor.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
    connection.close()
    parts = make_url(superuser_url)
    place = {"Host": parts.host, "Port": parts.port, "Username": parts.username, "Password": parts.password or ""}
    return {"PostgreSQL": place | {"Database": name, "EnableIndex": True, "EnableStorage": False, "EnableSsl": False}}


def _wait(url: str) -> None:
    for _ in range(300):
        try:
            urllib.request.urlopen(f"{url}/system", timeout=5).read()
            return
        except (urllib.error.URLError, ConnectionError):
            time.sleep(0.1)
    raise RuntimeError("Orthanc did not start")
