"""A multipart body piece by piece: nothing of it is kept here."""

from collections.abc import AsyncIterator
from dataclasses import dataclass, field

from python_multipart.exceptions import MultipartParseError
from python_multipart.multipart import MultipartParser, parse_options_header

from models.kernel.errors import UnreadableError

LONGEST_HEADERS = 16 * 1024


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
    collected = _Collected()
    parser = MultipartParser(boundary, collected.callbacks())  # type: ignore[arg-type] # a mapping of its callbacks
    async for chunk in stream:
        try:
            parser.write(chunk)
        except MultipartParseError:
            raise UnreadableError("the body is not multipart as its content type says", field="body") from None
        for event in collected.events:
            yield event
        collected.events.clear()
    if not collected.is_finished:
        raise UnreadableError("the body ends before its last boundary", field="body")


@dataclass(slots=True)
class _Collected:
    """What the parser called back during one piece."""

    events: list[Event] = field(default_factory=list)
    is_finished: bool = False
    _headers: dict[str, str] = field(default_factory=dict)
    _name: bytes = b""
    _value: bytes = b""
    _length: int = 0

    def callbacks(self) -> dict[str, object]:
        return {
            "on_part_begin": self._begin,
            "on_header_field": self._on_name,
            "on_header_value": self._on_value,
            "on_header_end": self._on_header,
            "on_headers_finished": lambda: self.events.append(Begin(self._headers)),
            "on_part_data": lambda data, start, end: self.events.append(Data(data[start:end])),
            "on_part_end": lambda: self.events.append(End()),
            "on_end": self._finish,
        }

    def _begin(self) -> None:
        self._headers, self._length = {}, 0

    def _on_name(self, data: bytes, start: int, end: int) -> None:
        self._name += self._bounded(data[start:end])

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += self._bounded(data[start:end])

    def _on_header(self) -> None:
        self._headers[_text(self._name).lower()] = _text(self._value)
        self._name = self._value = b""

    def _bounded(self, data: bytes) -> bytes:
        self._length += len(data)
        if self._length > LONGEST_HEADERS:
            raise UnreadableError("the headers of a part are too long", field="body")
        return data

    def _finish(self) -> None:
        self.is_finished = True


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
