"""Whether LABWIRE_MEDIA_ROOT is the folder it was: while its file system is not mounted nothing of it is missing.

The folder has a mark, and the state folder says which folder has one: without the mark there nothing is put, or missed.
"""

import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

from models.kernel.errors import AwayError
from tasks.clients.storage import folders

MARK = ".labwire-images"
NOTE = "media-root"


@dataclass(frozen=True, slots=True)
class Mount:
    """The root of all tenants' images, and the state folder."""

    media: Path
    state: Path

    def note(self) -> None:
        """Know the folder again, if it is marked; one that holds something is marked the first time it is seen."""
        with suppress(OSError):  # what cannot be written down is not guarded
            if not self._has_mark():
                if self._was_marked() or not any(self.media.iterdir()):
                    return
                self._mark()
            self._write_down()

    def begin(self) -> None:
        """Before a tenant's folder is made: the root with its mark. AwayError where it had one and has none now."""
        self.refuse_unmounted()
        with folders.translated():
            folders.make_root(self.media)
            self._mark()
        with suppress(OSError):
            self._write_down()

    def refuse_unmounted(self) -> None:
        """AwayError where the folder had a mark and has none now."""
        if self._was_marked() and not self._has_mark():
            raise AwayError(f"LABWIRE_MEDIA_ROOT lacks {MARK}, which it had: its file system is not mounted")

    def _has_mark(self) -> bool:
        return (self.media / MARK).exists()

    def _was_marked(self) -> bool:
        try:
            return (self.state / NOTE).read_text() == str(self.media)
        except FileNotFoundError:
            return False

    def _mark(self) -> None:
        (self.media / MARK).touch(mode=0o600)
        folders.sync_folder(self.media)

    def _write_down(self) -> None:
        if not self._was_marked():
            new = self.state / f".{NOTE}-{uuid4().hex}"
            new.write_text(str(self.media))
            os.replace(new, self.state / NOTE)
