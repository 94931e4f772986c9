"""The JSON API about people."""

from fastapi import APIRouter

from api.errors import errors
from api.people import patient_routes, session_routes, token_routes, user_routes

router = APIRouter(prefix="/api/v1", responses=errors())
for part in (session_routes, token_routes, user_routes, patient_routes):
    router.include_router(part.router)
