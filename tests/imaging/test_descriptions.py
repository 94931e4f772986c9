"""What images say of themselves is read once for each, kept, and made again for nobody."""

import gzip
import json
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.orm import Session

from models.imaging.describing import Describing, describe_pending
from models.imaging.ports import Description, NotAnImageError
from models.imaging.stores import descriptions
from models.imaging.stores.grants import grant_viewing
from models.imaging.stores.studies import Seen, get_study_by_uid
from models.imaging.tickets import ViewerTicket, viewer_token
from models.kernel.audit import SYSTEM
from models.kernel.tenancy import tenant_session
from tasks.clients.dicom.pool import ParserPool, pool
from tasks.clients.storage.backends import storage_for
from tasks.clients.storage.spool import spool_of
from tests.api.helpers import with_token
from tests.imaging.conftest import Clinic
from tests.imaging.dicoms import SERIES, STUDY, ct

pytestmark = pytest.mark.api
OTHER = "1.2.826.0.1.3680043.8.498.2"
PATH = f"/dicom-web/studies/{STUDY}/series/{SERIES}"


@dataclass
class Counting:
    """The parser, and which files it was asked to describe; refuses those of `unreadable`."""

    inner: ParserPool
    unreadable: str = "-"
    asked: list[str] = field(default_factory=list)

    def describe(self, path: Path) -> Description:
        self.asked.append(path.parent.name)
        if self.unreadable in path.parent.name:
            raise NotAnImageError("elements", "too many")
        return self.inner.describe(path)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.inner, name)


def by(clinic: Clinic, parser: Counting) -> Describing:
    spool = spool_of(clinic.slug)
    return Describing(clinic.tenant_id, lambda backend: storage_for(backend, clinic.slug), parser, spool.fresh)


def pending(clinic: Clinic, parser: Counting, most: int = 100) -> int:
    known = by(clinic, parser)
    return describe_pending(clinic.tenant_id, clinic.slug, known.storage_of, parser, known.make_path, most=most)


def test_all_that_is_new_is_described_once_and_whole_series_are_made(clinic: Clinic) -> None:
    parser = Counting(pool())
    clinic.stow(*(ct(number) for number in range(1, 6)), ct(9, series_uid=f"{STUDY}.2"))
    assert [pending(clinic, parser, most) for most in (4, 4, 4)] == [4, 2, 0]
    assert len(parser.asked) == len(set(parser.asked)) == 6
    assert clinic.rows("SELECT 1 FROM series_metadata") == []
    clinic.rows("UPDATE radiology_series SET changed_at = now() - interval '1 minute' RETURNING 1")
    assert pending(clinic, parser) == 0
    assert clinic.rows("SELECT image_count FROM series_metadata ORDER BY series_id") == [(5,), (1,)]
    clinic.stow(ct(6))
    assert pending(clinic, parser) == 1
    assert len(parser.asked) == 7


def test_several_who_ask_at_once_are_served_by_one_making(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> None:
    parser, made = Counting(pool()), list[int]()
    make = descriptions.make_metadata

    def counted(session: Session, tenant_id: int, series_id: int, instead: Mapping[int, bytes]) -> bytes:
        made.append(series_id)
        return make(session, tenant_id, series_id, instead)

    monkeypatch.setattr(descriptions, "make_metadata", counted)
    clinic.stow(*(ct(number) for number in range(1, 9)))
    with tenant_session(clinic.tenant_id) as session:
        [series_id] = [row.id for row in clinic.rows("SELECT id FROM radiology_series")]
        series = descriptions.get_series(session, clinic.tenant_id, series_id)
    describing = by(clinic, parser)
    with ThreadPoolExecutor(6) as threads:
        bodies = list(threads.map(lambda _: describing.series_metadata(series), range(6)))
    assert len(set(bodies)) == 1
    assert (len(parser.asked), made) == (8, [series_id])
    assert [one["00200013"]["Value"] for one in json.loads(gzip.decompress(bodies[0]))] == [[n] for n in range(1, 9)]


def test_an_image_that_cannot_be_described_says_what_its_columns_say(clinic: Clinic) -> None:
    parser = Counting(pool(), unreadable=".2")
    clinic.stow(ct(1, SpecificCharacterSet="ISO_IR 192", PatientName="山田^太郎"), ct(2, PatientName="山田^太郎"))
    assert pending(clinic, parser) == 2
    [_, poor] = clinic.technician.get(f"{PATH}/metadata").json()
    assert poor["00080018"]["Value"] == [f"{SERIES}.2"]
    assert poor["00100010"]["Value"] == [{"Alphabetic": "山田^太郎"}]
    assert poor["00080020"]["Value"] == ["20260115"]
    assert poor["00083002"]["Value"] == ["1.2.840.10008.1.2.1"]
    assert "00201208" not in poor
    assert "00281050" not in poor
    frame = clinic.technician.get(f"{PATH}/instances/{SERIES}.2/frames/1")
    assert (frame.status_code, len(frame.content) > 32 * 32 * 2) == (200, True)


def test_an_object_that_comes_back_is_described_anew(clinic: Clinic) -> None:
    clinic.stow(ct(1))
    [path] = clinic.objects()
    path.unlink()
    [poor] = clinic.technician.get(f"{PATH}/metadata").json()
    assert "00281050" not in poor
    assert clinic.rows("SELECT problem FROM radiology_image") == [("missing",)]
    assert clinic.stow(ct(1)).status_code == 200
    [rich] = clinic.technician.get(f"{PATH}/metadata").json()
    assert rich["00281050"]["Value"] == [40]


def test_a_viewers_token_opens_its_study_alone(clinic: Clinic) -> None:
    patient_id = clinic.patient()
    for number, study in enumerate((STUDY, OTHER)):
        clinic.order(patient_id, accession_number=f"A{number}")
        clinic.stow(ct(1, study_uid=study, series_uid=f"{study}.1", AccessionNumber=f"A{number}"))
    doctor_id = int(clinic.doctor.headers["X-Test-User"])
    with tenant_session(clinic.tenant_id) as session:
        granted = get_study_by_uid(session, clinic.tenant_id, STUDY, Seen(True))
        grant = grant_viewing(session, clinic.tenant_id, SYSTEM, granted, user_id=doctor_id, seconds=600)
    ticket = ViewerTicket(clinic.tenant_id, grant.id, int(time.time()) + 600)
    viewer = with_token(viewer_token(ticket))
    for path, count in (("/studies", 1), ("/series", 1), ("/instances", 1), ("/studies?00100020=P123", 1)):
        assert len(viewer.get(f"/dicom-web{path}").json()) == count, path
    assert viewer.get(f"/dicom-web/studies?StudyInstanceUID={OTHER}").json() == []
    ends = ["/series", "/instances", "/metadata", "", "/rendered", "/thumbnail", f"/series/{OTHER}.1/metadata"]
    ends += [f"/series/{OTHER}.1/instances/{OTHER}.1.1{end}" for end in ("", "/frames/1", "/bulkdata/7FE00010")]
    for end in ends:
        assert viewer.get(f"/dicom-web/studies/{OTHER}{end}").status_code == 404, end
        assert viewer.get(f"/dicom-web/studies/{STUDY}{end.replace(OTHER, STUDY)}").status_code == 200, end
    assert viewer.post("/dicom-web/studies", content=b"").status_code in (401, 403)
    with tenant_session(clinic.tenant_id) as session:
        session.merge(grant).revoked_at = grant.created_at
    assert viewer.get(f"/dicom-web/studies/{STUDY}/metadata").status_code == 401
