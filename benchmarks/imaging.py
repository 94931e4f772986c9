"""Images: upload against a plain program and Orthanc, what a viewer asks for, and memory while gigabytes pass."""

import http.client
import shutil
import statistics
import time
from collections import defaultdict
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks import imaging_files, imaging_studies
from benchmarks.api_servers import Servers, api_servers
from benchmarks.database import Fresh, fresh_database
from benchmarks.growth import growth
from benchmarks.imaging_files import A_REQUEST, CONNECTIONS, plainly, series, stow, two_steps
from benchmarks.orthanc import PATH, has_durable_index, is_installed, orthanc
from benchmarks.results import Row

IMAGES, SLICES, ROUNDS = 500, 600, 5
"""The first rounds find memory that was freed a moment ago, and are quicker: the median is of those that do not."""
KINDS = {
    "stow": f"STOW, {A_REQUEST} a request",
    "two steps": f"upload in two steps, {A_REQUEST} a request",
    "one by one": "upload in two steps, one a request",
}
TIMES = 4
"""That the plain program writes the series."""
STUDIES = 10_000
ASKED = 60
QIDO_MS = 20
MOST_MB = 300
GIGABYTES = 2
PIECES = 4
"""Files that the large study comes in."""


def measure() -> list[Row]:
    """Rows of upload, of reading, and of memory; those beside Orthanc only where it is installed."""
    tmp = imaging_files.folder()
    try:
        with fresh_database() as fresh:
            print(fresh, flush=True)
            token = imaging_studies.make_technician()
            with api_servers({}) as servers:
                stow(servers.url, PATH, series(20), token)  # everything is imported and connected
                rows = _upload(servers, fresh, token, tmp)
                rows += _metadata(servers, token, tmp)
                rows += _qido(servers, token)
            with api_servers({}) as servers:
                rows.append(_memory(servers, fresh, token))
        return rows
    finally:
        shutil.rmtree(tmp, ignore_errors=True)


def _upload(servers: Servers, fresh: Fresh, token: str, tmp: Path) -> list[Row]:
    """In turns, for the machine's speed drifts.

    Nothing is removed before the end: ext4 looks at every file that was removed within the last minute before it makes
    another one, and whoever comes after a removal pays for it.
    """
    found: dict[str, list[float]] = defaultdict(list)
    for number in range(1, ROUNDS + 1):
        found["plain"].append(_plain_rate(tmp / f"plain-{number}"))
        found["stow"].append(IMAGES / stow(servers.url, PATH, series(IMAGES), token))
        found["two steps"].append(IMAGES / two_steps(servers.url, series(IMAGES), token, A_REQUEST))
        found["one by one"].append(IMAGES / two_steps(servers.url, series(IMAGES), token, 1))
        if is_installed():
            found["Orthanc"].append(_orthanc_rate(tmp))
        if has_durable_index():
            found["Orthanc on PostgreSQL"].append(_orthanc_rate(tmp, fresh.superuser_url))
        print(f"round {number}:", {name: round(values[-1]) for name, values in found.items()}, flush=True)
    rates = {name: statistics.median(values) for name, values in found.items()}
    rows = []
    for kind, name in KINDS.items():
        what = f"imaging: {name}, {CONNECTIONS} connections"
        rows.append(Row(what, rates[kind], "/s", "a plain program's files", rates["plain"], ">= 0.3"))
        for other in ("Orthanc", "Orthanc on PostgreSQL"):
            if other in rates and kind != "one by one":  # Orthanc's come by tens, too
                rows.append(Row(f"{what}, beside {other}", rates[kind], "/s", "its STOW", rates[other], ">= 2.0"))
    return rows


def _orthanc_rate(tmp: Path, superuser_url: str | None = None) -> float:
    """Images a second by STOW; its index is in our PostgreSQL where a URL is given, and then as durable as ours."""
    with orthanc(tmp, superuser_url) as url:
        stow(url, PATH, series(20))
        return IMAGES / stow(url, PATH, series(IMAGES))


