"""`dicomweb-client` from PyPI stores, searches and retrieves at a real address; what comes back is what went in."""

import io
from collections.abc import Iterator

import httpx
import pydicom
import pytest
import requests
from dicomweb_client.api import DICOMwebClient
from PIL import Image

from tests.api.helpers import make_token, make_user
from tests.imaging.conftest import Clinic
from tests.imaging.dicoms import SERIES, STUDY, ct, picture
from tests.vitals.serving import served

pytestmark = pytest.mark.api
FIRST = (STUDY, SERIES, f"{SERIES}.1")
PATH = f"/dicom-web/studies/{STUDY}/series/{SERIES}/instances/{SERIES}.1"


@pytest.fixture
def address(clinic: Clinic) -> Iterator[str]:
    with served() as url:
        yield url


@pytest.fixture
def token(clinic: Clinic) -> str:
    user_id = make_user(clinic.tenant_id, "gateway@north.example", "radiology_technician")
    return make_token(clinic.tenant_id, user_id, "imaging:read", "imaging:write")


@pytest.fixture
def store(address: str, token: str) -> DICOMwebClient:
    session = requests.Session()
    session.trust_env = False
    session.headers["Authorization"] = f"Bearer {token}"
    return DICOMwebClient(f"{address}/dicom-web", session=session)


@pytest.fixture
def http(address: str, token: str) -> Iterator[httpx.Client]:
    with httpx.Client(
        base_url=address, headers={"Authorization": f"Bearer {token}"}, trust_env=False, timeout=60
    ) as client:
        yield client


def written(dataset: pydicom.Dataset) -> bytes:
    file = io.BytesIO()
    dataset.save_as(file)
    return file.getvalue()


def test_a_study_goes_in_is_found_and_comes_back(store: DICOMwebClient, http: httpx.Client) -> None:
    files = [ct(number) for number in (1, 2, 3)]
    store.store_instances([pydicom.dcmread(io.BytesIO(file)) for file in files])
    assert [one["0020000D"]["Value"] for one in store.search_for_studies(search_filters={"PatientID": "P*"})] == [
        [STUDY]
    ]
    assert store.search_for_studies(search_filters={"PatientID": "nobody"}) == []
    assert len(store.search_for_series(STUDY)) == 1
    assert len(store.search_for_instances(STUDY, SERIES)) == 3
    assert len(store.search_for_instances(limit=2)) == 2
    for back in (store.retrieve_study(STUDY), store.retrieve_series(STUDY, SERIES)):
        assert [one.InstanceNumber for one in back] == [1, 2, 3]
    stored = http.get(PATH, headers={"Accept": "application/dicom"})
    assert stored.headers["content-type"] == "application/dicom"
    assert stored.content == written(store.retrieve_instance(*FIRST)) == ct(1)
    for metadata in (
        store.retrieve_study_metadata(STUDY),
        store.retrieve_series_metadata(STUDY, SERIES),
        [store.retrieve_instance_metadata(STUDY, SERIES, f"{SERIES}.{number}") for number in (1, 2, 3)],
    ):
        read = [pydicom.Dataset.from_json(one) for one in metadata if "7FE00010" in one and one.pop("7FE00010")]
        assert [one.InstanceNumber for one in read] == [1, 2, 3]
        assert (read[0].PatientName, read[0].PixelSpacing) == ("Doe^Jo", [0.7, 0.7])
        assert read[0].AvailableTransferSyntaxUID == "1.2.840.10008.1.2.1"
    [frame] = store.retrieve_instance_frames(
        *FIRST, frame_numbers=[1], media_types=(("application/octet-stream", "*"),)
    )
    assert frame == pydicom.dcmread(io.BytesIO(files[0])).PixelData
    [plain] = store.retrieve_instance_frames(*FIRST, frame_numbers=[1])
    assert plain == frame


def test_pictures_and_bulk_data_are_read_from_the_stored_object(clinic: Clinic, store: DICOMwebClient) -> None:
    clinic.stow(*(ct(number, size=64) for number in (1, 2, 3)))
    shown = Image.open(io.BytesIO(store.retrieve_instance_rendered(*FIRST, media_types=("image/png",))))
    assert (shown.format, shown.size) == ("PNG", (64, 64))
    asked = {"viewport": "16,32", "window": "0,100,linear"}
    small = Image.open(io.BytesIO(store.retrieve_instance_rendered(*FIRST, params=asked)))
    assert (small.format, small.size) == ("JPEG", (16, 16))
    frame = store.retrieve_instance_frames_rendered(*FIRST, frame_numbers=[1], media_types=("image/jpeg",))
    assert Image.open(io.BytesIO(frame)).size == (64, 64)
    metadata = store.retrieve_instance_metadata(*FIRST)
    address = store.base_url.removesuffix("/dicom-web") + metadata["7FE00010"]["BulkDataURI"]
    pixels = pydicom.dcmread(io.BytesIO(ct(1, size=64))).PixelData
    assert store.retrieve_bulkdata(address) == [pixels]
    assert store.retrieve_bulkdata(address, byte_range=(2, 9)) == [
        pixels
    ]  # it asks for parts: no range of them is told


def test_a_picture_is_a_secondary_capture_with_its_frame(clinic: Clinic, store: DICOMwebClient) -> None:
    order_id = clinic.order(clinic.patient(), modality="XC")
    jpeg = picture("JPEG")
    declared = clinic.declare(
        [jpeg], radiology_order_id=order_id, images=[{"filename": "wound.jpg", "mime_type": "image/jpeg"}]
    )
    [upload] = declared.json()["uploads"]
    assert clinic.send(upload["id"], jpeg).json()["state"] == "stored"
    uids = (upload["study_uid"], upload["series_uid"], upload["image_uid"])
    [instance] = store.search_for_instances(*uids[:2])
    assert instance["00080016"]["Value"] == ["1.2.840.10008.5.1.4.1.1.7"]
    [metadata] = store.retrieve_series_metadata(*uids[:2])
    assert metadata["00100010"]["Value"] == [{"Alphabetic": "Doe^Jo"}]
    [frame] = store.retrieve_instance_frames(*uids, frame_numbers=[1], media_types=(("image/jpeg", "*"),))
    assert frame.removesuffix(b"\0") == jpeg
    assert store.retrieve_instance(*uids).SOPInstanceUID == uids[2]
    shown = Image.open(io.BytesIO(store.retrieve_instance_rendered(*uids, media_types=("image/png",))))
    assert shown.size == (48, 48)
