"""Lookup tables that a file brings instead of scale and window are used as pydicom uses them."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_modality_lut, apply_voi_lut

from models.imaging.ports import Rendering
from tasks.clients.dicom.pool import ParserPool
from tests.imaging import dicom_bytes as d
from tests.imaging.parser_use import shown

pytestmark = pytest.mark.contract
RAMP = np.arange(24, dtype=np.int16).reshape(4, 6) * 40
"""From 0 to 920."""
SYNTAXES = (d.IMPLICIT, d.EXPLICIT, d.BIG, d.DEFLATED)


@pytest.fixture(scope="module")
def parsers() -> Iterator[ParserPool]:
    made = ParserPool(1, memory_mb=1024, seconds=30)
    yield made
    made.close()


def table(values: NDArray[Any], first: int, bits: int, vr: str, **more: Any) -> Dataset:
    """An item of a sequence of tables, its values in words or in bytes."""
    made = Dataset()
    made.add_new(0x00283002, vr, [len(values) % 65_536, first, bits])
    made.add_new(0x00283006, "OW", values.tobytes())
    for keyword, value in more.items():
        setattr(made, keyword, value)
    return made


def image(pixels: NDArray[Any] = RAMP, **attributes: Any) -> Dataset:
    signed = int(pixels.dtype.kind == "i")
    made = d.dataset(PixelData=pixels.tobytes(), PixelRepresentation=signed, **attributes)
    made["PixelData"].VR = "OW"
    return made


def by_pydicom(path: Path, pixels: NDArray[Any] = RAMP) -> NDArray[Any]:
    read = pydicom.dcmread(path)
    return np.asarray(apply_voi_lut(apply_modality_lut(pixels, read), read, prefer_lut=True))


def in_order(made: Dataset, syntax: str) -> Dataset:
    """Words turned as the transfer syntax wants them: pydicom writes bytes as they are."""
    if syntax == d.BIG:
        for element in made.iterall():
            if element.VR == "OW":
                element.value = np.frombuffer(element.value, "<u2").astype(">u2").tobytes()
    return made


CURVE = (np.sqrt(np.linspace(0, 1, 700)) * 4095).astype("<u2")
"""12 bits, no straight line, for 700 values."""


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_table_of_values_of_interest_is_applied(parsers: ParserPool, tmp_path: Path, syntax: str) -> None:
    made = image(VOILUTSequence=[table(CURVE, 100, 12, "SS")])
    path = d.saved(tmp_path / "a", in_order(made, syntax), syntax)
    expected = by_pydicom(path) / 4095 * 255
    assert np.ptp(expected) > 200
    assert np.abs(shown(parsers, path) - expected).max() <= 1


@pytest.mark.parametrize("syntax", SYNTAXES)
def test_a_table_of_the_modality_comes_before_the_window(parsers: ParserPool, tmp_path: Path, syntax: str) -> None:
    made = image(
        ModalityLUTSequence=[table(CURVE, 100, 16, "SS", ModalityLUTType="OD")], WindowCenter=2000, WindowWidth=3000
    )
    path = d.saved(tmp_path / "a", in_order(made, syntax), syntax)
    expected = by_pydicom(path) / 65_535 * 255  # it shows what is windowed in the table's range
    assert np.ptp(expected) > 200
    assert np.abs(shown(parsers, path) - expected).max() <= 1


def test_without_a_window_the_whole_range_of_the_modalitys_table_is_shown(parsers: ParserPool, tmp_path: Path) -> None:
    turned = table(CURVE[::-1].copy(), 100, 16, "SS", ModalityLUTType="OD")
    values = CURVE[::-1][np.clip(RAMP - 100, 0, 699)].astype(float)
    expected = (values - values.min()) / np.ptp(values) * 255
    assert np.abs(shown(parsers, d.saved(tmp_path / "a", image(ModalityLUTSequence=[turned]))) - expected).max() <= 1


def test_the_table_is_for_what_slope_and_intercept_make(parsers: ParserPool, tmp_path: Path) -> None:
    pixels = RAMP.astype(np.uint16)
    made = image(pixels, RescaleSlope="1", RescaleIntercept="-1000", VOILUTSequence=[table(CURVE, -900, 12, "SS")])
    expected = CURVE[np.clip(RAMP - 1000 + 900, 0, 699)] / 4095 * 255
    for syntax in (d.IMPLICIT, d.EXPLICIT):  # the first says nothing of signs
        assert np.abs(shown(parsers, d.saved(tmp_path / "a", made, syntax)) - expected).max() <= 1


def test_a_table_comes_before_a_window_and_what_is_asked_for_before_both(parsers: ParserPool, tmp_path: Path) -> None:
    plain, both = image(), image(WindowCenter=40, WindowWidth=80, VOILUTSequence=[table(CURVE, 100, 12, "SS")])
    path = d.saved(tmp_path / "a", both)
    expected = by_pydicom(path) / 4095 * 255
    assert np.abs(shown(parsers, path) - expected).max() <= 1
    asked = Rendering(window_center=400, window_width=300)
    assert np.array_equal(shown(parsers, path, asked), shown(parsers, d.saved(tmp_path / "b", plain), asked))


@pytest.mark.parametrize("kind", ["u1", "<u2"])
def test_values_of_eight_bits_may_lie_in_bytes_or_in_words(parsers: ParserPool, tmp_path: Path, kind: str) -> None:
    values = (np.arange(256) ** 2 // 255).astype(kind)
    pixels = (RAMP // 4).astype(np.uint16)
    path = d.saved(tmp_path / "a", image(pixels, VOILUTSequence=[table(values, 0, 8, "US")]))
    assert np.abs(shown(parsers, path) - values[pixels]).max() <= 1


def test_a_table_may_have_a_value_for_every_one_of_sixteen_bits(parsers: ParserPool, tmp_path: Path) -> None:
    whole = np.arange(65_535, -1, -1, dtype="<u2")
    pixels = RAMP.astype(np.uint16) * 70
    path = d.saved(tmp_path / "a", image(pixels, VOILUTSequence=[table(whole, 0, 16, "US")]))
    assert np.abs(shown(parsers, path) - (65_535 - pixels.astype(float)) / 65_535 * 255).max() <= 1


@pytest.mark.parametrize(
    "broken",
    [
        [],
        [Dataset()],
        [table(CURVE[:0], 0, 12, "US")],
        [table(CURVE, 0, 0, "US")],
        [table(CURVE[:3], 65_535, 99, "US")],
    ],
)
def test_what_is_no_table_stops_nothing(parsers: ParserPool, tmp_path: Path, broken: list[Dataset]) -> None:
    for keyword in ("VOILUTSequence", "ModalityLUTSequence"):
        made = image()
        setattr(made, keyword, broken)
        path = d.saved(tmp_path / "a", made)
        assert shown(parsers, path).shape == RAMP.shape


def test_a_table_that_is_shorter_than_it_says_is_used_as_far_as_it_goes(parsers: ParserPool, tmp_path: Path) -> None:
    short = table(CURVE, 100, 12, "SS")
    short[0x00283002].value = [1400, 100, 12]
    expected = CURVE[np.clip(RAMP - 100, 0, 699)] / 4095 * 255
    assert np.abs(shown(parsers, d.saved(tmp_path / "a", image(VOILUTSequence=[short]))) - expected).max() <= 1


def test_a_palette_in_a_file_of_the_other_order_is_read_right(parsers: ParserPool, tmp_path: Path) -> None:
    palette: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR", "BitsAllocated": 16}
    for number, colour in enumerate(("Red", "Green", "Blue"), 1):
        palette[f"{colour}PaletteColorLookupTableDescriptor"] = [4, 0, 16]
        palette[f"{colour}PaletteColorLookupTableData"] = (np.arange(4, dtype="<u2") * 256 * 20 * number).tobytes()
    pixels = np.tile(np.array([0, 1, 2, 3, 3, 0], np.uint16), (4, 1))
    found = [
        shown(parsers, d.saved(tmp_path / "a", in_order(image(pixels, **palette), syntax), syntax))
        for syntax in SYNTAXES
    ]
    assert found[0][0, 1].tolist() == [20, 40, 60]
    assert all(np.array_equal(each, found[0]) for each in found)
