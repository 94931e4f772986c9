"""`render` inside a parser process: one frame as a PNG or JPEG that a browser shows."""

import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tasks.clients.dicom.attributes import Look, Lookup, Table
from tasks.clients.dicom.decoding import decoded
from tasks.clients.dicom.frames import Layout
from tasks.clients.dicom.limits import refuse_more_pixels
from tasks.clients.dicom.picture import BYTES_OF_COLOUR
from tasks.clients.dicom.reading import dicom, opened
from tasks.clients.dicom.refusal import RefusalError

JPEG = "image/jpeg"
JPEG_2000 = ("1.2.840.10008.1.2.4.9", "1.2.840.10008.1.2.4.20")
STRIP_PIXELS = 2**20
Pixels = NDArray[Any]


def render(path: str, wanted: dict[str, Any]) -> tuple[Any, bytes]:
    """The fields of `Rendering` by name."""
    with opened(path) as source, dicom(source) as file:
        lookup = Lookup(file, wanted["frame"])
        look = lookup.look()
        refuse_more_pixels(look.layout.columns, look.layout.rows, _bytes_of_one(look.layout, file.syntax))
        pixels = decoded(file, look, wanted["frame"])
        palettes = lookup.palettes() if look.layout.photometric == "PALETTE COLOR" else None
    image = Image.fromarray(_shown(pixels, look, palettes, _window(wanted)))
    if wanted["viewport"]:
        image = _fitted(image, *wanted["viewport"])
    out = io.BytesIO()
    if wanted["mime_type"] == JPEG:
        image.save(out, "JPEG", quality=max(1, min(100, wanted["quality"])))
    else:
        image.save(out, "PNG", compress_level=1)
    return {}, out.getvalue()


def _bytes_of_one(layout: Layout, syntax: str) -> float:
    """Of memory for each pixel while it is decoded and shown; measured, and some more."""
    sample = max(1, layout.bits / 8)
    wavelets = 12 if syntax.startswith(JPEG_2000) else 0
    if layout.photometric == "PALETTE COLOR":
        return 12 + 4 * sample + wavelets
    return wavelets + (6 + 2 * sample if layout.samples == 1 else BYTES_OF_COLOUR * (1 + (sample - 1) / 2))


def _window(wanted: dict[str, Any]) -> tuple[float, float] | None:
    center, width = wanted["window_center"], wanted["window_width"]
    return None if center is None or width is None or width <= 0 else (center, width)


def _fitted(image: Image.Image, columns: int, rows: int) -> Image.Image:
    """At most so large, in its proportions; never larger than it is by more than the viewport asks."""
    scale = min(columns / image.width, rows / image.height)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)


def _shown(
    pixels: Pixels, look: Look, palettes: list[Table] | None, window: tuple[float, float] | None
) -> NDArray[np.uint8]:
    if pixels.ndim == 3:
        return _bytes_of_colour(pixels, look.stored_bits)
    if look.layout.photometric == "PALETTE COLOR":
        if palettes is None:
            raise RefusalError("codec", "its palette is missing or written in segments")
        return _by_strips(pixels, lambda strip: np.stack([_colour(strip, each) for each in palettes], axis=-1))
    bounds = None if window or look.voi or look.window else _bounds(pixels, look)
    shown = _by_strips(pixels, lambda strip: _grey(strip, look, window, bounds))
    return 255 - shown if look.layout.photometric == "MONOCHROME1" else shown


def _strips(pixels: Pixels) -> Iterator[Pixels]:
    """Some rows at a time: what is computed of each pixel takes several times its memory."""
    rows = max(1, STRIP_PIXELS // max(1, pixels.shape[1]))
    return (pixels[start : start + rows] for start in range(0, len(pixels), rows))


def _by_strips(pixels: Pixels, make: Callable[[Pixels], NDArray[np.uint8]]) -> NDArray[np.uint8]:
    shown: NDArray[np.uint8] | None = None
    at = 0
    for strip in _strips(pixels):
        made = make(strip)
        if shown is None:
            shown = np.empty((len(pixels), *made.shape[1:]), np.uint8)
        shown[at : at + len(made)] = made
        at += len(made)
    return np.empty(pixels.shape, np.uint8) if shown is None else shown


def _bytes_of_colour(pixels: Pixels, stored_bits: int) -> NDArray[np.uint8]:
    return (pixels >> max(0, stored_bits - 8)).astype(np.uint8) if stored_bits > 8 else pixels.astype(np.uint8)


def _colour(pixels: Pixels, palette: Table) -> NDArray[np.uint8]:
    """The colour's part; tables of 16 bits are shown by their upper 8."""
    found = _mapped(pixels, palette)
    return (found >> 8 if palette.bits > 8 else found).astype(np.uint8)


def _mapped(values: Pixels, table: Table) -> Pixels:
    """What the table has for each value; its ends for those beyond (PS3.3, C.7.6.3.1.5)."""
    order = "<" if table.is_little else ">"
    entries = np.frombuffer(table.data[: len(table.data) // table.size * table.size], f"{order}u{table.size}")
    found: Pixels = entries[np.clip(np.rint(values).astype(np.int64) - table.first, 0, entries.size - 1)]
    return found


def _bounds(pixels: Pixels, look: Look) -> tuple[float, float]:
    """The least and the greatest value, padding left out, in the units of the modality."""
    found = []
    for strip in _strips(pixels):
        kept = strip[strip != look.padding] if look.padding is not None else strip
        if kept.size:
            values = _of_modality(kept, look)
            found += [float(values.min()), float(values.max())]
    return (min(found), max(found)) if found else (0.0, 0.0)


def _of_modality(pixels: Pixels, look: Look) -> NDArray[np.float32]:
    if look.modality is not None:
        return _mapped(pixels, look.modality).astype(np.float32)
    return pixels.astype(np.float32) * np.float32(look.slope) + np.float32(look.intercept)


def _grey(
    pixels: Pixels, look: Look, asked: tuple[float, float] | None, bounds: tuple[float, float] | None
) -> NDArray[np.uint8]:
    function = look.function if asked is None else "LINEAR"
    window = asked or look.window
    values = _of_modality(pixels, look)
    if look.voi is not None and asked is None:
        shown = _mapped(values, look.voi) * np.float32(255 / (2 ** max(1, min(16, look.voi.bits)) - 1))
    elif window is not None:
        shown = _windowed(values, *window, function)
    else:
        low, high = bounds or (0.0, 0.0)
        shown = (values - low) * (255 / (high - low)) if high > low else values * 0
    shown = np.nan_to_num(np.clip(shown, 0, 255))
    return np.asarray(shown, dtype=np.uint8)


def _windowed(values: NDArray[np.float32], center: float, width: float, function: str) -> Pixels:
    """PS3.3, C.11.2.1.2 and C.11.2.1.3."""
    shown: Pixels
    if function == "SIGMOID":
        shown = 255 / (1 + np.exp(-4 * (values - center) / width))
    elif function == "LINEAR_EXACT":
        shown = ((values - center) / width + 0.5) * 255
    else:
        shown = ((values - (center - 0.5)) / max(width - 1, 1e-6) + 0.5) * 255
    return shown
