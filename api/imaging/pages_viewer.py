"""The light viewer: a page that holds nothing of anybody. Its script asks DICOMweb for what its bearer may see."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request, Response

from api.deps import Caller, identify_person, note_refusal
from api.errors import SignInNeededError
from api.imaging.viewing import view_of_token
from api.render import render
from models.imaging.schemas import Uid
from models.kernel.errors import ForbiddenError
from models.people.roles import RADIOLOGY

router = APIRouter(prefix="/radiology/view")


@router.get("/{study_uid}")
def light_viewer(
    request: Request,
    study_uid: Uid,
    caller: Annotated[Caller | None, Depends(identify_person)],
    token: Annotated[str, Query(max_length=500)] = "",
) -> Response:
    """For the bearer of a viewer's address, or somebody signed in. A token that opens nothing any more is told here."""
    if token:
        view_of_token(request, token, is_opening=True)
    elif caller is None:
        raise SignInNeededError("sign in")
    elif not caller.has(*RADIOLOGY):
        note_refusal(request, caller)
        raise ForbiddenError("your roles do not include this page")
    return render(request, "imaging/viewer.html", None, study_uid=study_uid)
