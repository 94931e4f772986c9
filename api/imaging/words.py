"""Codes about images in words, as the pages say them."""

from models.imaging.rules import RULES, shown_name

__all__ = ["MODALITIES", "PROBLEMS", "RULES", "SOURCES", "STATES", "UPLOAD_STATES", "bytes_of", "shown_name"]

STATES = {"ordered": "Ordered", "performed": "To review", "reviewed": "Reviewed"}
"""Of an order: what the state asks of somebody."""
UPLOAD_STATES = {
    "declared": "Not complete",
    "held": "Held",
    "stored": "Stored",
    "expired": "Expired",
    "discarded": "Discarded",
}
SOURCES = {"sync": "upload page or program", "form": "form", "stow": "STOW-RS", "folder": "folder or ZIP"}
PROBLEMS = {
    "corrupt": "Its bytes are not those that were stored",
    "missing": "Its file is not where it was stored",
}
MODALITIES = {
    "CR": "X-ray (CR)",
    "DX": "X-ray, digital (DX)",
    "CT": "CT",
    "MR": "MRI",
    "US": "Ultrasound (US)",
    "MG": "Mammography (MG)",
    "RF": "Fluoroscopy (RF)",
    "XA": "Angiography (XA)",
    "NM": "Nuclear medicine (NM)",
    "PT": "PET (PT)",
    "IO": "Dental, intra-oral (IO)",
    "PX": "Dental, panoramic (PX)",
    "ES": "Endoscopy (ES)",
    "XC": "Photograph (XC)",
    "OT": "Other (OT)",
}
"""What is ordered; files may come with any of DICOM's."""


def bytes_of(count: int) -> str:
    """A size as people read it: `512 KB`, `1.4 GB`."""
    size, unit = float(count), "bytes"
    for name in ("KB", "MB", "GB"):
        if size < 1000:
            break
        size, unit = size / 1024, name
    return f"{size:.0f} {unit}" if unit in ("bytes", "KB") or size >= 100 else f"{size:.1f} {unit}"
