"""Forms of pages: read once, and made into the same shapes the JSON API takes."""

from typing import Annotated, Any, TypeVar, get_args, get_origin

from fastapi import Depends, Request
from pydantic import BaseModel
from starlette.datastructures import FormData

from models.kernel.errors import InvalidError

Shape = TypeVar("Shape", bound=BaseModel)


async def read_form(request: Request) -> FormData:
    """The posted form, so that a plain `def` route can use it; InvalidError for text that no database keeps."""
    form = await request.form()
    for name, value in form.multi_items():
        if not _is_storable(name) or (isinstance(value, str) and not _is_storable(value)):
            field = name if name.isascii() and name.isprintable() else "form"
            raise InvalidError("contains a character that is not allowed", field=field)
    return form


def _is_storable(value: str) -> bool:
    """No NUL, and no half of a character, which a form may hold by naming an odd charset."""
    return not any(letter == "\0" or "\ud800" <= letter <= "\udfff" for letter in value)


Form = Annotated[FormData, Depends(read_form)]


def fill(shape: type[Shape], form: FormData, **more: Any) -> Shape:
    """The form as `shape`, an empty field being one left out; a ValidationError names the fields (see form_errors)."""
    given: dict[str, Any] = {}
    for name, field in shape.model_fields.items():
        texts = [value for value in form.getlist(name) if isinstance(value, str) and value.strip()]
        if texts:
            given[name] = texts if _is_list(field.annotation) else texts[-1]
    return shape.model_validate(given | more)


def texts(form: FormData) -> dict[str, str]:
    """What was typed, to be shown again beside the complaints; passwords are never among it."""
    return {
        name: value
        for name, value in form.items()
        if isinstance(value, str) and "password" not in name and name not in ("csrf_token", "present")
    }


def text(form: FormData, name: str) -> str:
    """One field as typed, trimmed; empty when it is missing or a file."""
    value = form.get(name)
    return value.strip() if isinstance(value, str) else ""


def whole_number(text: object, *, field: str) -> int | None:
    """A number in an address; None when there is none; InvalidError naming the field when it is something else."""
    if text in (None, ""):
        return None
    if isinstance(text, str) and text.isascii() and text.isdigit() and len(text) < 19:
        return int(text)
    raise InvalidError("is not a number", field=field)


def _is_list(annotation: Any) -> bool:
    return get_origin(annotation) is list or any(get_origin(part) is list for part in get_args(annotation))
