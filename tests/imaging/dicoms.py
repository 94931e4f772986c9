"""DICOM files and pictures as modalities make them."""

import io
from typing import Any

import numpy as np
from PIL import Image
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid

STUDY, SERIES = "1.2.826.0.1.3680043.8.498.1", "1.2.826.0.1.3680043.8.498.1.1"


def ct(number: int = 1, *, size: int = 32, study_uid: str = STUDY, series_uid: str = SERIES, **more: Any) -> bytes:
    """A CT image of `size` x `size`, 16 bits; `more` are attributes by keyword (None: left out)."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = CTImageStorage
    image = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    said = {
        "SpecificCharacterSet": "ISO_IR 192",
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": f"{series_uid}.{number}",
        "StudyInstanceUID": study_uid,
        "SeriesInstanceUID": series_uid,
        "PatientName": "Doe^Jo",
        "PatientID": "P123",
        "PatientBirthDate": "19800131",
        "PatientSex": "F",
        "AccessionNumber": "",
        "StudyDate": "20260115",
        "StudyTime": "101500",
        "StudyID": "1",
        "StudyDescription": "CT of the chest",
        "SeriesDescription": "Axial",
        "SeriesNumber": 1,
        "Modality": "CT",
        "InstanceNumber": number,
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": size,
        "Columns": size,
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 1,
        "RescaleIntercept": "-1024",
        "RescaleSlope": "1",
        "WindowCenter": "40",
        "WindowWidth": "400",
        "PixelSpacing": ["0.7", "0.7"],
        "ImagePositionPatient": ["0", "0", str(number)],
        "ImageOrientationPatient": ["1", "0", "0", "0", "1", "0"],
    }
    for keyword, value in (said | more).items():
        if value is not None:
            setattr(image, keyword, value)
    meta.MediaStorageSOPInstanceUID = image.get("SOPInstanceUID", "1.2.3")
    ramp = np.add.outer(np.arange(size), np.arange(size)).astype("<i2") * (2000 // size) + number
    if "PixelData" not in more:
        image.PixelData = ramp.tobytes()
    file = io.BytesIO()
    image.save_as(file, enforce_file_format=True)
    return file.getvalue()


def picture(kind: str = "JPEG", *, colour: tuple[int, int, int] = (200, 30, 30), size: int = 48) -> bytes:
    """A JPEG or PNG with a bright square."""
    made = Image.new("RGB", (size, size), (10, 10, 10))
    made.paste(colour, (size // 4, size // 4, size // 2, size // 2))
    file = io.BytesIO()
    made.save(file, kind)
    return file.getvalue()


def fresh_uid() -> str:
    """A UID nobody has used."""
    return str(generate_uid())
