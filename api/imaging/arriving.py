"""One upload as its bytes arrive: kept in memory while they are few, then added to its file."""

import hashlib
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace

from sqlalchemy.orm import Session

from api.deps import Caller
from api.imaging.answers import UploadAnswer
from api.imaging.receiving import IN_MEMORY
from models.imaging.intake import Stored
from models.imaging.offers import Offer, offer_of
from models.imaging.ports import DICOM
from models.imaging.rules import NotLetInError
from models.imaging.stores import uploads
from models.imaging.stores.looking import SeenUpload, no_upload
from models.kernel.errors import ConflictError, InvalidError
from models.kernel.tenancy import tenant_session
from tasks.clients.dicom.picture import KINDS
from tasks.clients.storage.growing import Growing, disk_errors
from tasks.clients.storage.spool import Spool

AGAIN = ("checksum", "size")
"""What the way damaged: the sender begins again."""
OVER = ("stored", "expired", "discarded")


class OffsetError(ConflictError):
    """The part does not begin where the bytes so far end; `received_bytes` is where."""

    def __init__(self, received_bytes: int) -> None:
        super().__init__(f"so far {received_bytes} bytes are here: go on from there", field="Upload-Offset")
        self.headers = {"Upload-Offset": str(received_bytes)}


class EndedError(Exception):
    """The upload was stored before: its answer is said again."""

    def __init__(self, answer: UploadAnswer) -> None:
        super().__init__()
        self.answer = answer


class Arriving:
    """In the order of its methods: bytes wait in memory, its file is opened, it is seen, what waits is written."""

    def __init__(self, upload_id: int, offset: int = 0) -> None:
        """Its bytes from `offset` on are to come."""
        self.upload_id, self._offset = upload_id, offset
        self.upload: SeenUpload
        self._file: Growing | None = None
        self._digest: str | None = None
        self._waiting: list[bytes] = []
        self.bytes_in_memory = 0

    def add(self, chunk: bytes) -> bool:
        """Keep the next bytes in memory; whether there are so many now that they are to be written."""
        self._waiting.append(chunk)
        self.bytes_in_memory += len(chunk)
        return self.bytes_in_memory >= IN_MEMORY

    @property
    def is_open(self) -> bool:
        """Whether its file was opened: then not all of its bytes are in memory."""
        return self._file is not None

    @property
    def file(self) -> Growing:
        """The file, once it is open."""
        if self._file is None:
            raise AssertionError("opened before")
        return self._file

    def open(self, spool: Spool, held: ExitStack) -> None:
        """Make its file this request's alone for as long as it is held; BusyError. Before it is seen what it is."""
        self._file = held.enter_context(spool.opened(self.upload_id))

    def see(self, found: Mapping[int, SeenUpload], state: str) -> Growing:
        """What it is, of those that were found: an upload that has ended needs no file.

        NotFoundError, EndedError for one that is stored, ConflictError for any other that is not in this state.
        """
        file, upload = self.file, found.get(self.upload_id)
        if upload is None or upload.state in OVER:
            with disk_errors():
                file.path.unlink(missing_ok=True)
        if upload is None:
            raise no_upload(self.upload_id)
        self.upload = upload
        if upload.state == "stored":
            raise EndedError(UploadAnswer.of(upload))
        if upload.state != state:
            raise ConflictError(f"upload {self.upload_id} is {upload.state}")
        return file

    def write(self) -> Growing:
        """What waits goes to the file; OffsetError for a gap, InvalidError for more than was declared."""
        file = self.file
        waiting, self._waiting, self.bytes_in_memory = self._waiting, [], 0
        data = waiting[0] if len(waiting) == 1 else b"".join(waiting)
        if self._offset > file.size:
            raise OffsetError(file.size)
        if self._offset + len(data) > self.upload.file_size:
            raise InvalidError("more bytes than were declared", field="file_size")
        file.write(data, self._offset)
        if len(data) == self.upload.file_size:  # the whole file at once: it need not be read again
            self._digest = hashlib.sha256(data).hexdigest()
        self._offset += len(data)
        return file

    @property
    def is_whole(self) -> bool:
        """Whether all of the bytes are in the file."""
        return self.file.size >= self.upload.file_size

    @property
    def is_picture(self) -> bool:
        """Whether it was declared as one; while nobody has seen that, whether it begins like one."""
        if self.is_open:
            return self.upload.mime_type != DICOM
        return b"".join(chunk[:8] for chunk in self._waiting[:8]).startswith(tuple(KINDS))

    def noted(self, session: Session, tenant_id: int) -> UploadAnswer:
        """How far it is, in its row."""
        received = self.file.size
        uploads.note_progress(session, tenant_id, self.upload_id, received)
        return UploadAnswer.of(self.upload).model_copy(update={"received_bytes": received})

    def offer(self) -> Offer:
        """The whole file for the intake."""
        return replace(offer_of(self.upload, self.file.path), digest=self._digest, settle=self.file.sync)

    def told(self, stored: Stored) -> UploadAnswer:
        """It was taken in."""
        told = {
            "state": "stored",
            "image_id": stored.taken.image_id,
            "received_bytes": self.upload.file_size,
        }
        return UploadAnswer.of(self.upload).model_copy(update=told)

    def kept_out(self, caller: Caller, spool: Spool, error: NotLetInError) -> UploadAnswer:
        """Held with the rule; InvalidError where the way did the damage: the sender begins again."""
        self.file.sync()
        spool.sync()  # what is held is acknowledged: its sender keeps nothing of it
        with tenant_session(caller.tenant_id) as session:
            if error.rule not in AGAIN:
                held = uploads.hold(session, caller.tenant_id, caller.actor, self.upload_id, error.rule)
                return UploadAnswer.of(held)
            self.file.empty()
            self.noted(session, caller.tenant_id)
        raise InvalidError("the file's SHA-256 or size is not the declared one", field="checksum")
