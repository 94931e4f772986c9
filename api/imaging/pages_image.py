"""One image: its picture, what is known of it, and the note that it is not to be used."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter, Request, Response

from api.deps import Caller, tenant_work
from api.forms import Form, fill, texts
from api.imaging.access import sees_unassigned
from api.imaging.pages_kit import REFUSALS, Looker, Refusal, complaints, names_of, show
from api.render import redirect
from models.imaging.schemas import RejectIn
from models.imaging.stores import studies
from models.imaging.stores.rejections import reject_image
from models.imaging.stores.studies import Seen
from models.kernel.fields import Id

router = APIRouter(prefix="/radiology/studies/images/{image_id}")


@router.get("")
def radiology_image(request: Request, image_id: Id, caller: Looker) -> Response:
    """The image; that it was looked at is noted."""
    return _page(request, caller, image_id)


@router.post("/reject")
def reject_image_page(request: Request, image_id: Id, caller: Looker, form: Form) -> Response:
    """Note that it is not to be used, and why. It stays."""
    try:
        given = fill(RejectIn, form)
        with tenant_work(caller) as session:
            row = studies.get_image(session, caller.tenant_id, image_id, Seen(sees_unassigned(caller)))
            reject_image(session, caller.tenant_id, caller.actor, row, note=given.note, user_id=caller.user_id)
    except REFUSALS as error:
        return _page(request, caller, image_id, refused=error, typed=texts(form))
    return redirect(request, f"/radiology/studies/images/{image_id}", flash="Noted: the image is not to be used.")


def _page(
    request: Request,
    caller: Caller,
    image_id: int,
    *,
    refused: Refusal | None = None,
    typed: Mapping[str, str] | None = None,
) -> Response:
    status, errors = complaints(refused)
    with tenant_work(caller) as session:
        row = studies.get_image(session, caller.tenant_id, image_id, Seen(sees_unassigned(caller)))
        studies.note_study_read(session, caller.tenant_id, caller.actor, row.study)
        names = names_of(session, caller.tenant_id, [row.image.uploaded_by, row.image.rejected_by])
        facts = sorted((str(name), _text(value)) for name, value in row.image.image_metadata.items())
    context: dict[str, Any] = {
        "image": row.image,
        "series": row.series,
        "study": row.study,
        "names": names,
        "facts": facts,
        "errors": errors,
        "typed": dict(typed or {}),
    }
    return show(request, "image.html", caller, status=status, context=context)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return " \\ ".join(_text(one) for one in value)  # as DICOM writes several values
    if isinstance(value, dict):
        return ", ".join(f"{name} {_text(one)}" for name, one in value.items())
    return str(value)
