"""Our OHIF under /viewer/: files that set-up fetched, its settings, and a policy that lets it reach nothing but us.

Nothing here is about a patient: what the viewer shows it asks of /dicom-web/, with the token of its link.
"""

import hashlib
import re
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path, PurePosixPath

from fastapi import APIRouter, Request, Response
from fastapi.responses import FileResponse, RedirectResponse

from api.imaging.ohif_files import ROOT_PATH, STAMP, is_ohif_here, ohif_folder
from models.kernel.errors import NotFoundError

router = APIRouter(tags=["imaging"])

POLICY = "; ".join(
    (
        "default-src 'none'",
        # JPEG 2000 is decoded by code that is made while it runs; nothing is loaded from elsewhere, nor from the page.
        "script-src 'self' 'wasm-unsafe-eval' 'unsafe-eval'",
        "worker-src 'self' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "connect-src 'self' blob: data:",
        "object-src 'none'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
OURS = {
    "app-config.js": Path(__file__).with_name("ohif_config.js"),
    "labwire.css": Path(__file__).with_name("ohif_labwire.css"),
}
"""Files that are not OHIF's."""
HASHED = re.compile(r"\.?[0-9a-f]{16}\.(js|wasm|woff2)$")
"""A name that holds its content's hash: what lies under it never changes."""
FOREVER = "public, max-age=31536000, immutable"
ASK_AGAIN = "no-cache"
TYPES = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".png": "image/png",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
    ".wasm": "application/wasm",
    ".woff2": "font/woff2",
}
"""Written out: the machine's own table of types differs from system to system."""


@dataclass(frozen=True)
class Served:
    """One file as it is sent: plain, and compressed where that was worth it."""

    path: Path
    compressed: Path | None
    etag: str
    media_type: str
    caching: str


@router.get("/viewer", include_in_schema=False)
def viewer_root(request: Request) -> Response:
    """The same address with its slash."""
    query = request.url.query
    return RedirectResponse(ROOT_PATH + (f"?{query}" if query else ""), 308)


@router.api_route("/viewer/{name:path}", methods=["GET", "HEAD"], include_in_schema=False)
def viewer_file(request: Request, name: str) -> Response:
    """A file of the viewer; what is no file is one of its pages, and they all are index.html."""
    if not is_ohif_here():
        raise NotFoundError("the OHIF viewer was not fetched on this machine: `labwire viewer fetch` does it")
    folder = ohif_folder()
    files = _files(folder, (folder / STAMP).stat().st_mtime_ns)
    served = files.get(name)
    if served is None and PurePosixPath(name).suffix not in TYPES:
        served = files["index.html"]
    if served is None:
        raise NotFoundError("the viewer has no such file")
    return _answer(request, served)


def _answer(request: Request, served: Served) -> Response:
    """The file, compressed where the browser takes that, or that it has not changed."""
    is_compressed = served.compressed is not None and _takes_gzip(request.headers.get("accept-encoding", ""))
    etag = f'"{served.etag}-gzip"' if is_compressed else f'"{served.etag}"'
    headers = {
        "Content-Security-Policy": POLICY,
        "Cache-Control": served.caching,
        "ETag": etag,
        **({"Vary": "Accept-Encoding"} if served.compressed else {}),
    }
    known = [one.strip().removeprefix("W/") for one in request.headers.get("if-none-match", "").split(",")]
    if etag in known or "*" in known:
        return Response(status_code=304, headers=headers)
    path = served.path
    if is_compressed and served.compressed is not None:
        path = served.compressed
        headers["Content-Encoding"] = "gzip"
    return FileResponse(path, headers=headers, media_type=served.media_type)


def _takes_gzip(accepted: str) -> bool:
    """Whether Accept-Encoding names gzip, or everything, and not with a weight of nothing."""
    for one in accepted.lower().split(","):
        coding, _, weight = one.replace(" ", "").partition(";")
        if coding in ("gzip", "*"):
            return not re.fullmatch(r"q=0(\.0*)?", weight)
    return False


@lru_cache(maxsize=2)
def _files(folder: Path, stamped_at: int) -> dict[str, Served]:
    """Every file by its name below /viewer/. A name that is not in here is not opened: there is no way out.

    Read once for each time the folder was filled (`stamped_at`).
    """
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and path.suffix in TYPES:
            found[name] = _served(path)
    return found | {name: _served(path) for name, path in OURS.items()}


def _served(path: Path) -> Served:
    compressed = path.with_name(path.name + ".gz")
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()[:32]
    return Served(
        path=path,
        compressed=compressed if compressed.exists() else None,
        etag=digest,
        media_type=TYPES[path.suffix],
        caching=FOREVER if HASHED.search(path.name) else ASK_AGAIN,
    )
