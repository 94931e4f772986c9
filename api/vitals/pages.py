"""The pages about devices and vital signs."""

from fastapi import APIRouter

from api.vitals import pages_device, pages_device_form, pages_entry, pages_held, pages_readings

router = APIRouter()
for group in (
    pages_device_form,  # before pages_device: /devices/new is not an id
    pages_device,
    pages_held,
    pages_entry,
    pages_readings,
):
    router.include_router(group.router)
