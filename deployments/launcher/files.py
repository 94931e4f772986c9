"""The state folder: where each thing lies, files written whole or not at all, the lock against a second launcher."""

import fcntl
import os
import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from models.kernel.errors import ConfigError


@dataclass(frozen=True)
class StateFolder:
    """One hub's folder; nothing of it is written anywhere else (as root, but for PostgreSQL's own folder)."""

    root: Path

    @property
    def environment(self) -> Path:
        return self.root / "environment"

    @property
    def ports(self) -> Path:
        return self.root / "ports.json"

    @property
    def status(self) -> Path:
        return self.root / "launcher.json"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def prefect(self) -> Path:
        return self.root / "prefect"

    @property
    def temporary(self) -> Path:
        return self.root / "tmp"

    @property
    def metrics(self) -> Path:
        """What several API processes count, each in files of its own."""
        return self.root / "metrics"

    def create(self) -> None:
        """Make the folders; ConfigError when that is not possible or they are another user's."""
        try:
            for folder in (self.root, self.logs, self.prefect, self.prefect / "ui", self.temporary):
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ConfigError(
                f"the state folder {self.root} cannot be made ({error.strerror}): set LABWIRE_STATE_DIR to another"
            ) from None
        if os.geteuid() not in (0, self.root.stat().st_uid):
            raise ConfigError(f"the state folder {self.root} belongs to another user: set LABWIRE_STATE_DIR to another")

    def lock(self) -> IO[str]:
        """Hold the folder until the returned file is closed or the process ends; ConfigError if a launcher has it."""
        file = (self.root / "lock").open("a+")
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            file.close()
            raise ConfigError(
                f"labwire already runs on {self.root} (launcher's process id {holder}): "
                "see `labwire status`, stop it first, or set LABWIRE_STATE_DIR to another folder"
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        return file

    def clear_temporary(self) -> None:
        """Empty the folders for temporary files and for counts; only under the lock."""
        for folder in (self.temporary, self.metrics):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir(mode=0o700)


def write_atomically(path: Path, text: str, *, mode: int = 0o600) -> None:
    """Replace the file's content in one step that also survives a power failure; nothing is left of a failed one."""
    partial = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise
