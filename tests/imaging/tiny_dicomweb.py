"""A DICOMweb server of the few requests OHIF makes, for one study made of pydicom's sample files, and one token."""

import io
import json
import threading
from dataclasses import dataclass, field
from typing import Any

import pydicom
from fastapi import APIRouter, HTTPException, Request, Response
from PIL import Image
from pydicom import uid
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.encaps import generate_frames

STUDY = "1.2.826.0.1.3680043.8.498.77"
TOKEN = "token-of-the-tests"
JSON = "application/dicom+json"
STUDY_KEYWORDS = (
    "StudyInstanceUID", "StudyDate", "StudyTime", "AccessionNumber", "PatientName", "PatientID", "StudyDescription",
)  # fmt: skip
SERIES_KEYWORDS = ("StudyInstanceUID", "SeriesInstanceUID", "SeriesNumber", "Modality", "SeriesDescription")

_strict = threading.Lock()
"""pydicom makes its reading strict for all threads, and of two at once the second leaves it so."""
KINDS = {
    uid.RLELossless: "image/dicom-rle",
    uid.JPEG2000Lossless: "image/jp2",
    uid.JPEG2000: "image/jp2",
    uid.JPEGLSLossless: "image/jls",
    uid.JPEGLSNearLossless: "image/jls",
}


@dataclass
class TinyServer:
    """Each named file is a series of its own; `seen` are the requests with their Authorization header."""

    names: tuple[str, ...] = ("CT_small.dcm",)
    seen: list[tuple[str, str]] = field(default_factory=list)
    is_revoked: bool = False

    def __post_init__(self) -> None:
        self.instances = [_sample(name, number) for number, name in enumerate(self.names, start=1)]
        self.router = APIRouter(prefix="/dicom-web")
        series = f"/studies/{STUDY}/series"
        for path, endpoint in (
            ("/studies", self.studies),
            (series, self.series),
            (series + "/{series}/metadata", self.metadata),
            (series + "/{series}/thumbnail", self.thumbnail),
            (series + "/{series}/instances/{_instance}/thumbnail", self.thumbnail),
            (series + "/{series}/instances/{_instance}/frames/{number}", self.frame),
        ):
            self.router.add_api_route(path, endpoint, methods=["GET"])

    def studies(self, request: Request) -> Response:
        self._note(request)
        wanted = request.query_params.get("StudyInstanceUID", STUDY)
        found = self.instances[:1] if wanted == STUDY else []
        return _json([_chosen(one, STUDY_KEYWORDS) for one in found])

    def series(self, request: Request) -> Response:
        self._note(request)
        return _json([_chosen(one, SERIES_KEYWORDS) for one in self.instances])

    def metadata(self, request: Request, series: str) -> Response:
        self._note(request)
        return _json([_described(self._of(series))])

    def frame(self, request: Request, series: str, _instance: str, number: int) -> Response:
        self._note(request)
        dataset = self._of(series)
        syntax = dataset.file_meta.TransferSyntaxUID
        pixels, kind = bytes(dataset.PixelData), "application/octet-stream"
        if syntax.is_compressed:
            pixels = list(generate_frames(pixels, number_of_frames=1))[number - 1]
            kind = KINDS.get(syntax, "image/jpeg")
        head = f"--part\r\nContent-Type: {kind}; transfer-syntax={syntax}\r\n\r\n".encode()
        content = head + pixels + b"\r\n--part--\r\n"
        return Response(content, media_type=f'multipart/related; type="{kind}"; boundary=part')

    def thumbnail(self, request: Request, series: str, _instance: str = "") -> Response:
        self._note(request)
        values = self._of(series).pixel_array.astype(float)
        values = (values - values.min()) / (values.max() - values.min()) * 255
        file = io.BytesIO()
        Image.fromarray(values.astype("uint8")).save(file, "JPEG")
        return Response(file.getvalue(), media_type="image/jpeg")

    def _of(self, series: str) -> pydicom.FileDataset:
        return next(one for one in self.instances if series == one.SeriesInstanceUID)

    def _note(self, request: Request) -> None:
        given = request.headers.get("authorization", "")
        self.seen.append((request.url.path, given))
        if given != f"Bearer {TOKEN}" or self.is_revoked:
            raise HTTPException(401)


def _sample(name: str, number: int) -> pydicom.FileDataset:
    path = get_testdata_file(name, download=False)
    assert isinstance(path, str)
    dataset = pydicom.dcmread(path)
    dataset.StudyInstanceUID = STUDY
    dataset.SeriesInstanceUID = f"{STUDY}.{number}"
    dataset.SeriesNumber = number
    dataset.SeriesDescription = f"{name} as series {number}"
    dataset.PatientName, dataset.PatientID = "Sample^Person", "P123"
    return dataset


def _chosen(dataset: Dataset, keywords: tuple[str, ...]) -> dict[str, Any]:
    chosen = Dataset()
    for keyword in keywords:
        setattr(chosen, keyword, dataset.get(keyword, ""))
    return chosen.to_json_dict()


def _described(dataset: pydicom.FileDataset) -> dict[str, Any]:
    """Without pixels and private elements, with the transfer syntax where OHIF looks for it."""
    copy = Dataset()
    for element in dataset:
        if not element.tag.is_private and element.keyword != "PixelData":
            copy.add(element)
    copy.AvailableTransferSyntaxUID = dataset.file_meta.TransferSyntaxUID
    with _strict:
        return copy.to_json_dict(suppress_invalid_tags=True)


def _json(content: list[dict[str, Any]]) -> Response:
    return Response(json.dumps(content), media_type=JSON)
