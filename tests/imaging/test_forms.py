"""Upload by a plain form: fields, then files, each with its answer."""

import pytest

from api.imaging import form_reading
from tests.imaging.conftest import Clinic
from tests.imaging.dicoms import ct, picture

pytestmark = pytest.mark.api
ADDRESS = "/api/v1/radiology/images"


def test_files_of_a_form_are_stored_under_the_order_it_names(clinic: Clinic) -> None:
    order_id = clinic.order(clinic.patient())
    files = [("files", (f"{number}.dcm", ct(number))) for number in (1, 2)]
    answer = clinic.technician.post(ADDRESS, data={"radiology_order_id": str(order_id)}, files=files)
    assert answer.status_code == 200, answer.text
    assert [one["success"] for one in answer.json()["files"]] == [True, True]
    assert clinic.rows("SELECT radiology_order_id, image_count FROM radiology_study") == [(order_id, 2)]


def test_each_file_has_its_own_answer(clinic: Clinic) -> None:
    order_id = clinic.order(clinic.patient())
    files = [("files", ("a.dcm", ct())), ("files", ("b.txt", b"words")), ("files", ("c.png", picture("PNG")))]
    answer = clinic.technician.post(ADDRESS, data={"radiology_order_id": str(order_id)}, files=files)
    assert (answer.status_code, answer.json()["stored"], answer.json()["failed"]) == (202, 2, 1)
    assert [one["rule"] for one in answer.json()["files"]] == [None, "not_an_image", None]
    types = [row.mime_type for row in clinic.rows("SELECT mime_type FROM radiology_image ORDER BY id")]
    assert types == ["application/dicom", "image/png"]
    assert len(clinic.rows("SELECT 1 FROM radiology_study")) == 1


def test_a_picture_is_known_by_its_content_whatever_its_name(clinic: Clinic) -> None:
    order_id = clinic.order(clinic.patient())
    files = [("files", ("photo.dcm", picture("PNG"), "application/dicom"))]
    answer = clinic.technician.post(ADDRESS, data={"radiology_order_id": str(order_id)}, files=files)
    assert answer.status_code == 200
    assert clinic.rows("SELECT mime_type FROM radiology_image") == [("image/png",)]


def test_a_file_of_another_patient_than_the_orders_is_held(clinic: Clinic) -> None:
    order_id = clinic.order(clinic.patient())
    files = [("files", ("a.dcm", ct(PatientID="P999")))]
    answer = clinic.technician.post(ADDRESS, data={"radiology_order_id": str(order_id)}, files=files)
    assert (answer.status_code, answer.json()["files"][0]["rule"]) == (409, "patient")
    assert clinic.rows("SELECT state, rule, radiology_order_id FROM image_upload") == [("held", "patient", order_id)]


@pytest.mark.parametrize(
    ("data", "field"),
    [({"radiology_order_id": "x"}, "radiology_order_id"), ({"study_uid": "1.02"}, "study_uid"), ({"odd": "1"}, "odd")],
)
def test_a_wrong_field_is_named(clinic: Clinic, data: dict[str, str], field: str) -> None:
    answer = clinic.technician.post(ADDRESS, data=data, files=[("files", ("a.dcm", ct()))])
    assert (answer.status_code, answer.json()["fields"][0]["field"]) == (422, field)
    assert clinic.technician.post(ADDRESS, data=data).status_code in (400, 422)
    assert clinic.objects() == clinic.spool() == []


@pytest.mark.parametrize("fields", [[("csrf_token", "x" * 4000)] * 30, [("", "")] * 200, [("note", "x")] * 200])
def test_fields_are_bounded_in_number_and_together(clinic: Clinic, fields: list[tuple[str, str]]) -> None:
    files = [("files", ("a.dcm", ct()))]
    answer = clinic.technician.post(ADDRESS, files=[*((name, (None, text)) for name, text in fields), *files])
    assert (answer.status_code, "field" in answer.json()["error"]) == (413, True)
    assert clinic.objects() == clinic.spool() == []


def test_a_form_has_so_many_files_and_no_more(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(form_reading, "MOST_FILES", 2)
    files = [("files", (f"{number}.dcm", ct(number))) for number in (1, 2, 3)]
    assert clinic.technician.post(ADDRESS, files=files[:2]).status_code == 200
    answer = clinic.technician.post(ADDRESS, files=[*files, ("files", ("4.dcm", ct(4)))])
    assert (answer.status_code, answer.json()["stored"], answer.json()["failed"]) == (202, 2, 1)
    assert "more than 2 files" in answer.json()["files"][2]["error"]
    assert len(clinic.objects()) == 2


def test_no_file_no_form_no_right(clinic: Clinic) -> None:
    nothing = clinic.technician.post(ADDRESS, files=[("note", (None, "words"))])
    assert nothing.json()["fields"][0]["field"] == "files"
    assert clinic.technician.post(ADDRESS, json={}).status_code == 400
    assert clinic.doctor.post(ADDRESS, files=[("files", ("a.dcm", ct()))]).status_code == 403
    del clinic.technician.headers["X-CSRF-Token"]
    assert clinic.technician.post(ADDRESS, files=[("files", ("a.dcm", ct(size=2000)))]).status_code == 403


def multipart(*parts: tuple[str, bytes | str]) -> tuple[bytes, dict[str, str]]:
    """A form's body with its parts in this order, a file where the content is bytes; and its headers."""
    body = b""
    for name, content in parts:
        named, is_file = f'form-data; name="{name}"', isinstance(content, bytes)
        disposition = f'{named}; filename="{name}.dcm"' if is_file else named
        written = content if isinstance(content, bytes) else content.encode()
        body += b"--b\r\nContent-Disposition: " + disposition.encode() + b"\r\n\r\n" + written + b"\r\n"
    return body + b"--b--\r\n", {"Content-Type": "multipart/form-data; boundary=b"}


@pytest.mark.parametrize("name", ["radiology_order_id", "patient_id", "odd"])
def test_a_field_after_the_first_file_is_refused_by_its_name(clinic: Clinic, name: str) -> None:
    order_id = clinic.order(clinic.patient())
    body, headers = multipart(("files", ct()), (name, str(order_id)), ("files", ct(2)))
    refused = clinic.technician.post(ADDRESS, content=body, headers=headers)
    assert (refused.status_code, refused.json()["fields"][0]["field"]) == (422, name)
    body, headers = multipart(("radiology_order_id", str(order_id)), ("files", ct()), ("files", ct(2)))
    assert clinic.technician.post(ADDRESS, content=body, headers=headers).json()["stored"] == 2
    assert clinic.rows("SELECT radiology_order_id, image_count FROM radiology_study") == [(order_id, 2)]


def test_an_empty_field_says_nothing_wherever_it_stands(clinic: Clinic) -> None:
    body, headers = multipart(("study_uid", ""), ("files", ct()), ("patient_id", " "), ("files", ct(2)))
    assert clinic.technician.post(ADDRESS, content=body, headers=headers).json()["stored"] == 2
