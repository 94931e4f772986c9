"""One image: what is known of it, where its file is fetched, and the note that it is not to be used."""

from fastapi import APIRouter

from api.deps import tenant_work
from api.errors import errors
from api.imaging.access import Orderer, Reader, sees_unassigned
from api.imaging.image_links import image_url, seconds_of
from api.imaging.study_answers import ImageAnswer, ImageUrlAnswer
from api.imaging.study_routes import Seconds, documented
from models.imaging.schemas import RejectIn
from models.imaging.stores import studies
from models.imaging.stores.rejections import reject_image
from models.imaging.stores.studies import Seen
from models.kernel.fields import Id

router = APIRouter(prefix="/images", tags=["imaging"])


@documented(router, "/{image_id}/url/", responses=errors(401, 403, 404))
def get_image_url(image_id: Id, caller: Reader, expires_in: Seconds = None) -> ImageUrlAnswer:
    """An address that gives the image's file, by GET, to whoever has it until it expires."""
    seconds = seconds_of(expires_in)
    with tenant_work(caller) as session:
        row = studies.get_image(session, caller.tenant_id, image_id, Seen(sees_unassigned(caller)))
        studies.note_study_read(session, caller.tenant_id, caller.actor, row.study)
    image = row.image
    address = image_url(caller, image, seconds)
    return ImageUrlAnswer(image_url=address, image_uid=image.image_uid, filename=image.filename, expires_in=seconds)


@documented(router, "/{image_id}/", responses=errors(401, 403, 404))
def get_radiology_image(image_id: Id, caller: Reader) -> ImageAnswer:
    """One image with its DICOM attributes or EXIF fields."""
    with tenant_work(caller) as session:
        row = studies.get_image(session, caller.tenant_id, image_id, Seen(sees_unassigned(caller)))
        studies.note_study_read(session, caller.tenant_id, caller.actor, row.study)
        return ImageAnswer.of(row)


@router.post("/{image_id}/reject", responses=errors(401, 403, 404, 409))
def reject_radiology_image(image_id: Id, given: RejectIn, caller: Orderer) -> ImageAnswer:
    """Note that an image is not to be used, and why. It stays as it is; there is one note."""
    with tenant_work(caller) as session:
        row = studies.get_image(session, caller.tenant_id, image_id, Seen(sees_unassigned(caller)))
        reject_image(session, caller.tenant_id, caller.actor, row, note=given.note, user_id=caller.user_id)
        studies.note_study_read(session, caller.tenant_id, caller.actor, row.study)
        return ImageAnswer.of(row)
