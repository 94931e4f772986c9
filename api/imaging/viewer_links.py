"""The address a study is opened at: our OHIF, another one, or the light viewer."""

from urllib.parse import urlencode, urlsplit

from api.imaging.ohif_files import ROOT_PATH, is_ohif_here
from models.kernel.settings import settings


def viewer_url(study_uid: str, token: str, expires_in: int) -> str:
    """Where the bearer of `token` sees that study for `expires_in` seconds.

    `…/viewer/?studyInstanceUIDs=…&token=…&expires=…` for OHIF; the light viewer's page where there is none. Without a
    token, whoever opens it must be signed in.
    """
    place = _ohif_address()
    if place is None:
        page = f"{settings().base_url}/radiology/view/{study_uid}"
        return f"{page}?{urlencode({'token': token})}" if token else page
    pass_on = {"token": token, "expires": expires_in} if token else {}
    given = urlencode({"studyInstanceUIDs": study_uid, **pass_on})
    return f"{place}{'&' if urlsplit(place).query else '?'}{given}"


def _ohif_address() -> str | None:
    """The address of the OHIF that is to be used; None where it is the light viewer."""
    address = settings().ohif_viewer_url.strip()
    if not address:
        return None
    if not address.startswith("/"):
        return address
    if address.rstrip("/") == ROOT_PATH.rstrip("/"):
        return settings().base_url + ROOT_PATH if is_ohif_here() else None
    return settings().base_url + address
