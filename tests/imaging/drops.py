"""A drop folder for the tests: studies as people drop them, and what a run leaves behind."""

import io
import json
import os
import signal
import traceback
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from models.kernel import db
from models.kernel.audit import SYSTEM
from tasks.clients.storage import backends
from tasks.imaging.outcomes import StudyReport
from tasks.imaging.sources import Wanted
from tasks.imaging.uploading import upload
from tests.imaging.conftest import Clinic
from tests.imaging.dicoms import ct


@dataclass
class Drop:
    """The folders of one installation."""

    clinic: Clinic
    base: Path

    @property
    def folder(self) -> Path:
        made = self.base / "inbox" / self.clinic.slug
        made.mkdir(parents=True, exist_ok=True)
        return made

    def put(self, name: str, files: bytes | Mapping[str, bytes]) -> Path:
        """A single file, or a folder of files."""
        path = self.folder / name
        if isinstance(files, bytes):
            path.write_bytes(files)
            return path
        for inner, content in files.items():
            (path / inner).parent.mkdir(parents=True, exist_ok=True)
            (path / inner).write_bytes(content)
        return path

    def run(self, tenant: str = "", source: str = "", order_id: int | None = None) -> StudyReport:
        report = StudyReport()
        upload(tenant, Wanted(source, order_id), SYSTEM, report)
        return report

    def names(self, folder: str) -> list[str]:
        """Everything directly in the tenant's part of a folder, by day in the archive; without times of day."""
        root = self.base / folder / self.clinic.slug
        found = list(root.glob("*/*/*/*") if folder == "archive" else root.glob("*"))
        return sorted(path.name for path in found)

    def claimed(self) -> list[Path]:
        """What runs have and have not given back."""
        return list(self.base.glob("inbox/.claimed/*/*/*"))

    def uids(self) -> list[str]:
        return [row.image_uid for row in self.clinic.rows("SELECT image_uid FROM radiology_image ORDER BY image_uid")]


def study(count: int = 3, **more: object) -> dict[str, bytes]:
    """A folder's worth of CT images."""
    return {f"IMG{number:03}": ct(number, **more) for number in range(1, count + 1)}  # type: ignore[arg-type]


def zipped(files: Mapping[str, bytes], *, kind: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A ZIP file of them."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", kind) as packed:
        for name, content in files.items():
            packed.writestr(name, content)
    return made.getvalue()


def in_processes(*works: Callable[[], Any]) -> list[int]:
    """Do these at the same time, each in a process of its own (a fork: imports take seconds); how each ended."""
    children = []
    for work in works:
        child = os.fork()
        if not child:
            try:
                db.engine.cache_clear()  # the connections are the parent's
                backends._s3.cache_clear()
                work()
                os._exit(0)
            except BaseException:
                traceback.print_exc()
                raise
            finally:
                os._exit(1)
        children.append(child)
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


def die_at(owner: Any, name: str, when: str, times: int = 1) -> None:
    """From now on this process ends itself before or after so many calls of what the owner calls by this name."""
    original: Callable[..., Any] = getattr(owner, name)
    calls = [0]

    def counted(*args: Any, **kwargs: Any) -> Any:
        calls[0] += 1
        if calls[0] == times and when == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = original(*args, **kwargs)
        if calls[0] >= times:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(owner, name, counted)


async def artifact(key: str) -> Any:
    """The content of the newest artifact under this key."""
    async with get_client() as client:
        found = await client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=[key])))
    newest = max(found, key=lambda one: str(one.created)).data
    return json.loads(newest) if isinstance(newest, str) else newest
