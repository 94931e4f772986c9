"""QIDO-RS: studies, series and instances are searched for (DICOM PS3.18, 10.6)."""

from dataclasses import replace
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic_core import to_json

from api.errors import errors
from api.imaging.negotiating import DICOM_JSON, JSON_TYPES, choose
from api.imaging.noting import NOTED, note_looks
from api.imaging.qido_answers import answer, with_kept
from api.imaging.viewing import View, Viewing
from models.imaging.matching import Level, Match, keyed, read_search
from models.imaging.schemas import Uid
from models.imaging.stores import places, qido
from models.kernel.settings import settings
from models.kernel.tenancy import tenant_session

CUT = "The number of results exceeded the maximum supported by the server. Additional results can be requested."
NOT_FUZZY = "The fuzzymatching parameter is not supported. Only literal matching has been performed."

router = APIRouter(tags=["dicomweb"])
FOUND: dict[str, Any] = {
    "response_class": Response,
    "responses": {
        200: {
            "description": "What was found, in the DICOM JSON Model; `[]` where nothing was. With the header "
            "`Warning: 299` where more match than is answered, or fuzzy matching was asked for",
            "content": {DICOM_JSON: {"schema": {"type": "array", "items": {"type": "object"}}}},
        },
        **errors(401, 403, 404, 406),
    },
}


@router.get("/studies", **FOUND)
def search_studies(request: Request, view: Viewing) -> Response:
    """QIDO-RS: studies. Attributes by tag or keyword, `limit`, `offset`, `includefield`, `fuzzymatching`."""
    return _found(request, view, Level.STUDY)


@router.get("/series", **FOUND)
def search_series(request: Request, view: Viewing) -> Response:
    """QIDO-RS: series of all studies."""
    return _found(request, view, Level.SERIES)


@router.get("/instances", **FOUND)
def search_instances(request: Request, view: Viewing) -> Response:
    """QIDO-RS: instances of all studies."""
    return _found(request, view, Level.INSTANCE)


@router.get("/studies/{study_uid}/series", **FOUND)
def search_series_of_study(study_uid: Uid, request: Request, view: Viewing) -> Response:
    """QIDO-RS: series of a study."""
    return _found(request, view, Level.SERIES, StudyInstanceUID=study_uid)


@router.get("/studies/{study_uid}/instances", **FOUND)
def search_instances_of_study(study_uid: Uid, request: Request, view: Viewing) -> Response:
    """QIDO-RS: instances of a study."""
    return _found(request, view, Level.INSTANCE, StudyInstanceUID=study_uid)


@router.get("/studies/{study_uid}/series/{series_uid}/instances", **FOUND)
def search_instances_of_series(study_uid: Uid, series_uid: Uid, request: Request, view: Viewing) -> Response:
    """QIDO-RS: instances of a series."""
    return _found(request, view, Level.INSTANCE, StudyInstanceUID=study_uid, SeriesInstanceUID=series_uid)


def _found(request: Request, view: View, level: Level, **uids: str) -> Response:
    media_type = choose(request, JSON_TYPES)
    wanted = read_search(level, request.query_params.multi_items())
    within = tuple(Match(keyed(keyword), values=(uid,)) for keyword, uid in uids.items())
    narrowed = replace(wanted, matches=(*within, *wanted.matches))
    base = f"{settings().base_url}/dicom-web"
    with tenant_session(view.tenant_id) as session:
        rows, is_cut = qido.search(session, view.tenant_id, view.seen, narrowed)
        if uids and not rows:
            places.refuse_unseen(session, view.tenant_id, view.seen, *uids.values())
        marks = note_looks(session, view, [row[0] for row in rows])
        found = [answer(row, narrowed, base, len(uids)) for row in rows]
        if level is Level.SERIES:
            kept = qido.kept_of_series(session, view.tenant_id, [row[1].id for row in rows])
            found = [with_kept(told, kept.get(row[1].id, {})) for told, row in zip(found, rows, strict=True)]
    NOTED.remember(marks)
    headers = _warnings(base, is_cut=is_cut, is_fuzzy=wanted.is_fuzzy)
    return Response(to_json(found), media_type=media_type, headers=headers)


def _warnings(base: str, *, is_cut: bool, is_fuzzy: bool) -> dict[str, str]:
    texts = [text for text, is_so in ((CUT, is_cut), (NOT_FUZZY, is_fuzzy)) if is_so]
    return {"Warning": ", ".join(f'299 {base} "{text}"' for text in texts)} if texts else {}
