"""The JSON API about instruments, the test catalogue, orders and results."""

from fastapi import APIRouter

from api.errors import errors
from api.instruments import (
    action_routes,
    catalogue_routes,
    equipment_routes,
    held_routes,
    order_routes,
    push_key_routes,
    push_routes,
    review_routes,
)

router = APIRouter(prefix="/api/v1", responses=errors())
for part in (
    equipment_routes,
    catalogue_routes,
    order_routes,
    review_routes,  # before the routes of one assignment: /assignments/verify is no id
    action_routes,
    held_routes,
    push_key_routes,
    push_routes,
):
    router.include_router(part.router)
