"""Which of the media types we have a client would rather get (RFC 9110, 12.5.1; PS3.18, 8.7)."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from fastapi import Request
from python_multipart.multipart import parse_options_header

from models.kernel.errors import NotAcceptableError

DICOM_JSON = "application/dicom+json"
JSON_TYPES = (DICOM_JSON, "application/json")
MOST_RANGES = 50


@dataclass(frozen=True, slots=True)
class Wanted:
    """One entry of an Accept header; parameters in lower case but for their values."""

    media_type: str
    parameters: dict[str, str] = field(default_factory=dict)
    quality: float = 1.0

    @property
    def is_multipart(self) -> bool:
        """Whether parts are asked for; their type is `part_type`."""
        return self.media_type in ("multipart/related", "multipart/*")

    @property
    def part_type(self) -> str:
        """What each part is to be."""
        return self.parameters.get("type", "*/*").lower()

    @property
    def transfer_syntax(self) -> str:
        """The one asked for; empty where nothing is said, `*` for any."""
        return self.parameters.get("transfer-syntax", "").strip()

    def fits(self, media_type: str) -> bool:
        """Whether it is this type, or a range that holds it."""
        return fits(self.media_type, media_type)


def fits(wanted: str, media_type: str) -> bool:
    """Whether a media range holds a media type."""
    if wanted in ("*/*", media_type):
        return True
    return wanted.endswith("/*") and media_type.startswith(wanted[:-1])


def accepted(request: Request) -> list[Wanted]:
    """What the client accepts, the best first; the parameter `accept` stands for the header where it is given."""
    header = request.query_params.get("accept") or ", ".join(request.headers.getlist("accept")) or "*/*"
    found = [_wanted(part) for part in _split(header)[:MOST_RANGES] if part.strip()]
    return sorted((one for one in found if one.quality > 0), key=lambda one: -one.quality)


def choose(request: Request, offered: Sequence[str]) -> str:
    """The offered media type that the client would rather have; NotAcceptableError where it takes none."""
    for wanted in accepted(request):
        for media_type in offered:
            if wanted.fits(media_type):
                return media_type
    raise not_acceptable(offered)


def not_acceptable(offered: Sequence[str]) -> NotAcceptableError:
    """The error that names what there is."""
    return NotAcceptableError(f"answered as {', '.join(offered)} only", field="Accept")


def _wanted(part: str) -> Wanted:
    name, options = parse_options_header(part.strip().encode("ascii", "replace").decode())
    parameters = {key.decode("latin-1").lower(): value.decode("latin-1") for key, value in options.items()}
    try:
        quality = float(parameters.pop("q", "1"))
    except ValueError:
        quality = 1.0
    return Wanted(name.decode("latin-1").lower(), parameters, quality if 0 <= quality <= 1 else 1.0)


def _split(header: str) -> list[str]:
    """At commas that are not within quotes."""
    parts, start, is_quoted = [], 0, False
    for at, character in enumerate(header):
        if character == '"':
            is_quoted = not is_quoted
        elif character == "," and not is_quoted:
            parts.append(header[start:at])
            start = at + 1
    return [*parts, header[start:]]
