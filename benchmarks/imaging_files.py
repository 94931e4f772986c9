"""CT instances of 512 KB as a scanner sends them, and a client that uploads them over a few connections."""

import hashlib
import http.client
import io
import json
import os
import tempfile
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.uid import (
    CTImageStorage,
    ExplicitVRLittleEndian,
    MultiFrameGrayscaleWordSecondaryCaptureImageStorage,
    generate_uid,
)

CONNECTIONS = 4
SIDE = 512
A_REQUEST = 10
"""Instances of a STOW request: what Orthanc's own client puts into one (DicomWeb.StowMaxInstances)."""
BOUNDARY = "benchmark-boundary"
TAIL = f"--{BOUNDARY}--\r\n".encode()
LARGE = "1.2.826.0.1.3680043.8.498.77"
"""The UID of the study of gigabytes."""


def series(count: int, *, patient: str = "BENCH001") -> list[bytes]:
    """A series of so many instances, each with noise of its own: 512 x 512 pixels of 16 bits."""
    study_uid, series_uid = generate_uid()[:50].rstrip("."), generate_uid()[:50].rstrip(".")
    chance = np.random.default_rng(7)
    return [_instance(study_uid, series_uid, number, patient, chance) for number in range(1, count + 1)]


def instance_head(number: int, *, frames: int) -> tuple[bytes, str]:
    """All of a large instance but its pixels, of which 512 KB a frame are to follow; and its study's UID."""
    image = _dataset(LARGE, f"{LARGE}.1", number, "BENCH002")
    image.NumberOfFrames = frames
    image.SOPClassUID = image.file_meta.MediaStorageSOPClassUID = MultiFrameGrayscaleWordSecondaryCaptureImageStorage
    file = io.BytesIO()
    image.save_as(file, enforce_file_format=True)
    length = frames * 2 * SIDE * SIDE
    return file.getvalue() + b"\xe0\x7f\x10\x00OW\0\0" + length.to_bytes(4, "little"), LARGE


def _instance(study_uid: str, series_uid: str, number: int, patient: str, chance: np.random.Generator) -> bytes:
    image = _dataset(study_uid, series_uid, number, patient)
    image.PixelData = chance.integers(0, 2000, SIDE * SIDE, dtype="<i2").tobytes()
    file = io.BytesIO()
    image.save_as(file, enforce_file_format=True)
    return file.getvalue()


def _dataset(study_uid: str, series_uid: str, number: int, patient: str) -> FileDataset:
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    meta.MediaStorageSOPClassUID = CTImageStorage
    meta.MediaStorageSOPInstanceUID = f"{series_uid}.{number}"
    image = FileDataset("", {}, file_meta=meta, preamble=b"\0" * 128)
    attributes: dict[str, Any] = {
        "SpecificCharacterSet": "ISO_IR 192",
        "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
        "SOPClassUID": CTImageStorage,
        "SOPInstanceUID": f"{series_uid}.{number}",
        "StudyDate": "20260115",
        "SeriesDate": "20260115",
        "AcquisitionDate": "20260115",
        "StudyTime": "101500",
        "AccessionNumber": "",
        "Modality": "CT",
        "Manufacturer": "Benchmark",
        "InstitutionName": "Benchmark",
        "StudyDescription": "CT of the chest",
        "SeriesDescription": "Axial 1 mm",
        "PatientName": "Bench^Mark",
        "PatientID": patient,
        "PatientBirthDate": "19800131",
        "PatientSex": "O",
        "BodyPartExamined": "CHEST",
        "SliceThickness": "1",
        "KVP": "120",
        "StudyInstanceUID": study_uid,
        "SeriesInstanceUID": series_uid,
        "StudyID": "1",
        "SeriesNumber": 1,
        "InstanceNumber": number,
        "ImagePositionPatient": ["0", "0", str(number)],
        "ImageOrientationPatient": ["1", "0", "0", "0", "1", "0"],
        "FrameOfReferenceUID": f"{study_uid}.9",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
        "Rows": SIDE,
        "Columns": SIDE,
        "PixelSpacing": ["0.7", "0.7"],
        "BitsAllocated": 16,
        "BitsStored": 16,
        "HighBit": 15,
        "PixelRepresentation": 1,
        "WindowCenter": "40",
        "WindowWidth": "400",
        "RescaleIntercept": "-1024",
        "RescaleSlope": "1",
    }
    for keyword, value in attributes.items():
        setattr(image, keyword, value)
    return image


