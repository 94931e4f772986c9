"""The pages about images."""

from fastapi import APIRouter

from api.imaging import (
    pages_image,
    pages_order,
    pages_order_form,
    pages_orders,
    pages_studies,
    pages_study,
    pages_upload,
    pages_uploads,
    pages_viewer,
)

router = APIRouter()
for group in (
    pages_orders,
    pages_order_form,  # before pages_order: /radiology/orders/new is not an id
    pages_order,
    pages_studies,
    pages_study,
    pages_image,
    pages_upload,
    pages_uploads,
    pages_viewer,
):
    router.include_router(group.router)
