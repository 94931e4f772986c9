"""Out of the package's archive: the files that are served, below our path, compressed once."""

import base64
import gzip
import hashlib
import json
import re
import tarfile
import zlib
from collections.abc import Iterator
from pathlib import Path

from api.imaging.ohif_files import ROOT_PATH, STAMP, expected_stamp
from models.kernel.errors import RefusedError

WANTED = re.compile(
    r"package/(?:dist/(?P<dist>[\w-]+(?:\.bundle)?\.[0-9a-f]{16}\.js"  # code, named by its content
    r"|[\w.-]+\.css|[0-9a-f]{16}\.(?:wasm|woff2)|assets/images/[\w-]+\.png)|(?P<licence>LICENSE))"
)
"""What is taken: neither service worker and sign-in helpers nor what only segmentation models and slides need."""
APP = re.compile(r"app\.bundle\.[0-9a-f]{16}\.js")
COMPRESSED = {".js", ".css", ".wasm"}
WORTH_COMPRESSING = 1024
"""Bytes; less gains nothing."""

INDEX = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="theme-color" content="#000000">
<title>labwire viewer</title>
<link rel="icon" type="image/svg+xml" href="/static/mark.svg">
<link rel="stylesheet" href="{root}app.bundle.css">
<link rel="stylesheet" href="{root}labwire.css">
<script src="{root}app-config.js"></script>
<script defer src="{root}{app}"></script>
</head>
<body>
<noscript>The viewer needs JavaScript.</noscript>
<div id="react-portal"></div>
<div id="root"></div>
</body>
</html>
"""
"""In place of the package's own page, which loads more, sets scripts into the page and knows no path but the root."""


def check_archive(archive: Path, integrity: str) -> None:
    """RefusedError unless the archive's SHA-512 is the one that is expected."""
    with archive.open("rb") as file:
        found = "sha512-" + base64.b64encode(hashlib.file_digest(file, "sha512").digest()).decode()
    if found != integrity:
        raise RefusedError("the viewer's archive is not the one that is known: its SHA-512 differs", field="integrity")


def prepare(archive: Path, folder: Path) -> None:
    """Fill the new `folder` from a checked archive; the stamp, written last, says that all is there."""
    folder.mkdir()
    app = ""
    try:
        for name, content in _wanted(archive):
            _write(folder / name, _below_our_path(name, content))
            if APP.fullmatch(name):
                app = name
    except (tarfile.TarError, EOFError, zlib.error):
        raise RefusedError("the viewer's archive cannot be read to its end") from None
    if not app or not (folder / "app.bundle.css").exists():
        raise RefusedError("the viewer's archive holds no application where it is expected")
    _write(folder / "index.html", INDEX.format(root=ROOT_PATH, app=app).encode())
    (folder / STAMP).write_text(json.dumps(expected_stamp()))


def _wanted(archive: Path) -> Iterator[tuple[str, bytes]]:
    """Name and content of each file that is taken. Names come from a pattern: no link, no way out of the folder."""
    with tarfile.open(archive, "r:gz") as members:
        for member in members:
            match = WANTED.fullmatch(member.name)
            if match is None or not member.isreg():
                continue
            file = members.extractfile(member)
            if file is not None:
                yield match["dist"] or "LICENSE.txt", file.read()


def _below_our_path(name: str, content: bytes) -> bytes:
    """The root that is baked into code, workers and styles, replaced by ours."""
    root = ROOT_PATH.encode()
    if name.endswith(".js"):
        return content.replace(b'__webpack_require__.p = "/"', b'__webpack_require__.p = "%s"' % root)
    if name.endswith(".css"):
        return re.sub(rb"url\(/(?!/)", b"url(" + root, content)
    return content


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    if path.suffix in COMPRESSED and len(content) >= WORTH_COMPRESSING:
        path.with_name(path.name + ".gz").write_bytes(gzip.compress(content, mtime=0))
