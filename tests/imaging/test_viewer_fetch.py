"""How the viewer's files come: checked, taken out safely, whole or not at all, and only once."""

import base64
import gzip
import hashlib
import io
import os
import random
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from api.imaging import ohif_files
from api.imaging.ohif_files import STAMP, is_ohif_here
from deployments.viewer.fetch import WORK, fetch
from models.kernel.errors import ConfigError, RefusedError, RetryableError
from models.kernel.settings import settings

pytestmark = pytest.mark.contract

ROOT = Path(__file__).parent.parent.parent
APP = "app.bundle.0123456789abcdef.js"
CODE = b'/* long */ __webpack_require__.p = "/"; start();' + b" " * 2000
FILES = {
    "package/LICENSE": b"MIT",
    "package/dist/index.html": b"<script>inline()</script>",
    "package/dist/app-config.js": b"demo server",
    "package/dist/sw.js": b"service worker",
    f"package/dist/{APP}": CODE,
    "package/dist/compute.bundle.fedcba9876543210.js": b'__webpack_require__.p = "/";',
    "package/dist/app.bundle.css": b"@font-face { src: url(/0123456789abcdef.woff2) } p { background: url(//x/y) }",
    "package/dist/0123456789abcdef.woff2": b"font",
    "package/dist/assets/images/CT-Bone.png": b"picture",
    "package/dist/ort/ort.wasm": b"models",
    "package/dist/dicom-microscopy-viewer/viewer.min.js": b"slides",
    "package/dist/../../../escaped.css": b"out",
    "../escaped.css": b"out",
}
TAKEN = {
    "LICENSE.txt", "index.html", STAMP, APP, f"{APP}.gz", "compute.bundle.fedcba9876543210.js", "app.bundle.css",
    "0123456789abcdef.woff2", "assets/images/CT-Bone.png",
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Where the files are to come to; nothing is there yet."""
    made = tmp_path / "place" / "ohif"
    monkeypatch.setenv("LABWIRE_OHIF_DIR", str(made))
    settings.cache_clear()
    yield made
    settings.cache_clear()


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small archive like npm's, known by its SHA-512."""
    made = packed(tmp_path / "small.tgz", FILES)
    known(made, monkeypatch)
    return made


def packed(path: Path, files: dict[str, bytes]) -> Path:
    """An archive of these files, and of a link that leads out."""
    with tarfile.open(path, "w:gz", compresslevel=1) as tar:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo("package/dist/passwords.css")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        tar.addfile(link)
    return path


def known(archive: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Have this archive be the one that is expected."""
    integrity = "sha512-" + base64.b64encode(hashlib.sha512(archive.read_bytes()).digest()).decode()
    monkeypatch.setattr(ohif_files, "INTEGRITY", integrity)
    return integrity


def names_in(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()}


def test_only_what_is_served_is_taken_below_our_path_and_compressed(folder: Path, archive: Path) -> None:
    assert fetch(archive)
    assert is_ohif_here()
    assert names_in(folder) == TAKEN
    assert not [path for path in folder.rglob("*") if path.is_symlink()]
    assert not list(folder.parent.parent.glob("**/escaped*"))

    code = (folder / APP).read_bytes()
    assert code == CODE.replace(b'"/"', b'"/viewer/"')
    assert gzip.decompress((folder / f"{APP}.gz").read_bytes()) == code
    assert b'.p = "/viewer/"' in (folder / "compute.bundle.fedcba9876543210.js").read_bytes()
    style = (folder / "app.bundle.css").read_text()
    assert "url(/viewer/0123456789abcdef.woff2)" in style
    assert "url(//x/y)" in style
    page = (folder / "index.html").read_text()
    assert f'src="/viewer/{APP}"' in page
    assert "<script>" not in page


def test_an_archive_with_another_checksum_is_refused_and_nothing_is_left(folder: Path, archive: Path) -> None:
    with archive.open("ab") as file:
        file.write(b"\0")
    with pytest.raises(RefusedError, match="SHA-512"):
        fetch(archive)
    assert not list(folder.parent.iterdir())


def test_a_failed_fetch_leaves_the_files_of_before(
    folder: Path, archive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fetch(archive)
    before = {name: (folder / name).read_bytes() for name in names_in(folder)}
    cut = tmp_path / "cut.tgz"
    cut.write_bytes(archive.read_bytes()[:-200])
    known(cut, monkeypatch)
    with pytest.raises(RefusedError, match="cannot be read"):
        fetch(cut)
    other = packed(tmp_path / "other.tgz", {"package/dist/readme.css": b""})
    known(other, monkeypatch)
    with pytest.raises(RefusedError, match="no application"):
        fetch(other)
    assert {name: (folder / name).read_bytes() for name in names_in(folder)} == before
    assert list(folder.parent.iterdir()) == [folder]


def test_a_fetch_that_is_killed_leaves_nothing_half_and_the_next_one_succeeds(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = random.Random(1)
    many = {f"package/dist/{number}.css": noise.randbytes(20_000) for number in range(2000)}
    large = packed(tmp_path / "large.tgz", FILES | many)
    integrity = known(large, monkeypatch)
    program = (
        "import sys; from pathlib import Path; from api.imaging import ohif_files; from deployments.viewer.fetch import"
        " fetch; ohif_files.INTEGRITY = sys.argv[1]; fetch(Path(sys.argv[2]))"
    )
    process = subprocess.Popen([sys.executable, "-c", program, integrity, str(large)], cwd=ROOT)
    end = time.monotonic() + 30
    while not list(folder.parent.glob(f"{WORK}*/made/1*.css")) and time.monotonic() < end:
        time.sleep(0.005)
    process.kill()
    assert process.wait() == -9
    assert not folder.exists()
    assert not is_ohif_here()

    left = next(folder.parent.glob(f"{WORK}*"))
    os.utime(left, (0, 0))
    small = packed(tmp_path / "small.tgz", FILES)
    known(small, monkeypatch)
    assert fetch(small)
    assert is_ohif_here()
    assert list(folder.parent.iterdir()) == [folder]


def test_a_folder_that_holds_something_else_is_left_alone(folder: Path, archive: Path) -> None:
    folder.mkdir(parents=True)
    (folder / "letters.txt").write_text("mine")
    with pytest.raises(ConfigError, match="something else"):
        fetch(archive, again=True)
    assert names_in(folder) == {"letters.txt"}


@pytest.fixture
def npm(tmp_path: Path, archive: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """No package index, and a program on PATH in place of npm that hands out the archive; where it notes its calls."""
    notes, programs = tmp_path / "calls", tmp_path / "bin"
    programs.mkdir()
    script = f'#!/bin/sh\n/usr/bin/env > {notes}.env\necho "$@" >> {notes}\nexec cp {archive} "$4/ohif-app.tgz"\n'
    (programs / "npm").write_text(script)
    (programs / "npm").chmod(0o755)
    for name, value in {
        "PATH": f"{programs}:/usr/bin:/bin",
        "HOME": str(tmp_path / "home"),
        "UV_OFFLINE": "1",
        "UV_NO_CONFIG": "1",
        "PIP_NO_INDEX": "1",
        "PIP_CONFIG_FILE": os.devnull,
        "PIP_FIND_LINKS": "",
        "NPM_CONFIG_CACHE": str(tmp_path / "elsewhere"),
    }.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / ".npmrc").write_text("registry=https://packages.example/")
    return notes


def test_npm_is_asked_once_writes_to_no_home_folder_and_runs_no_scripts(folder: Path, npm: Path) -> None:
    assert fetch()
    assert not fetch()
    assert npm.read_text().startswith("pack @ohif/app@3.13.2 --pack-destination ")
    assert len(npm.read_text().splitlines()) == 1
    given = dict(line.split("=", 1) for line in Path(f"{npm}.env").read_text().splitlines() if "=" in line)
    work = str(folder.parent / WORK)
    assert given["HOME"].startswith(work)
    assert given["npm_config_cache"].startswith(work)
    assert "NPM_CONFIG_CACHE" not in given
    assert given["npm_config_ignore_scripts"] == "true"
    assert given["npm_config_userconfig"] == str(npm.parent / "home" / ".npmrc")  # the registry that is set up here
    assert list(folder.parent.iterdir()) == [folder]
    assert [path.name for path in (npm.parent / "home").iterdir()] == [".npmrc"]


def test_without_npm_set_up_says_so_goes_on_and_leaves_nothing(
    folder: Path, npm: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(npm.parent / "nowhere"))
    with pytest.raises(RetryableError, match="could not be fetched"):
        fetch()
    done = subprocess.run(
        [sys.executable, "-m", "deployments.viewer.fetch"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "the light viewer serves instead" in done.stderr
    assert "Traceback" not in done.stderr
    assert not list(folder.parent.iterdir())


def test_the_command_takes_an_archive_brought_by_hand_and_checks_it(folder: Path, archive: Path) -> None:
    line = [sys.executable, "-m", "deployments.cli.main", "viewer", "fetch", "--from", str(archive)]
    done = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")  # it is not the archive the repository knows
    assert "SHA-512" in done.stderr
    assert not folder.exists()
