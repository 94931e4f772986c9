"""What is offered, as far as it can be judged without the database: read, compared with what was said of it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from models.imaging.files import sha256_of
from models.imaging.offers import Offer
from models.imaging.picturing import PictureIntake, key_of
from models.imaging.ports import DICOM, ImageParser, Instance, NotAnImageError, Picture
from models.imaging.rules import NotLetInError, refuse_other_than_declared
from models.imaging.stores.writing import Bytes, NewImage
from models.kernel.errors import HeldError


@dataclass(frozen=True, slots=True)
class Ready:
    """An image that passed the rules that need no database, and the files of its objects by key."""

    new: NewImage
    files: Mapping[str, Path]
    settle: Callable[[], None] | None

    def forget(self) -> None:
        """It is stored: the files have other names by now."""
        for path in self.files.values():
            path.unlink(missing_ok=True)

    def forget_wrapped(self, offered: Path) -> None:
        """It is not: what was made of it goes, what was offered stays."""
        for path in self.files.values():
            if path != offered:
                path.unlink(missing_ok=True)


class Preparing:
    """Makes images ready for one tenant. Thread-safe."""

    def __init__(self, tenant_id: int, parser: ImageParser) -> None:
        self._tenant_id, self._parser = tenant_id, parser

    def ready(self, offer: Offer) -> Ready:
        """Read and compared with what was said of it; NotLetInError."""
        size = offer.path.stat().st_size
        if offer.size is not None and offer.size != size:
            raise NotLetInError("size")
        digest = offer.digest or sha256_of(offer.path)
        if offer.checksum is not None and offer.checksum != digest:
            raise NotLetInError("checksum")
        try:
            found = self._parser.read(offer.path)
        except (NotAnImageError, HeldError) as error:
            raise NotLetInError(error.rule) from None
        is_said = offer.mime_type in (None, found.mime_type if isinstance(found, Picture) else DICOM)
        if not is_said:
            raise NotLetInError("mime_type", found if isinstance(found, Instance) else None)
        if isinstance(found, Picture):
            return self._picture(offer, found, digest, size)
        try:
            refuse_other_than_declared(found, offer.declared)
        except NotLetInError as error:
            raise NotLetInError(error.rule, found) from None
        original = Bytes(key_of(found, offer.filename), digest, size)
        return Ready(_new(offer, found, DICOM, original), {original.key: offer.path}, offer.settle)

    def _picture(self, offer: Offer, picture: Picture, digest: str, size: int) -> Ready:
        """The picture as it came, and beside it a Secondary Capture of it for the viewer."""
        pictures = PictureIntake(self._tenant_id, self._parser)
        found, whose = pictures.instance_of(offer, picture, digest)
        original = Bytes(key_of(found, offer.filename), digest, size)
        try:
            whose.refuse_other(offer.declared)
            wrapped, path, found = pictures.wrap(offer, found)
        except NotLetInError as error:
            raise NotLetInError(error.rule, found, picture.mime_type) from None
        new = _new(offer, found, picture.mime_type, original, wrapped)
        return Ready(new, {original.key: offer.path, wrapped.key: path}, offer.settle)


def _new(offer: Offer, found: Instance, mime_type: str, original: Bytes, wrapped: Bytes | None = None) -> NewImage:
    return NewImage(
        found=found,
        filename=offer.filename,
        mime_type=mime_type,
        source=offer.source,
        user_id=offer.user_id,
        original=original,
        wrapped=wrapped,
        radiology_order_id=offer.radiology_order_id,
        upload_id=offer.upload_id,
    )
