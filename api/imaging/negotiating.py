"""Which of the media types we have a client would rather get (RFC 9110, 12.5.1; PS3.18, 8.7)."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from fastapi import Request
from python_multipart.multipart import parse_options_header

from models.kernel.errors import NotAcceptableError

DICOM_JSON = "application/dicom+json"
JSON_TYPES = (DICOM_JSON, "application/json")
MOST_RANGES = 50


class Offer(NamedTuple):
    """A form in which there is an answer."""

    media_type: str
    is_multipart: bool = False


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

    @property
    def specificity(self) -> tuple[int, bool]:
        """How closely it says what is wanted: the more specific range goes before any other (RFC 9110, 12.5.1)."""
        if self.media_type == "multipart/related":
            return 2 + _specificity(self.part_type), bool(self.transfer_syntax)
        return _specificity(self.media_type) * 2, bool(self.transfer_syntax)

    def holds(self, offer: Offer) -> bool:
        """Whether the offer lies in this range."""
        if self.media_type == "*/*":
            return True
        if self.is_multipart:
            return offer.is_multipart and fits(self.part_type, offer.media_type)
        return not offer.is_multipart and fits(self.media_type, offer.media_type)


def _specificity(media_range: str) -> int:
    return 0 if media_range == "*/*" else 1 if media_range.endswith("/*") else 2


def fits(wanted: str, media_type: str) -> bool:
    """Whether a media range holds a media type."""
    if wanted in ("*/*", media_type):
        return True
    return wanted.endswith("/*") and media_type.startswith(wanted[:-1])


def accepted(request: Request) -> list[Wanted]:
    """What the client says of media types, in its order; the parameter `accept` stands for the header where given."""
    header = request.query_params.get("accept") or ", ".join(request.headers.getlist("accept")) or "*/*"
    return [_wanted(part) for part in _split(header)[:MOST_RANGES] if part.strip()]


def best(
    request: Request, offers: Sequence[Offer], is_meant: Callable[[Wanted, Offer], bool] = lambda wanted, offer: True
) -> Offer | None:
    """The offer the client would rather have, None where it takes none: of each its most specific range decides.

    What is wanted alike goes by the client's order, then by ours. `is_meant` says no where a range means another thing
    of the same type.
    """
    ranges, ranked = accepted(request), []
    for place, offer in enumerate(offers):
        found = [
            (one.specificity, one.quality, -at)
            for at, one in enumerate(ranges)
            if one.holds(offer) and is_meant(one, offer)
        ]
        if found and (decides := max(found))[1] > 0:
            ranked.append((-decides[1], -decides[2], place))
    return offers[min(ranked)[2]] if ranked else None


def choose(request: Request, offered: Sequence[str]) -> str:
    """The offered media type that the client would rather have; NotAcceptableError where it takes none."""
    found = best(request, [Offer(media_type) for media_type in offered])
    if found is None:
        raise not_acceptable(offered)
    return found.media_type


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
