"""The JSON API about images, and DICOMweb."""

from fastapi import APIRouter

from api.errors import errors
from api.imaging import (
    binaries_routes,
    bulk_routes,
    file_routes,
    form_routes,
    frame_routes,
    grant_routes,
    image_routes,
    instance_routes,
    metadata_routes,
    ohif,
    order_routes,
    part_door,
    qido_routes,
    rejected_routes,
    rendered_routes,
    stow_routes,
    study_routes,
    upload_routes,
)
from api.imaging.cross_origin import CrossOrigin
from api.imaging.heading import HeadAsGet

BY_TOKEN = part_door.BY_TOKEN
MIDDLEWARE = (HeadAsGet, CrossOrigin)
LARGE_BODIES = (
    "/api/v1/radiology/uploads/*/binary",
    "/api/v1/radiology/uploads/binaries",
    "/api/v1/radiology/images",
    "/dicom-web/",
)

router = APIRouter()
radiology = APIRouter(prefix="/api/v1/radiology", responses=errors())
for part in (
    order_routes,
    study_routes,
    image_routes,
    file_routes,
    grant_routes,
    upload_routes,
    binaries_routes,
    form_routes,
):
    radiology.include_router(part.router)
router.include_router(radiology)
dicomweb = APIRouter(prefix="/dicom-web", responses=errors())
for part in (
    stow_routes,
    qido_routes,
    metadata_routes,
    instance_routes,
    frame_routes,
    rendered_routes,
    bulk_routes,
    rejected_routes,
):
    dicomweb.include_router(part.router)
router.include_router(dicomweb)
router.include_router(ohif.router)
