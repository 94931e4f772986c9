"""Upload by a plain multipart form: fields first, then files. Each file is stored, or named with its reason."""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic import BaseModel, ConfigDict, ValidationError

from api.deps import Caller, tenant_work
from api.errors import errors, problems_of
from api.imaging.access import Uploader
from api.imaging.answers import FileAnswer, FilesAnswer
from api.imaging.parts import Begin, Data, boundary_of, disposition_of, read_parts
from api.imaging.receiving import Entrance, Incoming, in_thread, pieces
from api.runs import start_completing
from models.imaging.offers import Offer
from models.imaging.rules import HELD_RULES, Declared, NotLetInError, why
from models.imaging.schemas import Accession, Modality, Uid
from models.imaging.stores.orders import get_order
from models.kernel.errors import InvalidError, TooLargeError, UnreadableError
from models.kernel.fields import Code, Id, Line

MOST_FIELD_BYTES, MOST_FIELDS, MOST_FIELDS_BYTES = 4096, 100, 64 * 1024
MOST_FILES = 5_000
"""Of one request, as for fields; the files before one too many are stored."""
FORM = "multipart/form-data"
OF_PAGES = "csrf_token"
"""A field of pages, which says nothing of files."""

router = APIRouter(prefix="/images", tags=["imaging"])


class ImageForm(BaseModel):
    """What a form may say of its files; UIDs and patient of DICOM files must be these where they are given."""

    model_config = ConfigDict(extra="forbid")

    radiology_order_id: Id | None = None
    study_uid: Uid | None = None
    series_uid: Uid | None = None
    patient_id: Code | None = None
    accession_number: Accession | None = None
    study_description: Line = ""
    series_description: Line = ""
    modality: Modality | None = None


@dataclass(slots=True)
class Reading:
    """A form as it comes in."""

    entrance: Entrance
    answers: list[FileAnswer] = field(default_factory=list)
    _fields: dict[str, str] = field(default_factory=dict)
    _form: ImageForm | None = None
    _field_count: int = 0
    _field_bytes: int = 0

    async def read(self, request: Request, boundary: bytes) -> None:
        """Keep the fields, take the files in one after the other."""
        incoming, name, filename, text = None, "", "", b""
        try:
            async for event in read_parts(pieces(request), boundary):
                if isinstance(event, Begin):
                    name, filename = disposition_of(event.headers)
                    text = b""
                    incoming = await self._begin(is_file=bool(filename))
                elif isinstance(event, Data):
                    if incoming is not None:
                        await incoming.add(event.content)
                    else:
                        text += self._bounded(event.content)
                        if len(text) > MOST_FIELD_BYTES:
                            raise InvalidError("is too long", field=name or "form")
                elif incoming is not None:
                    self.answers.append(await in_thread(partial(self._take, incoming, filename)))
                    incoming = None
                elif text.strip():
                    self._keep(name, text.decode(errors="replace"))
        finally:
            if incoming is not None:
                incoming.drop()

    async def _begin(self, *, is_file: bool) -> Incoming | None:
        """The file that begins; None for a field."""
        if not is_file:
            self._field_count += 1
            if self._field_count > MOST_FIELDS:
                raise TooLargeError(f"more than {MOST_FIELDS} fields", field="form")
            return None
        if len(self.answers) == MOST_FILES:
            raise TooLargeError(f"more than {MOST_FILES} files in one request: those are taken", field="files")
        self._form = self._form or await in_thread(self._checked)
        return Incoming(self.entrance.spool)

    def _checked(self) -> ImageForm:
        """The fields; NotFoundError for an order that is not theirs, before a file is taken."""
        form, caller = _form(self._fields), self.entrance.caller
        if form.radiology_order_id is not None:
            with tenant_work(caller) as session:
                get_order(session, caller.tenant_id, form.radiology_order_id)
        return form

    def _keep(self, name: str, value: str) -> None:
        if self._form is not None and name != OF_PAGES:
            raise InvalidError("comes after a file it does not hold for: fields come first", field=name or "form")
        self._fields[name] = value

    def _bounded(self, data: bytes) -> bytes:
        self._field_bytes += len(data)
        if self._field_bytes > MOST_FIELDS_BYTES:
            raise TooLargeError(f"the fields have more than {MOST_FIELDS_BYTES} bytes together", field="form")
        return data

    def _take(self, incoming: Incoming, filename: str) -> FileAnswer:
        shown = filename.replace("\0", "")[:200]
        if incoming.size == 0:
            return FileAnswer(filename=shown, success=False, rule="not_an_image", error="the file is empty")
        try:
            stored = self.entrance.take(incoming, partial(self._offer, shown))
        except NotLetInError as error:
            is_held = error.rule in HELD_RULES
            return FileAnswer(filename=shown, success=False, rule=error.rule, is_held=is_held, error=why(error.rule))
        return FileAnswer(
            filename=shown,
            success=True,
            image_id=stored.taken.image_id,
            image_uid=stored.image_uid,
            study_uid=stored.study_uid,
            is_new=stored.taken.is_new,
        )

    def _offer(self, filename: str, path: Path, digest: str) -> Offer:
        form = self._form or ImageForm()
        return Offer(
            path=path,
            filename=filename,
            source="form",
            user_id=self.entrance.caller.user_id or None,
            digest=digest,
            declared=Declared(
                study_uid=form.study_uid,
                series_uid=form.series_uid,
                patient_code=form.patient_id,
                accession_number=form.accession_number,
            ),
            radiology_order_id=form.radiology_order_id,
            study_description=form.study_description,
            series_description=form.series_description,
            modality=form.modality or "",
        )


def _form(fields: dict[str, str]) -> ImageForm:
    try:
        return ImageForm.model_validate({name: value for name, value in fields.items() if name != OF_PAGES})
    except ValidationError as error:
        first = problems_of(error.errors())[0]
        raise InvalidError(first.message, field=first.field) from None


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
    response.status_code = 200 if not failed else 202 if stored else 409
    return FilesAnswer(stored=stored, failed=failed, files=reading.answers)
