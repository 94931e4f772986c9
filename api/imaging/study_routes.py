"""Studies as doctors and radiology technicians see them, and the addresses they are looked at by."""

from collections.abc import Callable
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request, Response

from api.deps import tenant_work
from api.errors import errors
from api.imaging.access import Page, Reader, Size, Uploader, sees_unassigned
from api.imaging.image_links import image_url, new_viewer_url, seconds_of
from api.imaging.study_answers import (
    SeriesAnswer,
    SeriesImageAnswer,
    StudyAnswer,
    StudyImagesAnswer,
    ViewerUrlAnswer,
)
from models.imaging.schemas import AnyModality, AssignIn
from models.imaging.stores import studies
from models.imaging.stores.assigning import assign_by_hand
from models.imaging.stores.studies import Seen, StudyFilter
from models.kernel.errors import InvalidError
from models.kernel.fields import Code, Id, IsoDate, Line

Seconds = Annotated[int | None, Query(ge=30, le=86_400, description="At most LABWIRE_RADIOLOGY_URL_SECONDS is given")]
PAGED: dict[int | str, dict[str, Any]] = {
    200: {
        "headers": {
            "X-Total-Count": {"description": "How many there are in all", "schema": {"type": "integer"}},
            "Link": {"description": "first, prev, next and last page (RFC 8288)", "schema": {"type": "string"}},
        }
    }
}

router = APIRouter(tags=["imaging"])
Route = Callable[..., Any]


def documented(of: APIRouter, path: str, **more: Any) -> Callable[[Route], Route]:
    """A GET route at the documented address, and without the slash at its end."""

    def serve(route: Route) -> Route:
        of.get(path, **more)(route)
        of.get(path.rstrip("/"), include_in_schema=False, **more)(route)
        return route

    return serve


@documented(router, "/studies/", responses={**PAGED, **errors(401, 403)})
def list_radiology_studies(  # noqa: PLR0913 - one parameter for each filter
    request: Request,
    response: Response,
    caller: Reader,
    radiology_order_id: Id | None = None,
    patient_id: Annotated[Code | None, Query(description="The patient's code")] = None,
    modality: AnyModality | None = None,
    date_from: Annotated[IsoDate | None, Query(description="Study date, this day or later")] = None,
    date_to: Annotated[IsoDate | None, Query(description="Study date, this day or before")] = None,
    unassigned: Annotated[bool | None, Query(description="true: only studies without an order; false: none")] = None,
    q: Annotated[Line, Query(description="Words of name, description, patient's or accession number")] = "",
    page: Page = 1,
    size: Size = 50,
) -> list[StudyAnswer]:
    """Studies, the latest examination first. Those without an order are shown to radiology technicians alone.

    How many there are, and where the other pages are, is in the headers.
    """
    if date_from is not None and date_to is not None and date_to < date_from:
        raise InvalidError("lies before date_from", field="date_to")
    wanted = StudyFilter(radiology_order_id, patient_id or "", modality or "", date_from, date_to, unassigned, q)
    with tenant_work(caller) as session:
        seen = Seen(sees_unassigned(caller))
        rows, total = studies.list_studies(session, caller.tenant_id, wanted, seen, page=page, size=size)
        studies.note_studies_read(session, caller.tenant_id, caller.actor, rows)
        answers = [StudyAnswer.of(row) for row in rows]
    response.headers["X-Total-Count"] = str(total)
    response.headers["Link"] = _links(request, total, page=page, size=size)
    return answers


@documented(router, "/studies/{study_id}/", responses=errors(401, 403, 404))
def get_radiology_study(study_id: Id, caller: Reader) -> StudyAnswer:
    """One study."""
    with tenant_work(caller) as session:
        study = studies.get_study(session, caller.tenant_id, study_id, Seen(sees_unassigned(caller)))
        studies.note_study_read(session, caller.tenant_id, caller.actor, study)
        return StudyAnswer.of(study)


@documented(router, "/studies/{study_id}/viewer-url/", responses=errors(401, 403, 404))
def get_viewer_url(study_id: Id, caller: Reader, expires_in: Seconds = None) -> ViewerUrlAnswer:
    """An address that opens this study in the viewer until it expires or is revoked, for whoever has it."""
    seconds = seconds_of(expires_in)
    with tenant_work(caller) as session:
        study = studies.get_study(session, caller.tenant_id, study_id, Seen(sees_unassigned(caller)))
        address, _ = new_viewer_url(session, caller, study, seconds)
        return ViewerUrlAnswer(viewer_url=address, study_uid=study.study_uid, expires_in=seconds)


@documented(router, "/studies/{study_id}/images/", responses=errors(401, 403, 404))
def list_study_images(study_id: Id, caller: Reader, expires_in: Seconds = None) -> StudyImagesAnswer:
    """All images of a study, grouped by series, each with an address its file is fetched by until that expires."""
    seconds = seconds_of(expires_in)
    with tenant_work(caller) as session:
        study = studies.get_study(session, caller.tenant_id, study_id, Seen(sees_unassigned(caller)))
        studies.note_study_read(session, caller.tenant_id, caller.actor, study)
        series, images = studies.series_of(session, study), studies.images_of(session, study)
    of: dict[int, list[SeriesImageAnswer]] = {one.id: [] for one in series}
    for image in images:
        of.setdefault(image.series_id, []).append(SeriesImageAnswer.of(image, image_url(caller, image, seconds)))
    answers = [SeriesAnswer.of(one, of[one.id]) for one in series]
    return StudyImagesAnswer(study_uid=study.study_uid, study_description=study.study_description, series=answers)


@router.post("/studies/{study_id}/assign", responses=errors(401, 403, 404, 409))
def assign_study(study_id: Id, given: AssignIn, caller: Uploader) -> StudyAnswer:
    """Give a study without an order to the order it belongs to: that is performed with it, and doctors see it."""
    order_id = given.radiology_order_id
    with tenant_work(caller) as session:
        assign_by_hand(session, caller.tenant_id, caller.actor, study_id, order_id=order_id, user_id=caller.user_id)
        session.expire_all()
        study = studies.get_study(session, caller.tenant_id, study_id, Seen(sees_unassigned=True))
        studies.note_study_read(session, caller.tenant_id, caller.actor, study)
        return StudyAnswer.of(study)


def _links(request: Request, total: int, *, page: int, size: int) -> str:
    last = max(1, -(-total // size))
    others = [(name, value) for name, value in request.query_params.multi_items() if name not in ("page", "size")]
    pages = {"first": 1, "prev": page - 1, "next": page + 1, "last": last}
    return ", ".join(
        f'<{request.url.path}?{urlencode([*others, ("page", number), ("size", size)])}>; rel="{name}"'
        for name, number in pages.items()
        if 1 <= number <= last
    )
