"""The pages about people."""

from fastapi import APIRouter

from api.people import account_pages, door_links, door_pages, oversight_pages, patient_pages, user_pages

router = APIRouter()
for part in (door_pages, door_links, account_pages, user_pages, patient_pages, oversight_pages):
    router.include_router(part.router)
