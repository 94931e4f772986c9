"""The binaries of several uploads as one request brings them: a large one piece by piece, small ones by groups."""

import logging

from fastapi import Request

from api.imaging.answers import UploadAnswer
from api.imaging.arriving import Arriving, EndedError
from api.imaging.groups import Groups
from api.imaging.parts import Begin, Data, disposition_of, read_parts
from api.imaging.receiving import Entrance, pieces
from api.imaging.resuming import Resuming
from api.imaging.together import Outcome, Together
from api.runs import start_completing
from models.kernel.errors import InvalidError, TooLargeError, UnreadableError
from models.kernel.fields import LARGEST_ID

MOST_FILES = 1_000
"""Of one request: those before one too many are taken."""

log = logging.getLogger(__name__)


class Binaries:
    """Those of one request."""

    def __init__(self, entrance: Entrance) -> None:
        self._entrance = entrance
        self._groups = Groups(self._take)
        self._outcomes: dict[int, Outcome] = {}
        self._ids: list[int] = []
        self._coming: Resuming | None = None

    async def read(self, request: Request, boundary: bytes) -> list[tuple[int, Outcome]]:
        """What became of each, in their order. When the line breaks, what came is kept, and what is whole stored."""
        try:
            async for event in read_parts(pieces(request), boundary):
                if isinstance(event, Begin):
                    self._begin(disposition_of(event.headers)[0])
                elif self._coming is not None:
                    coming = self._coming
                    await (self._add(coming, event.content) if isinstance(event, Data) else self._end(coming))
        except UnreadableError as error:
            if len(self._ids) <= 1:
                raise
            self._outcomes.setdefault(self._ids[-1], error)  # unless it was whole
        finally:
            await self._settle()
        return [(upload_id, self._outcomes[upload_id]) for upload_id in self._ids]

    def _begin(self, name: str) -> None:
        if not (name.isascii() and name.isdecimal() and len(name) < 20 and 0 < int(name) <= LARGEST_ID):
            raise InvalidError("is no number of an upload", field="name")
        if int(name) in self._ids:
            raise InvalidError("comes twice in one request", field=name)
        if len(self._ids) > MOST_FILES:
            return
        self._ids.append(int(name))
        if len(self._ids) > MOST_FILES:
            message = f"more than {MOST_FILES} files in one request: this one and those after it are not taken"
            self._outcomes[int(name)] = TooLargeError(message, field="body")
            return
        self._coming = Resuming(self._entrance.caller, Arriving(int(name)))

    async def _add(self, coming: Resuming, content: bytes) -> None:
        try:
            await coming.add(content)
        except Exception as error:  # noqa: BLE001 # this one's: the others go on
            self._coming = None  # the rest of it is passed over
            self._outcomes[self._ids[-1]] = error.answer if isinstance(error, EndedError) else error
            await self._stop(coming)

    async def _end(self, coming: Resuming) -> None:
        self._coming = None
        arriving = coming.arriving
        if arriving.is_picture:
            await self._groups.settle()  # it takes patient and dates of what its study has by now
        elif not arriving.is_open:
            await self._groups.add(arriving, arriving.bytes_in_memory)
            return
        try:
            self._outcomes[arriving.upload_id] = await coming.end()
        except Exception as error:  # noqa: BLE001 # as above
            self._outcomes[arriving.upload_id] = error

    async def _stop(self, coming: Resuming) -> None:
        try:
            await coming.stop()
        except Exception as error:  # noqa: BLE001 # what stopped it is told
            log.warning("what came of an upload is not kept: %s", type(error).__name__)

    async def _settle(self) -> None:
        """No more comes: keep what came of the last one, store what is whole."""
        try:
            if self._coming is not None:
                await self._stop(self._coming)
        finally:
            await self._groups.settle()
        self._outcomes |= dict(self._groups.told())
        if any(isinstance(one, UploadAnswer) and one.state == "stored" for one in self._outcomes.values()):
            start_completing(self._entrance.caller)

    def _take(self, group: list[Arriving]) -> list[tuple[int, Outcome]]:
        ids = [one.upload_id for one in group]
        try:
            return list(zip(ids, Together(self._entrance, group).take(), strict=True))
        except Exception as error:  # noqa: BLE001 # told of each of them
            return [(upload_id, error) for upload_id in ids]
