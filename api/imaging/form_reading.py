"""A form of images as it comes: fields first, then files. Each file is stored, or named with its reason."""

from functools import partial
from pathlib import Path

from fastapi import Request
from pydantic import BaseModel, ConfigDict, ValidationError

from api.deps import tenant_work
from api.errors import problems_of
from api.imaging.answers import FileAnswer
from api.imaging.failures import failure_of
from api.imaging.parts import Begin, Data, disposition_of, read_parts
from api.imaging.receiving import Entrance, Incoming, in_thread, pieces
from models.imaging.offers import Offer
from models.imaging.rules import HELD_RULES, Declared, NotLetInError, why
from models.imaging.schemas import Accession, Modality, Uid
from models.imaging.stores.orders import get_order
from models.kernel.errors import InvalidError, TooLargeError, UnreadableError
from models.kernel.fields import Code, Id, Line

MOST_FIELD_BYTES, MOST_FIELDS, MOST_FIELDS_BYTES = 4096, 100, 64 * 1024
MOST_FILES = 5_000
"""Of one request, as for fields; the files before one too many are stored."""
OF_PAGES = "csrf_token"
"""A field of pages, which says nothing of files."""


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


class Reading:
    """The form of one request. `errors` are those of files that no rule kept out."""

    def __init__(self, entrance: Entrance) -> None:
        self.entrance = entrance
        self.answers: list[FileAnswer] = []
        self.errors: list[Exception] = []
        self._fields: dict[str, str] = {}
        self._form: ImageForm | None = None
        self._files = self._field_count = self._field_bytes = 0
        self._name, self._filename, self._text = "", "", b""
        self._incoming: Incoming | None = None

    async def read(self, request: Request, boundary: bytes) -> None:
        """Keep the fields, take the files in one after the other: the error of one keeps no other one out."""
        try:
            async for event in read_parts(pieces(request), boundary):
                if isinstance(event, Begin):
                    self._name, self._filename = disposition_of(event.headers)
                    await (self._begin_file() if self._filename else self._begin_field())
                elif isinstance(event, Data):
                    await (self._add(event.content) if self._filename else self._add_text(event.content))
                else:
                    await (self._end_file() if self._filename else self._end_field())
        except UnreadableError as error:
            if not self.answers:
                raise
            self._fail(error)
        finally:
            if self._incoming is not None:
                self._incoming.drop()

    async def _begin_field(self) -> None:
        self._text = b""
        self._field_count += 1
        if self._field_count > MOST_FIELDS:
            raise TooLargeError(f"more than {MOST_FIELDS} fields", field="form")

    async def _add_text(self, content: bytes) -> None:
        self._field_bytes += len(content)
        if self._field_bytes > MOST_FIELDS_BYTES:
            raise TooLargeError(f"the fields have more than {MOST_FIELDS_BYTES} bytes together", field="form")
        self._text += content
        if len(self._text) > MOST_FIELD_BYTES:
            raise InvalidError("is too long", field=self._name or "form")

    async def _end_field(self) -> None:
        if not self._text.strip():
            return
        if self._form is not None and self._name != OF_PAGES:
            raise InvalidError("comes after a file it does not hold for: fields come first", field=self._name or "form")
        self._fields[self._name] = self._text.decode(errors="replace")

    async def _begin_file(self) -> None:
        self._form = self._form or await in_thread(self._checked)
        self._files += 1
        if self._files <= MOST_FILES:
            self._incoming = Incoming(self.entrance.spool)
        elif self._files == MOST_FILES + 1:
            message = f"more than {MOST_FILES} files in one request: this one and those after it are not taken"
            self._fail(TooLargeError(message, field="files"))

    async def _add(self, content: bytes) -> None:
        if self._incoming is None:
            return  # the rest of a file that is not taken
        try:
            await self._incoming.add(content)
        except Exception as error:  # noqa: BLE001 # this one's: the others go on
            self._incoming.drop()
            self._incoming = None
            self._fail(error)

    async def _end_file(self) -> None:
        incoming, self._incoming = self._incoming, None
        if incoming is None:
            return
        try:
            self.answers.append(await in_thread(partial(self._take, incoming)))
        except Exception as error:  # noqa: BLE001 # as above
            self._fail(error)

    def _checked(self) -> ImageForm:
        """The fields; NotFoundError for an order that is not theirs, before a file is taken."""
        form, caller = _form(self._fields), self.entrance.caller
        if form.radiology_order_id is not None:
            with tenant_work(caller) as session:
                get_order(session, caller.tenant_id, form.radiology_order_id)
        return form

    def _fail(self, error: Exception) -> None:
        self.errors.append(error)
        self.answers.append(FileAnswer(filename=self._shown, success=False, error=failure_of(error).error))

    @property
    def _shown(self) -> str:
        return self._filename.replace("\0", "")[:200]

    def _take(self, incoming: Incoming) -> FileAnswer:
        if incoming.size == 0:
            return FileAnswer(filename=self._shown, success=False, rule="not_an_image", error="the file is empty")
        try:
            stored = self.entrance.take(incoming, self._offer)
        except NotLetInError as error:
            is_held, text = error.rule in HELD_RULES, why(error.rule)
            return FileAnswer(filename=self._shown, success=False, rule=error.rule, is_held=is_held, error=text)
        return FileAnswer(
            filename=self._shown,
            success=True,
            image_id=stored.taken.image_id,
            image_uid=stored.image_uid,
            study_uid=stored.study_uid,
            is_new=stored.taken.is_new,
        )

    def _offer(self, path: Path, digest: str) -> Offer:
        form = self._form or ImageForm()
        return Offer(
            path=path,
            filename=self._shown,
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
