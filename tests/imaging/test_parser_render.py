"""A frame is shown as a viewer of DICOM shows it: window, scale, colours, proportions."""

import io
from collections.abc import Iterator
from pathlib import Path
from struct import pack
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image
from pydicom.dataset import Dataset

from models.imaging.ports import NotAnImageError, Rendering
from tasks.clients.dicom.pool import ParserPool
from tests.imaging import dicom_bytes as d
from tests.imaging.parser_use import shown

pytestmark = pytest.mark.contract
RAMP = np.arange(24, dtype=np.int16).reshape(4, 6) * 40
"""From 0 to 920."""


@pytest.fixture(scope="module")
def parsers() -> Iterator[ParserPool]:
    made = ParserPool(1, memory_mb=1024, seconds=30)
    yield made
    made.close()


def grey(path: Path, pixels: NDArray[Any] = RAMP, syntax: str = d.EXPLICIT, **changes: Any) -> Path:
    bits = pixels.dtype.itemsize * 8
    layout = {"BitsAllocated": bits, "BitsStored": bits, "HighBit": bits - 1}
    signed = int(pixels.dtype.kind == "i")
    order = pixels.astype(pixels.dtype.newbyteorder(">" if syntax == d.BIG else "<"))
    made = d.dataset(PixelData=order.tobytes(), PixelRepresentation=signed, **(layout | changes))
    return d.saved(path, made, syntax)


def test_without_a_window_the_whole_range_is_shown(parsers: ParserPool, tmp_path: Path) -> None:
    assert np.abs(shown(parsers, grey(tmp_path / "a", RAMP - 500)) - RAMP / 920 * 255).max() <= 1


def windowed(values: NDArray[Any], center: float, width: float) -> NDArray[Any]:
    """PS3.3, C.11.2.1.2.1, word for word."""
    out = np.zeros(values.shape)
    low, high = center - 0.5 - (width - 1) / 2, center - 0.5 + (width - 1) / 2
    for at, x in np.ndenumerate(values):
        out[at] = 0 if x <= low else 255 if x > high else ((x - (center - 0.5)) / (width - 1) + 0.5) * 255
    return out


def test_the_files_first_window_is_used(parsers: ParserPool, tmp_path: Path) -> None:
    path = grey(tmp_path / "a", WindowCenter=[400, 40], WindowWidth=[300, 20])
    assert np.abs(shown(parsers, path) - windowed(RAMP, 400, 300)).max() <= 1


def test_a_window_that_is_asked_for_comes_first(parsers: ParserPool, tmp_path: Path) -> None:
    path = grey(tmp_path / "a", WindowCenter=400, WindowWidth=300)
    asked = Rendering(window_center=100, window_width=50)
    assert np.abs(shown(parsers, path, asked) - windowed(RAMP, 100, 50)).max() <= 1


def test_windows_are_in_the_units_of_the_modality(parsers: ParserPool, tmp_path: Path) -> None:
    path = grey(tmp_path / "a", RescaleSlope="2", RescaleIntercept="-1024", WindowCenter=40, WindowWidth=400)
    assert np.abs(shown(parsers, path) - windowed(RAMP * 2.0 - 1024, 40, 400)).max() <= 1


def test_the_window_of_a_frame_lies_in_its_functional_group(parsers: ParserPool, tmp_path: Path) -> None:
    def group(center: int) -> Dataset:
        voi, made = Dataset(), Dataset()
        voi.WindowCenter, voi.WindowWidth = center, 100
        made.FrameVOILUTSequence = [voi]
        return made

    both = np.concatenate([RAMP, RAMP])
    path = grey(tmp_path / "a", both, NumberOfFrames=2, PerFrameFunctionalGroupsSequence=[group(100), group(700)])
    assert np.abs(shown(parsers, path, Rendering(frame=2)) - windowed(RAMP, 700, 100)).max() <= 1
    assert np.abs(shown(parsers, path, Rendering(frame=1)) - windowed(RAMP, 100, 100)).max() <= 1


def test_monochrome1_is_shown_the_other_way_round(parsers: ParserPool, tmp_path: Path) -> None:
    plain = shown(parsers, grey(tmp_path / "a"))
    turned = shown(parsers, grey(tmp_path / "b", PhotometricInterpretation="MONOCHROME1"))
    assert np.array_equal(turned, 255 - plain)


