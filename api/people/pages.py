"""The pages about people."""

from fastapi import APIRouter

from api.people import door_pages

router = APIRouter()
router.include_router(door_pages.router)
