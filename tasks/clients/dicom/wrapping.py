"""`wrap` inside a parser process: a picture becomes a Secondary Capture, so that a viewer of DICOM shows it."""

import os
from typing import Any

from PIL import Image, ImageOps
from pydicom import config
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.uid import UID

from tasks.clients.dicom.dicom_file import EXPLICIT_LITTLE
from tasks.clients.dicom.jpeg import Jpeg, jpeg_of
from tasks.clients.dicom.picture import kind_of, picture_of
from tasks.clients.dicom.reading import opened
from tasks.clients.dicom.refusal import RefusalError

SECONDARY_CAPTURE, JPEG_BASELINE = "1.2.840.10008.5.1.4.1.1.7", "1.2.840.10008.1.2.4.50"
IMPLEMENTATION_UID = "2.25.216364361437389653297410937541938273411"
_ORIENTATION = 0x0112
_TEXTS = {
    "PatientName": "patient_name",
    "PatientID": "patient_code",
    "PatientBirthDate": "patient_birth_date",
    "PatientSex": "patient_sex",
    "AccessionNumber": "accession_number",
    "StudyDate": "study_date",
    "StudyTime": "study_time",
    "StudyDescription": "study_description",
    "Modality": "modality",
    "SeriesDescription": "series_description",
    "StudyInstanceUID": "study_uid",
    "SeriesInstanceUID": "series_uid",
    "SOPInstanceUID": "image_uid",
}


def wrap(path: str, target: str, wrapping: dict[str, Any]) -> tuple[Any, bytes]:
    """The fields of `Wrapping` by name; `target` is written anew, or not at all."""
    config.settings.writing_validation_mode = config.IGNORE
    with opened(path) as source:
        kind = kind_of(source)
        if kind is None:
            raise RefusalError("not_an_image", "it is neither JPEG nor PNG")
        picture_of(source, kind)
        jpeg = jpeg_of(source) if kind[0] == "JPEG" else None
        dataset = _described(wrapping)
        with os.fdopen(os.dup(source.fd), "rb") as stream:
            stream.seek(0)
            with Image.open(stream, formats=[kind[0]]) as image:
                is_upright = image.getexif().get(_ORIENTATION, 1) in (0, 1)
                if jpeg is not None and jpeg.is_baseline and is_upright:
                    _encapsulated(dataset, jpeg, source.read(0, source.size))
                else:
                    _native(dataset, _decoded(image))
        if jpeg is not None and jpeg.is_lossy:
            dataset.LossyImageCompression = "01"
            dataset.LossyImageCompressionMethod = "ISO_10918_1"
            ratio = dataset.Rows * dataset.Columns * dataset.SamplesPerPixel / max(1, source.size)
            dataset.LossyImageCompressionRatio = f"{ratio:.3g}"
    _write(dataset, target)
    return {}, b""


def _described(wrapping: dict[str, Any]) -> Dataset:
    dataset = Dataset()
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = SECONDARY_CAPTURE
    for keyword, name in _TEXTS.items():
        setattr(dataset, keyword, wrapping[name])
    dataset.SeriesNumber, dataset.InstanceNumber = wrapping["series_number"], wrapping["instance_number"]
    for keyword in ("ReferringPhysicianName", "StudyID", "Manufacturer", "PatientOrientation", "Laterality"):
        setattr(dataset, keyword, "")
    dataset.ConversionType = "WSD"  # a workstation: the picture came as a file
    dataset.BurnedInAnnotation = "YES"  # nobody has looked: whoever removes names must
    return dataset


def _encapsulated(dataset: Dataset, jpeg: Jpeg, raw: bytes) -> None:
    """The very bytes of the file."""
    _layout(dataset, jpeg.height, jpeg.width, jpeg.components, 8)
    dataset.PhotometricInterpretation = jpeg.photometric
    dataset.PixelData = encapsulate([raw], has_bot=True)
    dataset["PixelData"].VR = "OB"
    dataset["PixelData"].is_undefined_length = True
    _meta(dataset, JPEG_BASELINE)


def _decoded(image: Image.Image) -> Image.Image:
    try:
        image.load()
    except (OSError, SyntaxError, ValueError, EOFError):
        raise RefusalError("codec", "the picture could not be decoded") from None
    return image


def _native(dataset: Dataset, image: Image.Image) -> None:
    upright = ImageOps.exif_transpose(image)
    bits = 16 if upright.mode.startswith("I") else 8
    if bits == 16:
        plain = upright.convert("I;16")
    elif upright.mode in ("1", "L"):
        plain = upright.convert("L")
    elif upright.mode in ("LA", "RGBA", "PA", "P") or "transparency" in upright.info:
        plain = _on_white(upright)
    else:
        plain = upright.convert("RGB")
    samples = 3 if plain.mode == "RGB" else 1
    _layout(dataset, plain.height, plain.width, samples, bits)
    dataset.PhotometricInterpretation = "RGB" if samples == 3 else "MONOCHROME2"
    raw = plain.tobytes()
    dataset.PixelData = raw + b"\x00" * (len(raw) % 2)
    dataset["PixelData"].VR = "OW" if bits == 16 else "OB"
    _meta(dataset, EXPLICIT_LITTLE)


def _on_white(image: Image.Image) -> Image.Image:
    is_grey = image.mode == "LA"
    seen = image.convert("RGBA")
    white = Image.new("RGBA", seen.size, "white")
    return Image.alpha_composite(white, seen).convert("L" if is_grey else "RGB")


def _layout(dataset: Dataset, rows: int, columns: int, samples: int, bits: int) -> None:
    if max(rows, columns) > 65_535:
        raise RefusalError("pixels", "it has more rows or columns than DICOM can say")
    dataset.Rows, dataset.Columns, dataset.SamplesPerPixel = rows, columns, samples
    dataset.BitsAllocated = dataset.BitsStored = bits
    dataset.HighBit, dataset.PixelRepresentation = bits - 1, 0
    if samples > 1:
        dataset.PlanarConfiguration = 0


def _meta(dataset: Dataset, syntax: str) -> None:
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = UID(SECONDARY_CAPTURE)
    meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    meta.TransferSyntaxUID = UID(syntax)
    meta.ImplementationClassUID = UID(IMPLEMENTATION_UID)
    meta.ImplementationVersionName = "LABWIRE"
    dataset.file_meta = meta


def _write(dataset: Dataset, target: str) -> None:
    fd = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(fd, "wb") as stream:
            dataset.save_as(stream, enforce_file_format=True)
    except BaseException:
        os.unlink(target)
        raise
