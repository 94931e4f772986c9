"""Importing a catalogue from a file: first what would change, row by row, then exactly that."""

import base64
import binascii
from typing import Any

from fastapi import APIRouter, Request, Response
from starlette.datastructures import FormData, UploadFile

from api.deps import tenant_work
from api.forms import Form, text
from api.instruments.pages_kit import REFUSALS, Administrator, complaints, show
from api.render import redirect
from models.instruments.catalogue_files import COLUMNS, Format
from models.instruments.stores.catalogue_import import apply_catalogue, preview_catalogue
from models.kernel.errors import InvalidError

LARGEST_FILE = 700_000
"""Bytes. The file travels once more with the second form, and a form's field holds a megabyte; the API takes more."""
router = APIRouter(prefix="/catalogue/import")


@router.get("")
def show_import(request: Request, caller: Administrator) -> Response:
    """Choose a file."""
    return show(request, "import.html", caller, context=_empty())


@router.post("/preview")
def preview(request: Request, caller: Administrator, form: Form) -> Response:
    """What importing the file would do; nothing is written."""
    try:
        name, content, format_ = _uploaded(form)
        with tenant_work(caller) as session:
            found = preview_catalogue(session, caller.tenant_id, content, format_)
    except REFUSALS as error:
        status, errors = complaints(error)
        return show(request, "import.html", caller, status=status, context=_empty() | {"errors": errors})
    packed = base64.b64encode(content).decode()
    context = {"preview": found, "packed": packed, "format": format_, "file_name": name}
    return show(request, "import.html", caller, status=422 if found.problems else 200, context=_empty() | context)


@router.post("/apply")
def apply(request: Request, caller: Administrator, form: Form) -> Response:
    """Do what the preview said, all of it or nothing."""
    try:
        content, format_ = _packed(form)
        with tenant_work(caller) as session:
            done = apply_catalogue(session, caller.tenant_id, caller.actor, content, format_, token=text(form, "token"))
    except REFUSALS as error:
        status, errors = complaints(error)
        said = {"": "; ".join(errors.values())}
        return show(request, "import.html", caller, status=status, context=_empty() | {"errors": said})
    new, changed = done.count("new"), done.count("changed")
    return redirect(request, "/catalogue", flash=f"Imported: {new} new, {changed} changed.")


def _uploaded(form: FormData) -> tuple[str, bytes, Format]:
    file = form.get("file")
    if not isinstance(file, UploadFile) or not file.filename:
        raise InvalidError("choose a file", field="file")
    content = file.file.read(LARGEST_FILE + 1)
    if len(content) > LARGEST_FILE:
        raise InvalidError(f"is larger than {LARGEST_FILE // 1000} kB; import it through the API", field="file")
    ending = file.filename.lower().rpartition(".")[2]
    if ending == "json":
        return file.filename, content, "json"
    if ending == "csv":
        return file.filename, content, "csv"
    raise InvalidError("is neither .json nor .csv", field="file")


def _packed(form: FormData) -> tuple[bytes, Format]:
    try:
        content = base64.b64decode(text(form, "packed"), validate=True)
    except (binascii.Error, ValueError):
        raise InvalidError("the preview is damaged: choose the file again", field="file") from None
    return content, "json" if text(form, "format") == "json" else "csv"


def _empty() -> dict[str, Any]:
    return {"preview": None, "errors": {}, "packed": "", "format": "", "file_name": "", "columns": COLUMNS}
