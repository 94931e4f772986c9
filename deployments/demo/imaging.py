"""A CT is uploaded over a line that breaks, opened by a viewer's address, and reviewed; a study dropped as a ZIP."""

import hashlib
import io
import socket
import time
import zipfile
from collections.abc import Sequence
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import httpx

from deployments.demo.actors import Person, signed_in
from deployments.demo.laboratory import Steps
from deployments.demo.phantom import Examined, slices
from deployments.demo.scenario import Hub, Outcome, ScenarioError
from models.imaging.uids import new_uid

IMAGES = 6
FRAME = 'multipart/related; type="application/octet-stream"; transfer-syntax=*'


def imaging(hub: Hub) -> list[Outcome]:
    """From the order to the doctor's review."""
    steps = Steps(hub)
    with signed_in(hub, "doctor", "radiology") as (doctor, technician):
        with steps.step("radiology order", "PAT-008, CT of the chest") as said:
            patient = doctor.get("/patients", code="PAT-008")["items"][0]
            wanted = {"patient_id": patient["id"], "procedure": "CT of the chest", "modality": "CT"}
            order = doctor.post("/radiology/orders", wanted, 201)
            said |= {
                "outcome": f"{order['accession_number']} ordered",
                "link": steps.page(f"/radiology/orders/{order['id']}"),
            }
        examined = Examined(new_uid(), "Uche^Chidi", "PAT-008", order["accession_number"], study_date=_today())
        files = slices(examined, IMAGES)
        with steps.step("upload, metadata", f"{IMAGES} images declared") as said:
            uploads = _declare(technician, examined, files, order["id"])
            said["outcome"] = f"{len(uploads)} uploads wait for their bytes"
        with steps.step("upload, binaries", "the line breaks in each") as said:
            kept = [_broken(technician, upload, file) for upload, file in zip(uploads, files, strict=True)]
            said["outcome"] = f"{sum(kept)} bytes kept of {sum(map(len, files))}; resumed, stored once"
        study = doctor.get("/radiology/studies/", radiology_order_id=order["id"])[0]
        with steps.step("viewer", "an address for the doctor") as said:
            address = doctor.get(f"/radiology/studies/{study['id']}/viewer-url/")["viewer_url"]
            page, found = viewer_page(hub.api, address, examined.study_uid), _looked_at(hub, address, examined)
            said |= {"outcome": f"{page}; {found}", "link": address}
        with steps.step("viewer", "revoked") as said:
            _revoke(hub, doctor, study["id"], address, examined)
            said["outcome"] = "the address opens nothing any more"
        with steps.step("review", order["accession_number"]) as said:
            given = {"review_note": "No acute finding.", "version": order["version"] + 1}
            state = doctor.post(f"/radiology/orders/{order['id']}/review", given)["state"]
            said |= {"outcome": state, "link": steps.page(f"/radiology/studies/{study['id']}")}
    return steps.rows


def dropped(hub: Hub) -> list[Outcome]:
    """A ZIP in the drop folder becomes a study that a technician assigns."""
    steps = Steps(hub)
    with steps.step("upload-study", "a ZIP of 4 images") as said:
        inbox = hub.state_dir / "radiology" / "inbox" / "lagoon"
        inbox.mkdir(parents=True, exist_ok=True)
        files = slices(Examined(new_uid(), "Obaseki^Osaze", "PAT-007", study_date=_today()), 4)
        content = io.BytesIO()
        with zipfile.ZipFile(content, "w") as archive:
            for number, file in enumerate(files):
                archive.writestr(f"DICOM/IM{number}", file)
        (inbox / "disc-1.zip").write_bytes(content.getvalue())
        message, link = steps.run("upload-study", tenant="lagoon", source="disc-1.zip")
        if (inbox / "disc-1.zip").exists():
            raise ScenarioError(f"the ZIP is still there: {message}")
        said |= {"outcome": message, "link": link}
    return steps.rows


def _today() -> str:
    return f"{datetime.now(UTC):%Y%m%d}"


def _declare(technician: Person, examined: Examined, files: Sequence[bytes], order_id: int) -> list[dict[str, int]]:
    images = [
        {
            "filename": f"slice-{number:02}.dcm",
            "file_size": len(file),
            "checksum": hashlib.sha256(file).hexdigest(),
            "series_uid": examined.series_uid,
            "image_uid": f"{examined.series_uid}.{number}",
        }
        for number, file in enumerate(files, 1)
    ]
    given = {"study_uid": examined.study_uid, "radiology_order_id": order_id, "images": images}
    return list(technician.post("/radiology/uploads", given, 201)["uploads"])


