"""Which images of a study are not to be used: beside DICOMweb, for viewers, which mark them."""

from collections.abc import Sequence
from typing import Self

from fastapi import APIRouter
from pydantic import BaseModel, Field

from api.errors import errors
from api.imaging.noting import NOTED, note_looks
from api.imaging.viewing import Viewing
from models.imaging.schemas import Uid
from models.imaging.stores import studies
from models.imaging.stores.rejections import Rejection, rejections_of
from models.kernel.tenancy import tenant_session

router = APIRouter(tags=["dicomweb"])


class RejectedAnswer(BaseModel):
    """An image that is not to be used."""

    image_uid: str = Field(description="SOPInstanceUID")
    note: str = Field(description="Why, as it was written")

    @classmethod
    def of(cls, rejection: Rejection) -> Self:
        """From its row."""
        return cls(image_uid=rejection.image_uid, note=rejection.note)


@router.get("/studies/{study_uid}/rejected", responses=errors(401, 403, 404))
def list_rejected_images(study_uid: Uid, view: Viewing) -> Sequence[RejectedAnswer]:
    """The study's images that are not to be used, with their notes; empty where there are none. They stay readable."""
    with tenant_session(view.tenant_id) as session:
        study = studies.get_study_by_uid(session, view.tenant_id, study_uid, view.seen)
        found = [RejectedAnswer.of(one) for one in rejections_of(session, study)]
        marks = note_looks(session, view, (study,))
    NOTED.remember(marks)
    return found
