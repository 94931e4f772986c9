"""A DICOM file as this parser opens it: preamble, file meta information, dataset, all of it checked before use."""

import os
import zlib

from models.imaging.uids import is_uid
from tasks.clients.dicom.elements import Element, Walker
from tasks.clients.dicom.refusal import RefusalError
from tasks.clients.dicom.source import Source

IMPLICIT_LITTLE, EXPLICIT_LITTLE = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
DEFLATED, EXPLICIT_BIG = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"
DICOMDIR = "1.2.840.10008.1.3.10"
META_START = 132
MEGABYTE = 1024 * 1024
LEAST_INFLATED, MOST_INFLATED, MOST_TIMES = 64 * MEGABYTE, 512 * MEGABYTE, 20
"""A deflated dataset may become MOST_TIMES its size, within these bounds."""
EXECUTABLES = (
    b"MZ",
    b"\x7fELF",
    b"#!",
    b"\xca\xfe\xba\xbe",  # Java, and Mach-O for several machines
    *(b"\xfe\xed\xfa\xce", b"\xfe\xed\xfa\xcf", b"\xce\xfa\xed\xfe", b"\xcf\xfa\xed\xfe"),  # Mach-O
    b"\x00asm",
)
"""What a preamble may not begin with: the file would be DICOM to us and a program to a machine."""


class DicomFile:
    """`elements` of the dataset in the order of the file, `syntax` its transfer syntax, `source` what they lie in."""

    def __init__(self, source: Source, *, most_inflated: int = MOST_INFLATED) -> None:
        if source.read(0, META_START)[128:] != b"DICM":
            raise RefusalError("not_an_image", "it is neither DICOM with its preamble, nor JPEG, nor PNG")
        if source.read(0, 8).startswith(EXECUTABLES):
            raise RefusalError("executable", "its preamble is the beginning of a program")
        meta, self.start = Walker(source, implicit=False, little=True).group(META_START, 2)
        self.meta = {element.tag: element for element in meta}
        self.source = self._given = source
        declared = self.uid(self.meta.get(0x00020010))
        if self.uid(self.meta.get(0x00020002)) == DICOMDIR:
            raise RefusalError("dicomdir", "it is a directory of images (DICOMDIR), not an image")
        self.is_deflated = declared == DEFLATED
        if self.is_deflated:
            self.source, self.start = inflated(source, self.start, most_inflated), 0
        try:
            self._walk(declared)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Give back what a deflated dataset was inflated into."""
        if self.source is not self._given:
            self.source.close()

    def _walk(self, declared: str) -> None:
        self.is_implicit = self._looks_implicit(declared)
        self.is_little = declared != EXPLICIT_BIG
        self.syntax = declared or (IMPLICIT_LITTLE if self.is_implicit else EXPLICIT_LITTLE)
        walker = Walker(self.source, implicit=self.is_implicit, little=self.is_little)
        self.elements = walker.dataset(self.start)
        self.by_tag = {element.tag: element for element in self.elements}

    def uid(self, element: Element | None) -> str:
        """The value as a UID; empty where it is none."""
        if element is None or element.length > 128:
            return ""
        raw = self.source.read(element.start, element.length)
        text = raw.decode("latin-1").strip("\x00 ")
        return text if is_uid(text) else ""

    def _looks_implicit(self, declared: str) -> bool:
        """What the first element shows, for files exist that are not what they declare."""
        head = self.source.read(self.start, 6)
        if len(head) < 6:
            return declared == IMPLICIT_LITTLE
        return not (head[4:6].isalpha() and head[4:6].isupper())


def inflated(source: Source, start: int, most: int) -> Source:
    """The deflated dataset behind `start` in a file of memory; refused where it grows beyond all measure."""
    limit = min(most, max(LEAST_INFLATED, (source.size - start) * MOST_TIMES))
    fd = os.memfd_create("dataset", os.MFD_CLOEXEC)
    try:
        _inflate(source, start, fd, limit)
        return Source(fd)
    except BaseException:
        os.close(fd)
        raise


def _inflate(source: Source, start: int, fd: int, limit: int) -> None:
    inflater, total = zlib.decompressobj(-zlib.MAX_WBITS), 0
    try:
        while not inflater.eof:
            piece = inflater.unconsumed_tail
            if not piece:
                piece = source.read(start, MEGABYTE)
                start += len(piece)
            out = inflater.decompress(piece, MEGABYTE)
            if not piece and not out:  # zlib may still hold output when all input is with it
                raise RefusalError("length", "the deflated dataset has no end")
            total += len(out)
            if total > limit:
                raise RefusalError("deflate_bomb", f"the dataset inflates to more than {limit} bytes")
            _write(fd, out)
    except zlib.error:
        raise RefusalError("length", "the deflated dataset is damaged") from None


def _write(fd: int, out: bytes) -> None:
    view = memoryview(out)
    while view:
        view = view[os.write(fd, view) :]
