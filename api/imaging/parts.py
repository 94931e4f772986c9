"""A multipart body piece by piece (RFC 2046, 5.1.1): nothing of it is kept here."""

import re
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass

from python_multipart.multipart import parse_options_header

from models.kernel.errors import UnreadableError

LONGEST_HEADERS = 16 * 1024
"""Of one part, in bytes."""
LONGEST_PREAMBLE = 64 * 1024
NO_MULTIPART = "the body is not multipart as its content type says"
_NAME = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FOLD = re.compile(rb"\r\n[ \t]+")
_LINE_ENDS = re.compile(rb"(?P<last>--)|[ \t]{0,1024}\r\n")
"""What may follow a boundary on its line: of anything else the line is content."""
_UNDECIDED = re.compile(rb"(?:[ \t]{0,1024}\r?|-)\Z")


@dataclass(frozen=True, slots=True)
class Begin:
    """A part begins; its headers, their names in lower case."""

    headers: dict[str, str]


@dataclass(frozen=True, slots=True)
class Data:
    """Some of its content."""

    content: bytes


@dataclass(frozen=True, slots=True)
class End:
    """It is whole."""


Event = Begin | Data | End


def boundary_of(content_type: str) -> tuple[bytes, dict[str, str]]:
    """The boundary of a multipart content type, and its other parameters; UnreadableError where there is none."""
    _, options = parse_options_header(content_type)
    boundary = options.pop(b"boundary", b"")
    if not 0 < len(boundary) <= 200:
        raise UnreadableError("a multipart body needs a boundary", field="Content-Type")
    return boundary, {name.decode("latin-1"): value.decode("latin-1") for name, value in options.items()}


def disposition_of(headers: dict[str, str]) -> tuple[str, str]:
    """The name and the file name of a form's part; empty where they are not given."""
    # As bytes: of text it makes Latin-1 again, which names need not be.
    _, options = parse_options_header(headers.get("content-disposition", "").encode())
    return (_text(options.get(b"name", b"")), _text(options.get(b"filename", b"")))


async def read_parts(stream: AsyncIterator[bytes], boundary: bytes) -> AsyncIterator[Event]:
    """Beginning, content and end of every part, in order; UnreadableError for what is no multipart body, or cut."""
    splitter = _Splitter(boundary)
    async for chunk in stream:
        for event in splitter.feed(chunk):
            yield event
    if not splitter.is_finished:
        raise UnreadableError("the body ends before its last boundary", field="body")


class _Splitter:
    """Finds boundaries in what comes. It keeps the beginning of a boundary or of a part's headers, and no more."""

    def __init__(self, boundary: bytes) -> None:
        self._delimiter = b"\r\n--" + boundary
        self._kept = b"\r\n"  # the line before the first boundary, if there is none
        self._at = 0
        self._step = self._skip_preamble
        self._skipped = 0
        self.is_finished = False

    def feed(self, chunk: bytes) -> Iterator[Event]:
        """The events of the next piece; UnreadableError."""
        if self.is_finished:
            return  # an epilogue
        self._kept, self._at = self._kept + chunk, 0
        while (events := self._step()) is not None:
            yield from events
            if self.is_finished:
                return
        self._kept = self._kept[self._at :]

    def _skip_preamble(self) -> tuple[Event, ...] | None:
        before, is_boundary = self._before_boundary()
        self._skipped += before - self._at
        if self._skipped > LONGEST_PREAMBLE:
            raise UnreadableError(NO_MULTIPART, field="body")
        self._at = before
        return self._pass_boundary() if is_boundary else None

    def _read_headers(self) -> tuple[Event, ...] | None:
        if self._kept.startswith(b"\r\n", self._at):
            return self._begin(b"", self._at + 2)
        end = self._kept.find(b"\r\n\r\n", self._at)
        if (end if end >= 0 else len(self._kept)) - self._at > LONGEST_HEADERS:
            raise UnreadableError("the headers of a part are too long", field="body")
        return None if end < 0 else self._begin(self._kept[self._at : end], end + 4)

    def _begin(self, block: bytes, content: int) -> tuple[Event, ...]:
        self._at = content
        self._step = self._read_content
        return (Begin(_headers(block)),)

    def _read_content(self) -> tuple[Event, ...] | None:
        before, is_boundary = self._before_boundary()
        data = self._kept[self._at : before]
        self._at = before
        if is_boundary:
            return (*((Data(data),) if data else ()), End(), *self._pass_boundary())
        return (Data(data),) if data else None

    def _before_boundary(self) -> tuple[int, bool]:
        """Where the next boundary begins; without one, how far there is none for sure."""
        at = self._kept.find(self._delimiter, self._at)
        while at >= 0:
            after = at + len(self._delimiter)
            if _LINE_ENDS.match(self._kept, after):
                return at, True
            if _UNDECIDED.match(self._kept, after):
                return at, False
            at = self._kept.find(self._delimiter, at + 2)
        at = self._kept.rfind(b"\r", max(self._at, len(self._kept) - len(self._delimiter) + 1))
        is_begun = at >= 0 and self._delimiter.startswith(self._kept[at:])
        return (at if is_begun else len(self._kept)), False

    def _pass_boundary(self) -> tuple[Event, ...]:
        found = _LINE_ENDS.match(self._kept, self._at + len(self._delimiter))
        if found is None:
            raise UnreadableError(NO_MULTIPART, field="body")
        self.is_finished = found["last"] is not None
        self._at = found.end()
        self._step = self._read_headers
        return ()


def _headers(block: bytes) -> dict[str, str]:
    found = {}
    for line in _FOLD.sub(b" ", block).split(b"\r\n") if block else ():
        name, colon, value = line.partition(b":")
        if not colon or not _NAME.fullmatch(name):
            raise UnreadableError(NO_MULTIPART, field="body")
        found[_text(name).lower()] = _text(value.strip(b" \t"))
    return found


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