def _plain_rate(folder: Path) -> float:
    """Files a second, over as many seconds as the uploads take: a disk may be twice as quick for the first of them."""
    files, seconds = series(IMAGES), 0.0
    for number in range(TIMES):
        part = folder / str(number)
        part.mkdir(parents=True)
        seconds += plainly(files, part)
    return TIMES * IMAGES / seconds


def _metadata(servers: Servers, token: str, tmp: Path) -> list[Row]:
    """Of a series of 600 images: the first time it is asked for, and afterwards."""
    files = series(SLICES)
    path = imaging_studies.metadata_path(files[0])
    stow(servers.url, PATH, files, token)
    first = _get(servers.url, path, token)
    ours = statistics.median(_get(servers.url, path, token) for _ in range(9))
    print(f"series metadata: {first:.0f} ms at first, then {ours:.0f} ms", flush=True)
    if not is_installed():
        return []
    with orthanc(tmp) as url:
        stow(url, PATH, files)
        _get(url, path, "")
        theirs = statistics.median(_get(url, path, "") for _ in range(9))
    return [Row(f"imaging: metadata of {SLICES} images", ours, "ms", "Orthanc", theirs, "<= 0.33")]


def _qido(servers: Servers, token: str) -> list[Row]:
    """What OHIF's list asks, over many studies; then with many more images in each."""
    imaging_studies.fill(STUDIES, images=1)
    few = _asked(servers, token)
    imaging_studies.more_images(99)
    many = _asked(servers, token)
    return [
        Row(f"imaging: QIDO over {STUDIES:,} studies, median", few, "ms", "the promise", QIDO_MS, "<= 1.0"),
        Row(f"imaging: QIDO over {STUDIES:,} studies, 100 images each", many, "ms", "with one each", few, "<= 1.25"),
    ]


def _asked(servers: Servers, token: str) -> float:
    questions = imaging_studies.questions(ASKED)
    for path in questions[:10]:
        _get(servers.url, path, token)
    return statistics.median(_get(servers.url, path, token) for path in questions)


def _memory(servers: Servers, fresh: Fresh, token: str) -> Row:
    """How much any process has grown by, while a study of 2 GB goes in and comes out again.

    The API's, its parsers' and PostgreSQL's backends are watched (`growth.py` says which memory of each).
    """
    stow(servers.url, PATH, series(20), token)
    with growth(servers.pids, fresh.pid) as watched:
        study_uid, sizes = imaging_studies.large_study(servers.url, token, int(GIGABYTES * 2**30), PIECES)
        received = _get_all(servers.url, f"/dicom-web/studies/{study_uid}", token)
    if received < sizes:
        raise SystemExit(f"{received} bytes of {sizes} came back")
    largest = watched.largest()
    if set(largest) != {"API", "parser", "backend"}:
        raise SystemExit(f"not every kind of process was seen: {largest}")
    print("growth in MB:", {kind: round(grown) for kind, grown in largest.items()}, flush=True)
    what = f"imaging: growth of any process, {GIGABYTES} GB in and out"
    return Row(what, max(largest.values()), "MB", "the promise", MOST_MB, "<= 1.0")


def _get(url: str, path: str, token: str) -> float:
    """Milliseconds until the whole answer is there, over a new connection."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=300)
    connection.connect()
    headers = {"Accept": "application/dicom+json", "Accept-Encoding": "gzip"}
    started = time.perf_counter()
    connection.request("GET", path, headers=headers | ({"Authorization": f"Bearer {token}"} if token else {}))
    answer = connection.getresponse()
    content = answer.read()
    taken = (time.perf_counter() - started) * 1000
    connection.close()
    if answer.status != 200:
        raise SystemExit(f"{path}: {answer.status} {content[:300]!r}")
    return taken


def _get_all(url: str, path: str, token: str) -> int:
    """Bytes of an answer that is not kept."""
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=300)
    headers = {"Accept": 'multipart/related; type="application/dicom"; transfer-syntax=*'}
    connection.request("GET", path, headers=headers | {"Authorization": f"Bearer {token}"})
    answer = connection.getresponse()
    if answer.status != 200:
        raise SystemExit(f"{path}: {answer.status} {answer.read(300)!r}")
    received = 0
    while piece := answer.read(2**20):
        received += len(piece)
    return received
