"""What the WADO-RS routes share: who looks at which objects, and what of them is acceptable to the client."""

from collections.abc import Sequence

from fastapi import Request

from api.imaging.negotiating import Wanted
from api.imaging.noting import NOTED, note_looks
from api.imaging.viewing import View
from models.imaging.stores import places
from models.imaging.stores.places import DicomObject, Found
from models.imaging.tables import RadiologySeries
from models.kernel.tenancy import tenant_session

OCTETS = "application/octet-stream"
LITTLE = "1.2.840.10008.1.2.1"
UNCOMPRESSED = ("1.2.840.10008.1.2", LITTLE, "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2")
RLE = "1.2.840.10008.1.2.5"
_JPEG_FAMILY = "1.2.840.10008.1.2.4."
_MEDIA = {
    **dict.fromkeys(("50", "51", "57", "70"), "image/jpeg"),
    **dict.fromkeys(("80", "81"), "image/jls"),
    **dict.fromkeys(("90", "91"), "image/jp2"),
    **dict.fromkeys(("92", "93"), "image/jpx"),
    **dict.fromkeys(("110", "111", "112"), "image/jxl"),
    **dict.fromkeys(("201", "202", "203"), "image/jphc"),
    **dict.fromkeys(("100", "101", "100.1", "101.1"), "video/mpeg"),
    **dict.fromkeys(("102", "103", "104", "105", "106", "107", "108"), "video/mp4"),
}
"""Media types of frames by the end of their transfer syntax (PS3.18, 8.7.3.3)."""


def media_type_of(syntax: str) -> str:
    """The media type of a frame in this transfer syntax; RLE and what is not compressed are octets."""
    return _MEDIA.get(syntax.removeprefix(_JPEG_FAMILY), OCTETS) if syntax.startswith(_JPEG_FAMILY) else OCTETS


def find(view: View, study_uid: str, series_uid: str = "", image_uid: str = "") -> Found:
    """The objects, whose study is noted as looked at; NotFoundError."""
    with tenant_session(view.tenant_id) as session:
        found = places.find(session, view.tenant_id, view.seen, study_uid, series_uid, image_uid)
        marks = note_looks(session, view, (found.study,))
    NOTED.remember(marks)
    return found


def find_series(view: View, study_uid: str, series_uid: str = "") -> Sequence[RadiologySeries]:
    """The series of a study, or the one, likewise."""
    with tenant_session(view.tenant_id) as session:
        study, series = places.find_series(session, view.tenant_id, view.seen, study_uid, series_uid)
        marks = note_looks(session, view, (study,))
    NOTED.remember(marks)
    return series


def takes_syntaxes(wanted: Wanted, objects: Sequence[DicomObject]) -> bool:
    """Whether the objects may come in the transfer syntax they are stored in: nothing is transcoded."""
    return wanted.transfer_syntax in ("", "*") or all(
        one.transfer_syntax_uid == wanted.transfer_syntax for one in objects
    )


def base_of(request: Request) -> str:
    """The path of what was asked for."""
    return request.url.path.rstrip("/")
