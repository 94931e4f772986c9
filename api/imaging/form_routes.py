"""Upload by a plain multipart form: fields first, then files. Each file is stored, or named with its reason."""

from typing import Any

from fastapi import APIRouter, Request, Response

from api.deps import Caller
from api.errors import errors
from api.imaging.access import Uploader
from api.imaging.answers import FilesAnswer
from api.imaging.failures import raise_common
from api.imaging.form_reading import ImageForm, Reading
from api.imaging.parts import boundary_of
from api.imaging.receiving import Entrance
from api.runs import start_completing
from models.kernel.errors import InvalidError, UnreadableError

FORM = "multipart/form-data"

router = APIRouter(prefix="/images", tags=["imaging"])

DOCUMENTED: dict[str, Any] = {
    "responses": {
        202: {"model": FilesAnswer, "description": "Some are stored"},
        409: {"model": FilesAnswer, "description": "None is stored"},
        **errors(401, 403, 404),
    },
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "content": {
                FORM: {
                    "schema": {
                        "type": "object",
                        "properties": {
                            **{
                                name: {"type": "integer" if name.endswith("order_id") else "string"}
                                for name in ImageForm.model_fields
                            },
                            "files": {"type": "array", "items": {"type": "string", "format": "binary"}},
                        },
                        "required": ["files"],
                    }
                }
            },
        }
    },
}


@router.post("", **DOCUMENTED)
async def upload_images(request: Request, response: Response, caller: Uploader) -> FilesAnswer:
    """Store the files of a form: fields such as `radiology_order_id` first, then the files. 200 when all are stored."""
    return await take_form(request, response, caller)


async def take_form(request: Request, response: Response, caller: Caller) -> FilesAnswer:
    """The same for pages."""
    content_type = request.headers.get("content-type", "")
    if not content_type.lower().startswith(FORM):
        raise UnreadableError(f"the body must be {FORM}", field="Content-Type")
    boundary, _ = boundary_of(content_type)
    reading = Reading(Entrance(caller, "form"))
    try:
        await reading.read(request, boundary)
    finally:
        if any(one.success for one in reading.answers):  # the line may have broken after them
            start_completing(caller)
    if not reading.answers:
        raise InvalidError("at least one file is needed, after the fields", field="files")
    stored = sum(one.success for one in reading.answers)
    failed = len(reading.answers) - stored
    if len(reading.errors) == len(reading.answers):
        raise_common(reading.errors)
    response.status_code = 200 if not failed else 202 if stored else 409
    return FilesAnswer(stored=stored, failed=failed, files=reading.answers)