def plainly(files: Sequence[bytes], folder: Path) -> float:
    """Seconds a plain program takes to keep the files as safely: SHA-256, fsync of file and folder, rename."""

    def keep(numbered: tuple[int, bytes]) -> None:
        number, content = numbered
        hashlib.sha256(content).hexdigest()
        partial, final = folder / f".{number}", folder / f"{number}.dcm"
        with partial.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        partial.rename(final)
        descriptor = os.open(folder, os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)

    with ThreadPoolExecutor(CONNECTIONS) as threads:
        started = time.perf_counter()
        list(threads.map(keep, enumerate(files)))
        return time.perf_counter() - started


def stow(url: str, path: str, files: Sequence[bytes], token: str = "") -> float:
    """Seconds to store them by STOW-RS, so many instances a request as Orthanc sends by itself."""
    head = f"--{BOUNDARY}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    headers = {"Content-Type": f'multipart/related; type="application/dicom"; boundary={BOUNDARY}'}
    groups = [files[first : first + A_REQUEST] for first in range(0, len(files), A_REQUEST)]
    bodies = [b"".join(head + file + b"\r\n" for file in group) + TAIL for group in groups]
    return _all(url, "POST", [(path, body, headers) for body in bodies], token)


def two_steps(url: str, files: Sequence[bytes], token: str, a_request: int) -> float:
    """Seconds to declare them at once, and then to send them: each by itself, or so many a request."""
    import pydicom

    read = [pydicom.dcmread(io.BytesIO(file), stop_before_pixels=True) for file in files]
    images = [
        {
            "image_uid": one.SOPInstanceUID,
            "series_uid": one.SeriesInstanceUID,
            "filename": f"{number}.dcm",
            "file_size": len(file),
            "checksum": hashlib.sha256(file).hexdigest(),
        }
        for number, (one, file) in enumerate(zip(read, files, strict=True))
    ]
    body = json.dumps({"study_uid": read[0].StudyInstanceUID, "images": images}).encode()
    started = time.perf_counter()
    declared = _one(url, "POST", "/api/v1/radiology/uploads", body, {"Content-Type": "application/json"}, token)
    ids = [upload["id"] for upload in json.loads(declared)["uploads"]]
    declaring = time.perf_counter() - started
    if a_request == 1:
        headers = {"Content-Type": "application/octet-stream", "Upload-Offset": "0"}
        wanted = [
            (f"/api/v1/radiology/uploads/{upload_id}/binary", file, headers)
            for upload_id, file in zip(ids, files, strict=True)
        ]
        return declaring + _all(url, "PATCH", wanted, token)
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    parts = [_part(upload_id, file) for upload_id, file in zip(ids, files, strict=True)]
    forms = [b"".join(parts[first : first + a_request]) + TAIL for first in range(0, len(parts), a_request)]
    wanted = [("/api/v1/radiology/uploads/binaries", form, headers) for form in forms]
    return declaring + _all(url, "POST", wanted, token)


def _part(upload_id: int, file: bytes) -> bytes:
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{upload_id}"; filename="{upload_id}.dcm"\r\n\r\n'
    return head.encode() + file + b"\r\n"


def _one(url: str, method: str, path: str, body: bytes, headers: dict[str, str], token: str) -> bytes:
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=120)
    connection.request(method, path, body, headers | {"Authorization": f"Bearer {token}"})
    answer = connection.getresponse()
    content = answer.read()
    if answer.status >= 300:
        raise SystemExit(f"{path}: {answer.status} {content[:300]!r}")
    connection.close()
    return content


def _all(url: str, method: str, wanted: Sequence[tuple[str, bytes, dict[str, str]]], token: str) -> float:
    """Seconds from the first request to the last answer, over a few connections that are open already."""
    queue, lock, failed = list(reversed(wanted)), threading.Lock(), []
    ready = threading.Barrier(CONNECTIONS + 1)
    more = {"Authorization": f"Bearer {token}"} if token else {}

    def work() -> None:
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=120)
        connection.connect()
        ready.wait()
        while True:
            with lock:
                if not queue:
                    return
                path, body, headers = queue.pop()
            connection.request(method, path, body, headers | more)
            answer = connection.getresponse()
            content = answer.read()
            if answer.status >= 300:
                failed.append((answer.status, content[:300]))

    threads = [threading.Thread(target=work) for _ in range(CONNECTIONS)]
    for thread in threads:
        thread.start()
    ready.wait()
    started = time.perf_counter()
    for thread in threads:
        thread.join()
    seconds = time.perf_counter() - started
    if failed:
        raise SystemExit(f"{len(failed)} of {len(wanted)} requests failed: {failed[0]}")
    return seconds


def folder() -> Path:
    """A new one on the file system that all kinds of upload write to."""
    return Path(tempfile.mkdtemp(prefix="labwire-benchmark-images-"))
