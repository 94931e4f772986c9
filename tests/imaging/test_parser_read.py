"""What is read of a DICOM file, and what is refused by which rule."""

import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydicom.dataset import Dataset

from models.imaging.ports import Instance, MissingObjectError, NotAnImageError
from tasks.clients.dicom.pool import ParserPool
from tests.imaging import dicom_bytes as d

pytestmark = pytest.mark.contract
LONG_TEXTS = (
    *(0x00080070, 0x00080080, 0x00081010, 0x00081030, 0x0008103E, 0x00081090),
    *(0x00181000, 0x00181020, 0x00181030, 0x00204000, 0x00321060, 0x00400254),
)
ELEMENTS = d.element(0x00100010, "PN", b"Doe^Jane")


@pytest.fixture(scope="module")
def parsers() -> Iterator[ParserPool]:
    made = ParserPool(1, memory_mb=512, seconds=30)
    yield made
    made.close()


def read(parsers: ParserPool, path: Path) -> Instance:
    found = parsers.read(path)
    assert isinstance(found, Instance)
    return found


def refused(parsers: ParserPool, path: Path) -> NotAnImageError:
    with pytest.raises(NotAnImageError) as caught:
        parsers.read(path)
    return caught.value


def test_the_fields_of_a_file_are_read(parsers: ParserPool, tmp_path: Path) -> None:
    made = d.dataset(
        PatientName="Adeyemi^Bola",
        PatientID="P-17 ",
        PatientBirthDate="19800131",
        PatientSex="F",
        AccessionNumber="A1",
        StudyID="S1",
        StudyDate="20260201",
        StudyTime="101530.5",
        StudyDescription="Chest",
        ReferringPhysicianName="Doe^Jane",
        SeriesNumber=3,
        SeriesDescription="Axial",
        BodyPartExamined="CHEST",
        InstanceNumber=12,
        NumberOfFrames=1,
        WindowCenter=[40, 300],
        WindowWidth=[400, 1500],
        RescaleSlope="1.5",
    )
    assert read(parsers, d.saved(tmp_path / "a", made)) == Instance(
        study_uid=d.STUDY,
        series_uid=d.SERIES,
        image_uid=d.IMAGE,
        sop_class_uid=d.CT,
        transfer_syntax_uid=d.EXPLICIT,
        patient_name="Adeyemi^Bola",
        patient_code="P-17",
        patient_birth_date="19800131",
        patient_sex="F",
        accession_number="A1",
        study_id="S1",
        study_date="20260201",
        study_time="101530.5",
        study_description="Chest",
        referring_physician="Doe^Jane",
        modality="CT",
        series_number=3,
        series_description="Axial",
        body_part="CHEST",
        instance_number=12,
        rows=4,
        columns=6,
        tags={
            "SOPInstanceUID": d.IMAGE,
            "StudyInstanceUID": d.STUDY,
            "SeriesInstanceUID": d.SERIES,
            "PatientName": "Adeyemi^Bola",
            "PatientID": "P-17",
            "PatientBirthDate": "19800131",
            "PatientSex": "F",
            "AccessionNumber": "A1",
            "StudyID": "S1",
            "StudyDate": "20260201",
            "StudyTime": "101530.5",
            "StudyDescription": "Chest",
            "ReferringPhysicianName": "Doe^Jane",
            "Modality": "CT",
            "SeriesNumber": 3,
            "SeriesDescription": "Axial",
            "BodyPartExamined": "CHEST",
            "InstanceNumber": 12,
            "NumberOfFrames": 1,
            "Rows": 4,
            "Columns": 6,
            "SamplesPerPixel": 1,
            "PhotometricInterpretation": "MONOCHROME2",
            "BitsAllocated": 16,
            "BitsStored": 16,
            "PixelRepresentation": 0,
            "WindowCenter": [40, 300],
            "WindowWidth": [400, 1500],
            "RescaleSlope": 1.5,
        },
    )


@pytest.mark.parametrize("syntax", [d.IMPLICIT, d.EXPLICIT, d.BIG, d.DEFLATED])
def test_every_encoding_says_the_same(parsers: ParserPool, tmp_path: Path, syntax: str) -> None:
    found = read(parsers, d.saved(tmp_path / "a", d.dataset(PatientName="Doe^J", SeriesNumber=7), syntax))
    assert (found.patient_name, found.series_number, found.rows, found.transfer_syntax_uid) == ("Doe^J", 7, 4, syntax)


