"""DICOM files byte by byte, written from the standard: what no library would write, too."""

from io import BytesIO
from pathlib import Path
from struct import pack
from typing import Any

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian

STUDY, SERIES, IMAGE = "1.2.826.1.1", "1.2.826.1.2", "1.2.826.1.3"
CT = "1.2.840.10008.5.1.4.1.1.2"
IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
BIG, DEFLATED, JPEG = "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.50"
LONG = ("OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV")
UNDEFINED = 0xFFFFFFFF
ITEM, ITEM_END, SEQUENCE_END = b"\xfe\xff\x00\xe0", b"\xfe\xff\x0d\xe0", b"\xfe\xff\xdd\xe0"


def element(tag: int, vr: str, value: bytes, *, length: int | None = None) -> bytes:
    """Explicit VR, little endian; `length` where it is not the value's."""
    value += b"\x00" * (len(value) % 2)
    said = len(value) if length is None else length
    head = pack("<HH", tag >> 16, tag & 0xFFFF) + vr.encode()
    return head + (pack("<HL", 0, said) if vr in LONG else pack("<H", said)) + value


def item(content: bytes, *, length: int | None = None) -> bytes:
    """One item of a sequence, or fragment."""
    return ITEM + pack("<L", len(content) if length is None else length) + content


def meta(syntax: str = EXPLICIT, sop_class: str = CT, preamble: bytes = b"") -> bytes:
    """Preamble and file meta information."""
    content = element(0x00020002, "UI", sop_class.encode()) + element(0x00020010, "UI", syntax.encode())
    group_length = element(0x00020000, "UL", pack("<L", len(content)))
    return preamble.ljust(128, b"\x00") + b"DICM" + group_length + content


def uids(study: str = STUDY, series: str = SERIES, image: str = IMAGE) -> bytes:
    """The elements every image needs."""
    return b"".join(
        (
            element(0x00080016, "UI", CT.encode()),
            element(0x00080018, "UI", image.encode()),
            element(0x0020000D, "UI", study.encode()),
            element(0x0020000E, "UI", series.encode()),
        )
    )


def written(path: Path, *parts: bytes) -> Path:
    """The parts as a file."""
    path.write_bytes(b"".join(parts))
    return path


def dataset(**attributes: Any) -> Dataset:
    """A small CT slice as pydicom keeps it."""
    made = Dataset()
    given = {
        "SOPClassUID": CT,
        "SOPInstanceUID": IMAGE,
        "StudyInstanceUID": STUDY,
        "SeriesInstanceUID": SERIES,
        "Modality": "CT",
        "Rows": 4,
        "Columns": 6,
        "SamplesPerPixel": 1,
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 0,
        "PhotometricInterpretation": "MONOCHROME2",
        "PixelData": bytes(range(48)),
    }
    for keyword, value in (given | attributes).items():
        if value is not None:
            setattr(made, keyword, value)
    return made


def encoded(made: Dataset, syntax: str = ExplicitVRLittleEndian) -> bytes:
    """The dataset as a file of this transfer syntax."""
    made.file_meta = FileMetaDataset()
    made.file_meta.TransferSyntaxUID = UID(syntax)
    made.file_meta.MediaStorageSOPClassUID = made.SOPClassUID
    made.file_meta.MediaStorageSOPInstanceUID = made.SOPInstanceUID
    if "PixelData" in made and made["PixelData"].VR not in ("OB", "OW"):
        made["PixelData"].VR = "OB" if made.BitsAllocated <= 8 else "OW"
    out = BytesIO()
    made.save_as(out, enforce_file_format=True)
    return out.getvalue()


def saved(path: Path, made: Dataset, syntax: str = ExplicitVRLittleEndian) -> Path:
    """The same as a file."""
    return written(path, encoded(made, syntax))
