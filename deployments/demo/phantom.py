"""A chest that nobody has: CT slices drawn from ellipses, and an X-ray-like picture, as a scanner would send them."""

import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian

SIDE = 256
SPACING_MM = 1.5
AIR, LUNG, FAT, MUSCLE, BLOOD, BONE = -1000, -850, -90, 45, 60, 700
"""Hounsfield units, as textbooks give them."""
ELLIPSES = (
    # centre x and y, half axes, value: fractions of the field, from the outside inwards
    *((0.50, 0.52, 0.44, 0.32, FAT), (0.50, 0.52, 0.42, 0.30, MUSCLE)),
    *((0.31, 0.50, 0.16, 0.22, LUNG), (0.69, 0.50, 0.16, 0.22, LUNG)),
    *((0.53, 0.47, 0.11, 0.10, BLOOD), (0.50, 0.76, 0.06, 0.05, BONE), (0.50, 0.71, 0.025, 0.02, MUSCLE)),
    *((0.50, 0.235, 0.03, 0.015, BONE), (0.47, 0.62, 0.025, 0.022, BLOOD)),
)
RIBS = ((0.14, 0.45), (0.86, 0.45), (0.20, 0.66), (0.80, 0.66), (0.27, 0.34), (0.73, 0.34))


@dataclass(frozen=True, slots=True)
class Examined:
    """Whose study it is, and its UIDs; names as DICOM writes them."""

    study_uid: str
    patient_name: str
    patient_code: str
    accession_number: str = ""
    birth_date: str = ""
    sex: str = ""
    study_date: str = ""

    @property
    def series_uid(self) -> str:
        """Of the one series."""
        return f"{self.study_uid}.1"


def slices(examined: Examined, count: int) -> list[bytes]:
    """The study's CT images from the neck downwards, each a DICOM file."""
    return [_dicom(examined, number, count) for number in range(1, count + 1)]


def photograph() -> bytes:
    """A JPEG, such as a telephone takes."""
    pixels = np.clip((_slice(0.5) + 1000) / 8, 0, 255).astype(np.uint8)
    file = io.BytesIO()
    Image.fromarray(pixels).convert("RGB").save(file, "JPEG", quality=90)
    return file.getvalue()


def _slice(height: float) -> NDArray[np.int16]:
    """Hounsfield units at a height between 0 and 1; the lungs are widest in the middle."""
    y, x = np.mgrid[0:SIDE, 0:SIDE] / SIDE
    field = np.full((SIDE, SIDE), AIR, dtype=np.float64)
    swell = 0.75 + 0.5 * height * (1 - height) * 2
    for centre_x, centre_y, half_x, half_y, value in ELLIPSES:
        size = swell if value == LUNG else 1.0
        inside = ((x - centre_x) / (half_x * size)) ** 2 + ((y - centre_y) / (half_y * size)) ** 2 <= 1
        field[inside] = value
    for centre_x, centre_y in RIBS:
        drop = 0.03 * np.sin(height * 9)
        field[((x - centre_x) / 0.02) ** 2 + ((y - centre_y - drop) / 0.035) ** 2 <= 1] = BONE
    for branch in range(14):  # vessels of the lungs, thinner further out
        at_x = (0.31 if branch % 2 else 0.69) + 0.1 * np.sin(branch * 1.7 + height * 4)
        at_y = 0.5 + 0.15 * np.cos(branch * 2.3 + height * 3)
        vessel = ((x - at_x) ** 2 + (y - at_y) ** 2 <= (0.004 + 0.0006 * branch) ** 2) & (field == LUNG)
        field[vessel] = BLOOD
    noise = np.random.default_rng(int(height * 1000)).normal(0, 12, field.shape)
    return np.clip(field + noise, -1024, 3000).astype(np.int16)


def _dicom(examined: Examined, number: int, count: int) -> bytes:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = UID(f"{examined.series_uid}.{number}")
    image = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    for keyword, value in (_whose(examined) | _how(examined, number)).items():
        setattr(image, keyword, value)
    image.PixelData = (_slice(number / (count + 1)) + 1024).astype("<i2").tobytes()
    file = io.BytesIO()
    image.save_as(file, enforce_file_format=True)
    return file.getvalue()


def _whose(examined: Examined) -> dict[str, Any]:
    return {
        "SpecificCharacterSet": "ISO_IR 192",
        "StudyInstanceUID": examined.study_uid,
        "SeriesInstanceUID": examined.series_uid,
        "PatientName": examined.patient_name,
        "PatientID": examined.patient_code,
        "PatientBirthDate": examined.birth_date,
        "PatientSex": examined.sex,
        "AccessionNumber": examined.accession_number,
        "StudyDate": examined.study_date,
        "StudyTime": "101500",
        "StudyID": "1",
        "StudyDescription": "CT of the chest",
        "SeriesDescription": "Axial 5 mm (phantom)",
        "ReferringPhysicianName": "Eze^Amaka",
        "Modality": "CT",
        "Manufacturer": "labwire",
        "ManufacturerModelName": "Phantom",
        "SeriesNumber": 1,
    }


def _how(examined: Examined, number: int) -> dict[str, Any]:
    return {
        "ImageType": ["DERIVED", "SECONDARY", "AXIAL"],
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": f"{examined.series_uid}.{number}",
        "InstanceNumber": number,
        "FrameOfReferenceUID": f"{examined.study_uid}.9",
        "ImagePositionPatient": ["0", "0", str(-5 * number)],
        "ImageOrientationPatient": ["1", "0", "0", "0", "1", "0"],
        "PixelSpacing": [str(SPACING_MM), str(SPACING_MM)],
        "SliceThickness": "5",
        "SliceLocation": str(-5 * number),
        "KVP": "120",
        "BodyPartExamined": "CHEST",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": SIDE,
        "Columns": SIDE,
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 0,
        "RescaleIntercept": "-1024",
        "RescaleSlope": "1",
        "RescaleType": "HU",
        "WindowCenter": "40",
        "WindowWidth": "400",
    }