@pytest.mark.parametrize(
    ("charset", "raw", "name"),
    [
        (b"ISO_IR 100", b"Buc^J\xe9r\xf4me", "Buc^Jérôme"),
        (b"ISO_IR 192", "Ọlá^Bọ́lá".encode(), "Ọlá^Bọ́lá"),
        (b"GB18030", "王^小东".encode("gb18030"), "王^小东"),
        (b"ISO_IR 144", "Люк".encode("iso8859_5"), "Люк"),
        (b"ISO 2022 IR 100\\ISO 2022 IR 144", b"J\xe9\\x", "Jé"),
        (b"\\ISO 2022 IR 87", b"\x1b$B;3ED\x1b(B^\x1b$BB@O:\x1b(B", "山田^太郎"),
        (b"UTF-SEVENTEEN", b"J\xe9r", "Jér"),
        (b"", b"J\xe9r", "Jér"),
        (b"ISO_IR 192", b"J\xe9r", "J�r"),
    ],
)
def test_names_are_decoded_by_the_charset_and_never_fail(
    parsers: ParserPool, tmp_path: Path, charset: bytes, raw: bytes, name: str
) -> None:
    charset_element = d.element(0x00080005, "CS", charset + b" " * (len(charset) % 2))
    path = d.written(tmp_path / "a", d.meta(), charset_element, d.uids(), d.element(0x00100010, "PN", raw))
    assert read(parsers, path).patient_name == name


def test_the_alphabetic_name_is_the_name_and_the_others_are_kept(parsers: ParserPool, tmp_path: Path) -> None:
    made = d.dataset(SpecificCharacterSet="ISO_IR 192", PatientName="Yamada^Tarou=山田^太郎=やまだ^たろう")
    found = read(parsers, d.saved(tmp_path / "a", made))
    assert found.patient_name == "Yamada^Tarou"
    assert found.tags["PatientName"] == "Yamada^Tarou=山田^太郎=やまだ^たろう"


@pytest.mark.parametrize(
    "day", [b"2026.02.01", b"20260231", b"202602", b"yesterday", b"\xb2\xb2\xb2\xb2\xb2\xb2\xb2\xb2"]
)
def test_what_is_no_date_is_left_empty(parsers: ParserPool, tmp_path: Path, day: bytes) -> None:
    path = d.written(tmp_path / "a", d.meta(), d.element(0x00080020, "DA", day), d.uids())
    assert read(parsers, path).study_date == ""


def test_texts_hold_nothing_postgresql_refuses(parsers: ParserPool, tmp_path: Path) -> None:
    charset = d.element(0x00080005, "CS", b"ISO_IR 192")
    bad = d.element(0x00081030, "LO", b"a\x00b\x07c\x1bd \r\n e\xed\xa0\x80\xef\xbf\xbf\x7f")
    text = read(parsers, d.written(tmp_path / "a", d.meta(), charset, bad, d.uids())).study_description
    assert text.startswith("abcd")
    assert not re.search("[\x00-\x1f\x7f-\x9f\ud800-\udfff\uffff]", text)


def test_tags_are_bounded_and_finite(parsers: ParserPool, tmp_path: Path) -> None:
    parts = [
        d.element(0x00281053, "DS", b"NaN"),
        d.element(0x00281052, "DS", b"1e999"),
        d.element(0x00180060, "FD", b"\xff" * 8),
    ]
    parts += [d.element(tag, "UT", b"x" * 60_000) for tag in LONG_TEXTS]
    parts.append(d.element(0x00080008, "CS", b"\\".join([b"y" * 900] * 60)))
    tags = read(parsers, d.written(tmp_path / "a", d.meta(), d.uids(), *parts)).tags
    assert len(json.dumps(tags, allow_nan=False)) < 17_500
    assert max(len(value) for value in tags.values() if isinstance(value, str)) <= 1000
    assert "KVP" not in tags


@pytest.mark.parametrize(
    "preamble",
    [b"MZ\x90", b"\x7fELF\x02", b"#!/bin/sh\n", b"\xca\xfe\xba\xbe", b"\xcf\xfa\xed\xfe", b"\xfe\xed\xfa\xce"],
)
def test_a_preamble_that_could_be_run_is_refused(parsers: ParserPool, tmp_path: Path, preamble: bytes) -> None:
    path = d.written(tmp_path / "a", d.meta(preamble=preamble), d.uids())
    assert refused(parsers, path).rule == "executable"


@pytest.mark.parametrize("preamble", [b"", b"II*\x00", b"MM\x00*", b"anything else"])
def test_any_other_preamble_is_taken(parsers: ParserPool, tmp_path: Path, preamble: bytes) -> None:
    assert read(parsers, d.written(tmp_path / "a", d.meta(preamble=preamble), d.uids())).study_uid == d.STUDY


@pytest.mark.parametrize(
    "content", [b"", b"DICM", d.uids(), b"GIF89a" + b"x" * 500, b"%PDF-1.7" + b" " * 200, b"\x00" * 4000]
)
def test_what_is_no_image_is_refused(parsers: ParserPool, tmp_path: Path, content: bytes) -> None:
    assert refused(parsers, d.written(tmp_path / "a.dcm", content)).rule == "not_an_image"