def _broken(technician: Person, upload: dict[str, int], file: bytes) -> int:
    """Send the first part, break the line in the second, go on from where the hub says; the bytes that were kept."""
    path = f"/api/v1/radiology/uploads/{upload['id']}/binary"
    client = technician.client
    third = len(file) // 3
    client.patch(path, content=file[:third], headers={"Upload-Offset": "0"}).raise_for_status()
    _cut(client, path, file[third:], offset=third, after=third)
    for _ in range(50):  # the hub may not have noticed yet
        kept = int(client.head(path).raise_for_status().headers["Upload-Offset"])
        answer = client.patch(path, content=file[kept:], headers={"Upload-Offset": str(kept)})
        if answer.status_code == 200:
            break
        time.sleep(0.1)
    if answer.json().get("state") != "stored" or kept < third:
        raise ScenarioError(f"upload {upload['id']} ended as {answer.text[:200]}")
    return kept


def _cut(client: httpx.Client, path: str, part: bytes, *, offset: int, after: int) -> None:
    place = urlsplit(str(client.base_url))
    cookies = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    head = (
        f"PATCH {path} HTTP/1.1\r\nHost: {place.netloc}\r\nCookie: {cookies}\r\n"
        f"X-CSRF-Token: {client.headers['X-CSRF-Token']}\r\nUpload-Offset: {offset}\r\n"
        f"Content-Length: {len(part)}\r\n\r\n"
    )
    with socket.create_connection((str(place.hostname), int(place.port or 80))) as line:
        line.sendall(head.encode() + part[:after])
        time.sleep(0.2)


def viewer_page(api: httpx.Client, address: str, study_uid: str) -> str:
    """The viewer whose page is at the address: OHIF where the hub has it, else the light one; ScenarioError."""
    has_ohif = api.get("/viewer/").is_success
    name, mark = ("OHIF", "/viewer/app-config.js") if has_ohif else ("light viewer", f'data-study="{study_uid}"')
    answer = api.get(address)
    if not answer.is_success or mark not in answer.text or study_uid not in address:
        raise ScenarioError(f"the viewer's address is not the page of {name}: {answer.status_code}")
    return name


def _looked_at(hub: Hub, address: str, examined: Examined) -> str:
    """What the viewer does with its address: the list, the series' metadata, one frame; nothing of another study."""
    token = parse_qs(urlsplit(address).query)["token"][0]
    bearer = {"Authorization": f"Bearer {token}"}
    studies = hub.api.get("/dicom-web/studies", headers=bearer).raise_for_status().json()
    series = f"/dicom-web/studies/{examined.study_uid}/series/{examined.series_uid}"
    metadata = hub.api.get(f"{series}/metadata", headers=bearer).raise_for_status().json()
    frame = hub.api.get(f"{series}/instances/{examined.series_uid}.1/frames/1", headers=bearer | {"Accept": FRAME})
    elsewhere = hub.api.get(f"/dicom-web/studies/{new_uid()}/metadata", headers=bearer)
    found = (len(studies), len(metadata), frame.status_code, elsewhere.status_code)
    if found != (1, IMAGES, 200, 404):
        raise ScenarioError(f"studies, images, frame, another study: {found}")
    return f"1 study, {IMAGES} images, pixels; nothing else"


def _revoke(hub: Hub, doctor: Person, study_id: int, address: str, examined: Examined) -> None:
    grant = doctor.get(f"/radiology/studies/{study_id}/grants")[0]
    doctor.post(f"/radiology/grants/{grant['id']}/revoke", {})
    token = parse_qs(urlsplit(address).query)["token"][0]
    answer = hub.api.get(
        f"/dicom-web/studies/{examined.study_uid}/metadata", headers={"Authorization": f"Bearer {token}"}
    )
    page = hub.api.get(address)
    is_told = page.status_code == 401 or "/viewer/app-config.js" in page.text  # OHIF's page itself is anybody's
    if answer.status_code != 401 or not is_told:
        raise ScenarioError(f"the revoked address was answered {answer.status_code}, its page {page.status_code}")
