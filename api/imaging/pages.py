"""The pages about images."""

from fastapi import APIRouter

from api.imaging import pages_order, pages_order_form, pages_orders, pages_upload, pages_uploads

router = APIRouter()
for group in (
    pages_orders,
    pages_order_form,  # before pages_order: /radiology/orders/new is not an id
    pages_order,
    pages_upload,
    pages_uploads,
):
    router.include_router(group.router)
