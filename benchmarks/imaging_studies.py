"""A clinic's studies for benchmarks: who uploads, thousands of them in the database, and one of gigabytes."""

import http.client
import io
import json
import random
from urllib.parse import quote, urlsplit

import pydicom
from sqlalchemy import text

from benchmarks.imaging_files import instance_head

FILL = """
INSERT INTO radiology_study (tenant_id, study_uid, study_date, study_description, modality, modalities,
    accession_number, patient_name, patient_code, series_count, image_count)
SELECT :tenant_id, '1.2.3.' || n, date '2024-01-01' + (n % 900)::int, 'CT of the chest', 'CT', ARRAY['CT'],
       'A' || n, 'Family' || (n % 3000) || '^Given', 'P' || lpad((n % 5000)::text, 5, '0'), 1, :images
FROM generate_series(1, :studies) AS n
"""
SERIES = """
INSERT INTO radiology_series (tenant_id, study_id, series_uid, series_number, modality, image_count)
SELECT tenant_id, id, study_uid || '.1', 1, 'CT', :images FROM radiology_study WHERE study_uid LIKE '1.2.3.%'
"""
IMAGES = """
INSERT INTO radiology_image (tenant_id, series_id, image_uid, instance_number, sop_class_uid, transfer_syntax_uid,
    backend, file_key, filename, file_size, mime_type, checksum, image_metadata, source)
SELECT e.tenant_id, e.id, e.series_uid || '.' || n, n, '1.2.840.10008.5.1.4.1.1.2', '1.2.840.10008.1.2.1',
       'filesystem', e.series_uid || '/' || n, 'a.dcm', 1, 'application/dicom', repeat('0', 64), '{}', 'stow'
FROM radiology_series e CROSS JOIN generate_series(CAST(:first AS int), CAST(:last AS int)) AS n
WHERE e.series_uid LIKE '1.2.3.%'
"""
COUNTED = (
    "UPDATE radiology_study SET image_count = :images WHERE study_uid LIKE '1.2.3.%'",
    "UPDATE radiology_series SET image_count = :images WHERE series_uid LIKE '1.2.3.%'",
)
TENANT = 1


def make_technician() -> str:
    """A tenant with a radiology technician; a token of theirs."""
    from models.kernel.audit import SYSTEM
    from models.kernel.tables import Tenant
    from models.kernel.tenancy import owner_session, tenant_session
    from models.people.schemas import TokenIn
    from models.people.stores.tokens import issue_token
    from models.people.tables import User

    with owner_session() as session:
        session.add(Tenant(slug="clinic", name="Clinic", time_zone="UTC"))
    with tenant_session(TENANT) as session:
        user = User(tenant_id=TENANT, email="a@clinic.example", name="A", roles=["radiology_technician"])
        session.add(user)
        session.flush()
        return issue_token(session, TENANT, SYSTEM, user.id, TokenIn(name="bench", scopes=["read", "write"]))[1]


def fill(studies: int, *, images: int) -> None:
    """So many studies of one series with so many images; their rows alone, there are no files."""
    _do(FILL, studies=studies, images=images)
    _do(SERIES, images=images)
    _do(IMAGES, first=1, last=images)
    _analyse()


def more_images(number: int) -> None:
    """So many more images in each."""
    _do(IMAGES, first=2, last=1 + number)
    for statement in COUNTED:
        _do(statement, images=1 + number)
    _analyse()


def questions(number: int) -> list[str]:
    """What people and OHIF ask for: a page of the list, a patient, a name that begins so, a range of days."""
    chance = random.Random(3)
    asked = []
    for index in range(number):
        n = chance.randrange(1, 5000)
        what = (
            f"limit=101&offset={101 * (n % 20)}&fuzzymatching=false&includefield=00081030%2C00080060",
            f"limit=101&offset=0&PatientID=P{n:05}",
            f"limit=101&offset=0&PatientName={quote(f'family{n % 3000}*')}",
            f"limit=101&offset=0&StudyDate=20240{1 + n % 9}01-20240{1 + n % 9}07",
            f"limit=101&offset=0&00100020=P{n:05}&ModalitiesInStudy=CT",
        )[index % 5]
        asked.append(f"/dicom-web/studies?{what}")
    return asked


def metadata_path(file: bytes) -> str:
    """The address of the metadata of the series a file is of."""
    read = pydicom.dcmread(io.BytesIO(file), stop_before_pixels=True)
    return f"/dicom-web/studies/{read.StudyInstanceUID}/series/{read.SeriesInstanceUID}/metadata"


def large_study(url: str, token: str, size: int, pieces: int) -> tuple[str, int]:
    """Store a study of about `size` bytes in so many files, by STOW; its UID, and the bytes sent."""
    sent, study_uid = 0, ""
    block = random.Random(5).randbytes(2**20)
    for number in range(1, pieces + 1):
        frames = size // pieces // (2 * 512 * 512)
        head, study_uid = instance_head(number, frames=frames)
        length = frames * 2 * 512 * 512
        edge = b"--b\r\nContent-Type: application/dicom\r\n\r\n", b"\r\n--b--\r\n"
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=600)
        connection.putrequest("POST", "/dicom-web/studies")
        connection.putheader("Authorization", f"Bearer {token}")
        connection.putheader("Content-Type", 'multipart/related; type="application/dicom"; boundary=b')
        connection.putheader("Content-Length", str(len(edge[0]) + len(head) + length + len(edge[1])))
        connection.endheaders()
        connection.send(edge[0] + head)
        for _ in range(length // len(block)):
            connection.send(block)
        connection.send(block[: length % len(block)] + edge[1])
        answer = connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise SystemExit(f"STOW of a large file: {answer.status} {json.loads(content)}")
        connection.close()
        sent += len(head) + length
    return study_uid, sent


def _do(statement: str, **values: object) -> None:
    from models.kernel.tenancy import tenant_session

    with tenant_session(TENANT) as session:
        session.execute(text(statement), {"tenant_id": TENANT} | values if ":tenant_id" in statement else values)


def _analyse() -> None:
    from models.kernel.db import owner_engine

    with owner_engine().connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("VACUUM ANALYZE radiology_study, radiology_series, radiology_image"))
