"""Texts of a DICOM file: decoded by its charset without ever failing, and fit for PostgreSQL and JSON."""

import re
from collections.abc import Sequence
from functools import lru_cache

MOST_CHARACTERS = 1000
SINGLE_BYTE = {
    "": "latin-1",  # ASCII by the standard; what is more than that is most often Latin
    "ISO_IR 6": "latin-1",
    "ISO 2022 IR 6": "latin-1",
    "ISO_IR 100": "latin-1",
    "ISO 2022 IR 100": "latin-1",
    "ISO_IR 192": "utf-8",
    "GB18030": "gb18030",
    "GBK": "gbk",
}
"""The charsets nearly every file has (PS3.3, C.12.1.1.2), known without pydicom, whose import takes time."""
# C0 and C1 but for blanks, lone surrogates, and what is no character at all.
_FORBIDDEN = re.compile("[\x00-\x08\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]")
_BLANKS = re.compile("[\t-\r]+")
_PLAIN = re.compile("[ -~]*")
_DELIMITERS = {0x0D, 0x0A, 0x09, 0x0C, 0x5C, 0x5E, 0x3D}


def clean(text: str) -> str:
    """Trimmed, on one line, without control characters, and no longer than MOST_CHARACTERS."""
    if not _PLAIN.fullmatch(text):
        text = _FORBIDDEN.sub("", _BLANKS.sub(" ", text))
    return text.strip()[:MOST_CHARACTERS].rstrip()


class Charset:
    """What (0008,0005) says; unknown values count as the default one."""

    def __init__(self, terms: Sequence[str] = ()) -> None:
        self.terms = tuple(terms) or ("",)

    def decode(self, raw: bytes) -> str:
        """The text; what the charset has no character for becomes U+FFFD."""
        if raw.isascii() and b"\x1b" not in raw:
            return raw.decode("ascii")
        if len(self.terms) == 1 and (codec := SINGLE_BYTE.get(self.terms[0])) and b"\x1b" not in raw:
            return raw.decode(codec, errors="replace")
        return _extended(self.terms, raw)


def _extended(terms: tuple[str, ...], raw: bytes) -> str:
    from pydicom import charset  # the files that need it are few

    try:
        return str(charset.decode_bytes(raw, _encodings(terms), _DELIMITERS))
    except (LookupError, UnicodeError, ValueError, AssertionError):
        return raw.decode("latin-1")


@lru_cache(maxsize=64)
def _encodings(terms: tuple[str, ...]) -> list[str]:
    from pydicom import charset

    try:
        return charset.convert_encodings(list(terms))  # it also knows the usual misspellings
    except LookupError:
        return charset.convert_encodings([term for term in terms if term in charset.python_encoding] or [""])
