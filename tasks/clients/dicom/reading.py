"""`read` inside a parser process, and how every operation opens its file."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tasks.clients.dicom import dicom_file
from tasks.clients.dicom.dicom_file import DicomFile
from tasks.clients.dicom.instance import instance_of
from tasks.clients.dicom.picture import kind_of, picture_of
from tasks.clients.dicom.source import Source, open_source

MOST_INFLATED = dicom_file.MOST_INFLATED


def read(path: str) -> tuple[Any, bytes]:
    """What the file is and says."""
    with opened(path) as source:
        kind = kind_of(source)
        if kind is not None:
            return {"picture": picture_of(source, kind)}, b""
        with dicom(source) as file:
            return {"instance": instance_of(file)}, b""


@contextmanager
def opened(path: str) -> Iterator[Source]:
    """The file's bytes."""
    source = open_source(path)
    try:
        yield source
    finally:
        source.close()


@contextmanager
def dicom(source: Source) -> Iterator[DicomFile]:
    """The bytes as DICOM."""
    file = DicomFile(source, most_inflated=MOST_INFLATED)
    try:
        yield file
    finally:
        file.close()