@pytest.mark.parametrize("syntax", [d.IMPLICIT, d.EXPLICIT, d.BIG, d.DEFLATED])
@pytest.mark.parametrize("kind", ["u1", "u2", "i2"])
def test_every_encoding_and_width_shows_the_same(parsers: ParserPool, tmp_path: Path, syntax: str, kind: str) -> None:
    found = shown(parsers, grey(tmp_path / "a", (RAMP // 8).astype(kind), syntax))
    assert np.abs(found - RAMP / 920 * 255).max() <= 1


def test_a_palette_is_applied(parsers: ParserPool, tmp_path: Path) -> None:
    tables = [np.array([0, 1, 2, 3], np.uint16) * 256 * factor for factor in (10, 20, 40)]
    palette: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for colour, table in zip(("Red", "Green", "Blue"), tables, strict=True):
        palette[f"{colour}PaletteColorLookupTableDescriptor"] = [4, 5, 16]
        palette[f"{colour}PaletteColorLookupTableData"] = table.tobytes()
    pixels = np.tile(np.array([4, 5, 6, 7, 8, 9], np.uint8), (4, 1))  # below, within, above
    found = shown(parsers, grey(tmp_path / "a", pixels, **palette))
    assert found[0].tolist() == [[0, 0, 0], [0, 0, 0], [10, 20, 40], [20, 40, 80], [30, 60, 120], [30, 60, 120]]


@pytest.mark.parametrize("planar", [0, 1])
def test_colours_are_shown_as_they_are(parsers: ParserPool, tmp_path: Path, planar: int) -> None:
    rgb = np.arange(72, dtype=np.uint8).reshape(4, 6, 3)
    raw = rgb if planar == 0 else np.moveaxis(rgb, 2, 0)
    changes: dict[str, Any] = {"SamplesPerPixel": 3, "PlanarConfiguration": planar, "PhotometricInterpretation": "RGB"}
    path = grey(tmp_path / "a", np.ascontiguousarray(raw), **changes)
    assert np.array_equal(shown(parsers, path), rgb)


def test_luminance_and_colour_are_shown_as_red_green_blue(parsers: ParserPool, tmp_path: Path) -> None:
    ybr = np.tile(np.array([76, 85, 255], np.uint8), (4, 6, 1))
    changes: dict[str, Any] = {"SamplesPerPixel": 3, "PlanarConfiguration": 0, "PhotometricInterpretation": "YBR_FULL"}
    assert np.abs(shown(parsers, grey(tmp_path / "a", ybr, **changes)) - [254, 0, 0]).max() <= 2


@pytest.mark.parametrize(("viewport", "size"), [((3, 100), (3, 2)), ((100, 2), (3, 2)), ((12, 12), (12, 8))])
def test_a_picture_keeps_its_proportions_in_the_viewport(
    parsers: ParserPool, tmp_path: Path, viewport: tuple[int, int], size: tuple[int, int]
) -> None:
    picture = parsers.render(grey(tmp_path / "a"), Rendering(viewport=viewport))
    assert Image.open(io.BytesIO(picture)).size == size


def test_either_kind_of_picture_is_made(parsers: ParserPool, tmp_path: Path) -> None:
    path = grey(tmp_path / "a", np.tile(RAMP, (20, 20)), Rows=80, Columns=120)
    assert parsers.render(path, Rendering()).startswith(b"\x89PNG")
    fine = parsers.render(path, Rendering(mime_type="image/jpeg", quality=95))
    coarse = parsers.render(path, Rendering(mime_type="image/jpeg", quality=10))
    assert fine.startswith(b"\xff\xd8\xff")
    assert len(coarse) < len(fine)


def test_padding_does_not_darken_the_rest(parsers: ParserPool, tmp_path: Path) -> None:
    pixels = RAMP.copy()
    pixels[0, 0] = -32768
    made = d.dataset(PixelData=pixels.tobytes(), PixelRepresentation=1)
    made.add_new(0x00280120, "SS", -32768)
    found = shown(parsers, d.saved(tmp_path / "a", made))
    assert np.abs(found[3] - (RAMP[3] - 40) / 880 * 255).max() <= 1


def test_not_even_infinite_pixels_stop_it(parsers: ParserPool, tmp_path: Path) -> None:
    made = d.dataset(BitsAllocated=32, BitsStored=None, HighBit=None, PixelData=None, PixelRepresentation=None)
    made.FloatPixelData = pack("<24f", float("nan"), float("inf"), *range(22))
    assert shown(parsers, d.saved(tmp_path / "a", made)).shape == (4, 6)


def rule_of(parsers: ParserPool, path: Path, rendering: Rendering | None = None) -> str:
    with pytest.raises(NotAnImageError) as caught:
        parsers.render(path, rendering or Rendering())
    return caught.value.rule


def test_what_cannot_be_shown_says_why(parsers: ParserPool, tmp_path: Path) -> None:
    assert rule_of(parsers, d.saved(tmp_path / "a", d.dataset(PixelData=None))) == "no_pixels"
    assert rule_of(parsers, grey(tmp_path / "b"), Rendering(frame=2)) == "frame"
    assert rule_of(parsers, grey(tmp_path / "c", Rows=None)) == "frame"
    garbage = d.item(b"") + d.item(b"\xff\xd8\xff" + b"garbage!" * 9 + b"\x00") + d.SEQUENCE_END + bytes(4)
    made = d.dataset(BitsAllocated=8, BitsStored=8, HighBit=7, PixelData=garbage[:-8])
    made["PixelData"].VR, made["PixelData"].is_undefined_length = "OB", True
    assert rule_of(parsers, d.saved(tmp_path / "d", made, d.JPEG)) == "codec"
    unknown = d.encoded(made, d.JPEG).replace(d.JPEG.encode(), b"1.2.840.10008.1.2.4.99")
    assert rule_of(parsers, d.written(tmp_path / "e", unknown)) == "codec"
