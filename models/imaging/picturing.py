"""A JPEG or PNG on its way in: whose it is, its UIDs, and the Secondary Capture that viewers show."""

from dataclasses import replace
from pathlib import Path
from uuid import uuid4

from models.imaging.files import sha256_of, sync_file
from models.imaging.offers import FOUND, Offer
from models.imaging.ports import ImageParser, Instance, NotAnImageError, Picture, Wrapping
from models.imaging.rules import NotLetInError
from models.imaging.stores.pictures import Whose, has_codes, study_of_pictures, whose
from models.imaging.stores.writing import Bytes
from models.imaging.uids import derived_uid, object_key, safe_name
from models.kernel.errors import HeldError, InvalidError
from models.kernel.tenancy import tenant_session

SECONDARY_CAPTURE = "1.2.840.10008.5.1.4.1.1.7"


class PictureIntake:
    """For one tenant."""

    def __init__(self, tenant_id: int, parser: ImageParser) -> None:
        self._tenant_id, self._parser = tenant_id, parser

    def instance_of(self, offer: Offer, picture: Picture, digest: str) -> tuple[Instance, Whose]:
        """What the picture is within its study, and whose: the same file there has the same UIDs every time.

        InvalidError where neither an order nor a study is named, nor both codes by which an order is found; what lies
        there without having been sent is kept all the same.
        """
        declared, order_id = offer.declared, offer.radiology_order_id
        is_said = declared.study_uid is not None or order_id is not None or has_codes(declared)
        if not is_said and offer.source != FOUND:
            message = "a JPEG or PNG needs an order, a study, or accession_number and patient_id"
            raise InvalidError(message, field="radiology_order_id")
        with tenant_session(self._tenant_id) as session:
            owner = whose(session, self._tenant_id, declared, order_id)
        study_uid = declared.study_uid or owner.study_uid
        if study_uid is None and is_said:
            study_uid = study_of_pictures(self._tenant_id, declared, order_id)
        elif study_uid is None:
            study_uid = derived_uid(self._tenant_id, "study", digest)
        series_uid = declared.series_uid or derived_uid(self._tenant_id, study_uid, "pictures")
        found = Instance(
            study_uid=study_uid,
            series_uid=series_uid,
            image_uid=declared.image_uid or derived_uid(self._tenant_id, study_uid, series_uid, digest),
            sop_class_uid=SECONDARY_CAPTURE,
            transfer_syntax_uid="",
            patient_name=owner.patient_name,
            patient_code=owner.patient_code or declared.patient_code or "",
            patient_birth_date=owner.patient_birth_date,
            patient_sex=owner.patient_sex,
            accession_number=owner.accession_number or declared.accession_number or "",
            study_date=owner.study_date,
            study_description=owner.study_description or offer.study_description,
            modality=offer.modality or owner.modality or "OT",
            series_number=offer.series_number,
            series_description=offer.series_description,
            instance_number=offer.instance_number,
            rows=picture.height,
            columns=picture.width,
            tags=picture.exif,
        )
        return found, owner

    def wrap(self, offer: Offer, found: Instance) -> tuple[Bytes, Path, Instance]:
        """The Secondary Capture, a durable file beside the offered one; NotLetInError leaves none."""
        path = offer.path.with_name(f"tmp-{uuid4().hex}.dcm")
        try:
            self._parser.wrap(offer.path, path, _wrapping(found))
            written = self._parser.read(path)
            if not isinstance(written, Instance):
                raise NotLetInError("unreadable")
            sync_file(path)
            name = Path(safe_name(offer.filename)).stem + "-wrapped.dcm"
            wrapped = Bytes(key_of(found, name), sha256_of(path), path.stat().st_size)
        except (NotAnImageError, HeldError) as error:
            path.unlink(missing_ok=True)
            raise NotLetInError(error.rule) from None
        except BaseException:
            path.unlink(missing_ok=True)
            raise
        return wrapped, path, replace(found, transfer_syntax_uid=written.transfer_syntax_uid)


def key_of(found: Instance, filename: str) -> str:
    """The key of a file of this instance."""
    return object_key(found.study_uid, found.series_uid, found.image_uid, filename)


def _wrapping(found: Instance) -> Wrapping:
    return Wrapping(
        study_uid=found.study_uid,
        series_uid=found.series_uid,
        image_uid=found.image_uid,
        patient_name=found.patient_name,
        patient_code=found.patient_code,
        patient_birth_date=found.patient_birth_date,
        patient_sex=found.patient_sex,
        accession_number=found.accession_number,
        study_date=found.study_date,
        study_description=found.study_description,
        modality=found.modality,
        series_number=found.series_number or 1,
        series_description=found.series_description,
        instance_number=found.instance_number or 1,
    )
