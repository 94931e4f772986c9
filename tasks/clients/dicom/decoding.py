"""One frame's pixels as an array, by the codecs of pydicom, Pillow and GDCM; colours as RGB."""

import logging
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import config
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.uid import ExplicitVRBigEndian, ExplicitVRLittleEndian

from tasks.clients.dicom.attributes import Look
from tasks.clients.dicom.dicom_file import DicomFile
from tasks.clients.dicom.frames import frame_bytes, pixel_element
from tasks.clients.dicom.model import DOUBLE_PIXELS, FLOAT_PIXELS
from tasks.clients.dicom.refusal import RefusalError

KEYWORDS = {FLOAT_PIXELS: "FloatPixelData", DOUBLE_PIXELS: "DoubleFloatPixelData"}

config.settings.reading_validation_mode = config.IGNORE
logging.disable(logging.CRITICAL)  # messages of libraries quote values


def decoded(file: DicomFile, look: Look, frame: int) -> NDArray[Any]:
    """Rows and columns, of colour pictures also red, green and blue; RefusalError `codec`, `no_pixels`, `frame`."""
    raw = frame_bytes(file, frame)
    element = pixel_element(file)
    if element is None or not (look.layout.rows and look.layout.columns and look.layout.bits):
        raise RefusalError("no_pixels", "the file does not say how its pixels are laid out")
    syntax = file.syntax
    if element.fragments is not None:
        raw = encapsulate([raw], has_bot=False)
    else:
        syntax = ExplicitVRLittleEndian if file.is_little else ExplicitVRBigEndian
    warnings.simplefilter("ignore")
    try:
        decoder = get_decoder(syntax)
        pixels, _ = decoder.as_array(
            raw, index=0, validate=True, **_options(look, KEYWORDS.get(element.tag, "PixelData"), element.vr)
        )
        return np.asarray(pixels)
    except MemoryError:
        raise
    except Exception as reason:  # noqa: BLE001 # codecs raise what they like; its message could quote the file
        raise RefusalError("codec", f"the frame could not be decoded ({type(reason).__name__})") from None


def _options(look: Look, keyword: str, vr: str) -> dict[str, Any]:
    layout = look.layout
    options: dict[str, Any] = {
        "rows": layout.rows,
        "columns": layout.columns,
        "samples_per_pixel": layout.samples,
        "bits_allocated": layout.bits,
        "bits_stored": look.stored_bits,
        "number_of_frames": 1,
        "photometric_interpretation": layout.photometric,
        "pixel_keyword": keyword,
        "pixel_vr": vr if vr in ("OB", "OW") else "OW",
    }
    if keyword == "PixelData":
        options["pixel_representation"] = int(look.is_signed)
    if layout.samples > 1:
        options["planar_configuration"] = int(look.is_planar)
    return options