SOME = d.element(0x00080060, "CS", b"CT")
TRUNCATED = {
    "pixels": d.element(0x7FE00010, "OW", b"1234", length=6),
    "four_gigabytes": d.element(0x7FE00010, "OB", b"1234", length=0xFFFFFFF0),
    "text": d.element(0x00204000, "LT", b"1234", length=600),
    "header": d.element(0x7FE00010, "OB", b"")[:-2],
    "no_fragments": d.element(0x7FE00010, "OB", b"", length=d.UNDEFINED),
    "fragment": d.element(0x7FE00010, "OB", d.item(b"") + d.item(b"12", length=900), length=d.UNDEFINED),
    "open_fragments": d.element(0x7FE00010, "OB", d.item(b"") + d.item(b"12"), length=d.UNDEFINED),
    "not_a_fragment": d.element(0x7FE00010, "OB", d.item(b"") + SOME * 5, length=d.UNDEFINED),
    "sequence": d.element(0x00081140, "SQ", d.item(SOME), length=500),
    "item": d.element(0x00081140, "SQ", d.item(SOME, length=60)),
    "nested": d.element(0x00081140, "SQ", d.item(d.element(0x00080060, "CS", b"CT", length=40))),
    "open_sequence": d.element(0x00081140, "SQ", d.item(SOME), length=d.UNDEFINED),
    "open_item": d.element(0x00081140, "SQ", d.item(SOME, length=d.UNDEFINED)),
    "stray_delimiter": d.ITEM_END + b"\x00" * 4,
    "text_without_length": d.element(0x00204000, "UT", b"1234", length=d.UNDEFINED),
}


@pytest.mark.parametrize("what", TRUNCATED)
def test_declared_lengths_lie_within_the_file(parsers: ParserPool, tmp_path: Path, what: str) -> None:
    assert refused(parsers, d.written(tmp_path / "a", d.meta(), d.uids(), TRUNCATED[what])).rule == "length"


def test_a_deflated_dataset_must_be_whole(parsers: ParserPool, tmp_path: Path) -> None:
    packer = zlib.compressobj(wbits=-15)
    packed = packer.compress(d.uids() + ELEMENTS) + packer.flush()
    assert read(parsers, d.written(tmp_path / "a", d.meta(d.DEFLATED), packed)).patient_name == "Doe^Jane"
    assert refused(parsers, d.written(tmp_path / "b", d.meta(d.DEFLATED), packed[:-6])).rule == "length"
    assert refused(parsers, d.written(tmp_path / "c", d.meta(d.DEFLATED), b"\xff" * 60)).rule == "length"


@pytest.mark.parametrize("which", ["study", "series", "image"])
@pytest.mark.parametrize("value", ["", "1.02.3", "1.2.3 4", "x", "1." + "2" * 70, "1.2\\1.3", "1..2"])
def test_every_uid_must_be_there_and_valid(parsers: ParserPool, tmp_path: Path, which: str, value: str) -> None:
    assert refused(parsers, d.written(tmp_path / "a", d.meta(), d.uids(**{which: value}))).rule == "uids"


def test_the_padding_of_a_uid_is_no_part_of_it(parsers: ParserPool, tmp_path: Path) -> None:
    path = d.written(tmp_path / "a", d.meta(), d.uids(study="1.2.3\x00", series="1.2.4 "))
    found = read(parsers, path)
    assert (found.study_uid, found.series_uid) == ("1.2.3", "1.2.4")


def test_a_directory_of_images_is_refused(parsers: ParserPool, tmp_path: Path) -> None:
    path = d.written(tmp_path / "DICOMDIR", d.meta(sop_class="1.2.840.10008.1.3.10"), SOME)
    assert refused(parsers, path).rule == "dicomdir"


def test_a_file_that_is_not_there_or_no_file_is_told_apart(parsers: ParserPool, tmp_path: Path) -> None:
    with pytest.raises(MissingObjectError):
        parsers.read(tmp_path / "none")
    assert refused(parsers, tmp_path).rule == "not_an_image"


def test_pixels_within_items_are_walked_and_not_mistaken(parsers: ParserPool, tmp_path: Path) -> None:
    icon = Dataset()
    icon.Rows, icon.Columns, icon.PixelData = 9, 9, b"\x00" * 81 + b"\x00"
    icon["PixelData"].VR = "OB"
    made: dict[str, Any] = {"IconImageSequence": [icon]}
    assert read(parsers, d.saved(tmp_path / "a", d.dataset(**made))).rows == 4


def test_messages_quote_nothing_of_the_file(parsers: ParserPool, tmp_path: Path) -> None:
    name = d.element(0x00100010, "PN", b"Canary^Name")
    for number, tail in enumerate((TRUNCATED["text"], TRUNCATED["nested"], d.element(0x0020000D, "UI", b"Canary"))):
        error = refused(parsers, d.written(tmp_path / str(number), d.meta(), d.uids(), name, tail))
        assert "Canary" not in str(error)
        assert str(tmp_path) not in str(error)
