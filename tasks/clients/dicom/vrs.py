"""The VR of elements whose file does not say: from pydicom's dictionaries, and what their dataset says (PS3.5, A.1)."""

from collections.abc import Mapping

from tasks.clients.dicom.dicom_file import DicomFile
from tasks.clients.dicom.elements import PIXELS, UNDEFINED, Element

PIXEL_REPRESENTATION = 0x00280103


class VrFinder:
    """Finds VRs within one file."""

    def __init__(self, file: DicomFile) -> None:
        self._file = file
        self._is_signed = self._signed(file.by_tag, False)

    def of_dataset(self, by_tag: Mapping[int, Element]) -> dict[int, str]:
        """The VR of every element of one dataset; one that cannot be what its VR says is `UN`."""
        is_signed = self._signed(by_tag, self._is_signed)
        return {tag: self._of(element, by_tag, is_signed) for tag, element in by_tag.items()}

    def _of(self, element: Element, by_tag: Mapping[int, Element], is_signed: bool) -> str:
        vr = element.vr
        if vr in ("", "UN"):
            vr = self._known(element, by_tag) or "UN"
        if " or " in vr:
            vr = ("SS" if is_signed else "US") if vr == "US or SS" else "OW"
        if element.length == UNDEFINED:
            return "SQ" if element.items is not None else element.vr.replace("UN", "") or "OB"
        if vr == "SQ" and element.items is None and element.length:
            return "UN"
        return vr

    def _known(self, element: Element, by_tag: Mapping[int, Element]) -> str | None:
        from pydicom import datadict  # files that need it are few, and it takes half a second

        tag = element.tag
        try:
            if tag == PIXELS:
                return "OW"
            if not tag >> 16 & 1:
                return datadict.dictionary_VR(tag)
            if 0x10 <= tag & 0xFFFF <= 0xFF:
                return "LO"
            creator = by_tag.get(tag & 0xFFFF0000 | (tag & 0xFF00) >> 8)
            if creator is None or creator.length == UNDEFINED:
                return None
            name = self._file.source.read(creator.start, min(creator.length, 64)).decode("latin-1").strip("\x00 ")
            return datadict.private_dictionary_VR(tag, name)
        except KeyError:
            return None

    def _signed(self, by_tag: Mapping[int, Element], inherited: bool) -> bool:
        element = by_tag.get(PIXEL_REPRESENTATION)
        if element is None or element.length != 2:
            return inherited
        return b"\x01" in self._file.source.read(element.start, 2)
