"""STOW-RS: a modality or gateway stores instances (DICOM PS3.18, 10.5). Each is stored, or named with its reason."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Request, Response
from pydantic_core import to_json

from api.deps import Caller
from api.errors import MEANING, errors
from api.imaging.access import Uploader
from api.imaging.failures import AWAY, failure_of, raise_common
from api.imaging.groups import Groups
from api.imaging.parts import Begin, Data, End, boundary_of, read_parts
from api.imaging.receiving import Entrance, Incoming, pieces
from api.runs import start_completing
from models.imaging.intake import Stored
from models.imaging.offers import Offer
from models.imaging.ports import DICOM
from models.imaging.rules import Declared, NotLetInError, why
from models.imaging.schemas import Uid
from models.kernel.errors import UnreadableError
from models.kernel.settings import settings

DICOM_JSON = "application/dicom+json"
MOST_PARTS = 5_000
"""Of one request."""
DUPLICATE, PROCESSING, NO_RESOURCES, MISMATCH, NOT_UNDERSTOOD = 0x0111, 0x0110, 0xA700, 0xA900, 0xC000
"""Failure reasons (0008,1197) of DICOM PS3.18 Table 10.5.3-1 and PS3.4 Table B.2-1."""
REASONS = {
    "other_bytes": DUPLICATE,
    **dict.fromkeys(("parser_died", "parser_time", "parser_failed"), PROCESSING),
    **dict.fromkeys(
        ("uids", "patient", "study_of_another", "series_elsewhere", "order_taken", "order_differs"), MISMATCH
    ),
}

router = APIRouter(tags=["dicomweb"])


@dataclass(frozen=True, slots=True)
class Failed:
    """An instance that was not stored; without UIDs where it could not be read. `error`: no rule kept it out."""

    reason: int
    text: str
    sop_class_uid: str = ""
    image_uid: str = ""
    error: Exception | None = None


class Storing:
    """The instances of one request: each is stored, or told of with its reason. `has_stored` once one is stored."""

    def __init__(self, entrance: Entrance, study_uid: str | None) -> None:
        self._entrance, self._study_uid = entrance, study_uid
        self._groups = Groups(self._take)
        self._parts = self._whole = 0
        self._others: list[Failed] = []
        self.has_stored = False

    async def read(self, request: Request, boundary: bytes) -> list[Stored | Failed]:
        """Take every part in while the next ones come; when the body ends too early, what was whole is stored."""
        incoming: Incoming | None = None
        try:
            async for event in read_parts(pieces(request), boundary):
                if isinstance(event, Begin):
                    incoming = self._incoming(event.headers)
                elif isinstance(event, Data) and incoming is not None:
                    incoming = await self._added(incoming, event.content)
                elif isinstance(event, End) and incoming is not None:
                    whole, incoming = incoming, None
                    self._whole += 1
                    await self._groups.add(whole, whole.bytes_in_memory)
        except UnreadableError as error:
            if not self._whole:
                raise
            self._others.append(Failed(NOT_UNDERSTOOD, f"What follows is not taken: {error}"))
        finally:
            if incoming is not None:
                incoming.drop()
            await self._groups.settle()
        return self._groups.told() + self._others

    def _incoming(self, headers: dict[str, str]) -> Incoming | None:
        """The file that begins; None for a part that is not taken, which is passed over and told of."""
        self._parts += 1
        if self._parts > MOST_PARTS:
            if self._parts == MOST_PARTS + 1:
                text = f"More than {MOST_PARTS} instances in one request: this one and those after it are not taken"
                self._others.append(Failed(PROCESSING, text))
            return None
        if headers.get("content-type", DICOM).partition(";")[0].strip().lower() == DICOM:
            return Incoming(self._entrance.spool)
        self._others.append(Failed(NOT_UNDERSTOOD, "The part is not of type application/dicom"))
        return None

    async def _added(self, incoming: Incoming, content: bytes) -> Incoming | None:
        """The file with its next piece; None where it cannot be taken: the rest of it is passed over."""
        try:
            await incoming.add(content)
        except Exception as error:  # noqa: BLE001 # this one's: the others go on
            incoming.drop()
            self._others.append(_failed_by(error))
            return None
        return incoming

    def _take(self, group: list[Incoming]) -> list[Stored | Failed]:
        try:
            results = self._entrance.take_many(group, self._offer)
        except Exception as error:  # noqa: BLE001 # none of them could be written to the disk: told of each
            return [_failed_by(error) for _ in group]
        self.has_stored |= any(isinstance(result, Stored) for result in results)
        return [_told(result) for result in results]

    def _offer(self, path: Path, digest: str) -> Offer:
        return Offer(
            path=path,
            filename="instance.dcm",
            source="stow",
            user_id=self._entrance.caller.user_id or None,
            digest=digest,
            mime_type=DICOM,
            declared=Declared(study_uid=self._study_uid),
        )


async def store(request: Request, caller: Caller, study_uid: str | None) -> Response:
    """The instances of a multipart/related body."""
    content_type = request.headers.get("content-type", "")
    if not content_type.lower().startswith("multipart/related"):
        return _plain(415, "the body must be multipart/related; type=application/dicom")
    boundary, options = boundary_of(content_type)
    if options.get("type", DICOM).lower() != DICOM:
        return _plain(415, "only parts of type application/dicom are taken")
    storing = Storing(Entrance(caller, "stow"), study_uid)
    try:
        results = await storing.read(request, boundary)
    finally:
        if storing.has_stored:  # the line may have broken after them
            start_completing(caller)
    if not results:
        raise UnreadableError("there is no instance in the body", field="body")
    stored = [one for one in results if isinstance(one, Stored)]
    failed = [one for one in results if isinstance(one, Failed)]
    if not stored and all(one.error for one in failed):
        raise_common([one.error for one in failed if one.error])
    status = 200 if not failed else 202 if stored else 409
    return Response(to_json(_answer(stored, failed)), status, media_type=DICOM_JSON)


def _told(result: Stored | Exception) -> Stored | Failed:
    if isinstance(result, NotLetInError):
        reason, found = REASONS.get(result.rule, NOT_UNDERSTOOD), result.found
        uids = (found.sop_class_uid, found.image_uid) if found else ("", "")
        return Failed(reason, why(result.rule), *uids)
    return _failed_by(result) if isinstance(result, Exception) else result


def _failed_by(error: Exception) -> Failed:
    failure = failure_of(error)
    if failure.status == AWAY:
        return Failed(NO_RESOURCES, MEANING[AWAY].partition(";")[0], error=error)
    return Failed(PROCESSING, failure.error, error=error)


def _answer(stored: list[Stored], failed: list[Failed]) -> dict[str, Any]:
    base = f"{settings().base_url}/dicom-web/studies"
    answer: dict[str, Any] = {}
    studies = {one.study_uid for one in stored}
    if len(studies) == 1:
        answer["00081190"] = {"vr": "UR", "Value": [f"{base}/{studies.pop()}"]}
    if stored:
        answer["00081199"] = {"vr": "SQ", "Value": [_stored(one, base) for one in stored]}
    named = [one for one in failed if one.image_uid]
    if named:
        answer["00081198"] = {"vr": "SQ", "Value": [_failed(one) for one in named]}
    if len(named) < len(failed):
        answer["0008119A"] = {"vr": "SQ", "Value": [_failed(one) for one in failed if not one.image_uid]}
    return answer


def _stored(one: Stored, base: str) -> dict[str, Any]:
    address = f"{base}/{one.study_uid}/series/{one.series_uid}/instances/{one.image_uid}"
    return {
        "00081150": {"vr": "UI", "Value": [one.sop_class_uid]},
        "00081155": {"vr": "UI", "Value": [one.image_uid]},
        "00081190": {"vr": "UR", "Value": [address]},
    }


def _failed(one: Failed) -> dict[str, Any]:
    item: dict[str, Any] = {
        "00000902": {"vr": "LO", "Value": [one.text]},
        "00081197": {"vr": "US", "Value": [one.reason]},
    }
    if one.image_uid:
        item["00081150"] = {"vr": "UI", "Value": [one.sop_class_uid]}
        item["00081155"] = {"vr": "UI", "Value": [one.image_uid]}
    return item


def _plain(status: int, message: str) -> Response:
    return Response(to_json({"success": False, "error": message}), status, media_type="application/json")


STORED: dict[str, Any] = {
    "responses": {
        200: {"description": "All are stored", "content": {DICOM_JSON: {}}},
        202: {"description": "Some are stored; the others are listed with their reasons", "content": {DICOM_JSON: {}}},
        409: {"description": "None is stored", "content": {DICOM_JSON: {}}},
        **errors(401, 403, 404, 415),
    },
    "openapi_extra": {
        "requestBody": {
            "required": True,
            "content": {
                'multipart/related; type="application/dicom"': {"schema": {"type": "string", "format": "binary"}}
            },
        }
    },
}


@router.post("/studies", **STORED)
async def store_instances(request: Request, caller: Uploader) -> Response:
    """STOW-RS: store instances of any studies."""
    return await store(request, caller, None)


@router.post("/studies/{study_uid}", **STORED)
async def store_instances_of_study(study_uid: Uid, request: Request, caller: Uploader) -> Response:
    """STOW-RS: store instances of this study; those of another one fail."""
    return await store(request, caller, study_uid)
