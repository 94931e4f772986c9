"""The pages about instruments, assignments and results."""

from fastapi import APIRouter

from api.instruments import (
    pages_actions,
    pages_assignment,
    pages_catalogue,
    pages_departments,
    pages_entry,
    pages_equipment,
    pages_held,
    pages_import,
    pages_instruments,
    pages_order,
    pages_panels,
    pages_push_keys,
    pages_stale,
    pages_verification,
    pages_worklist,
)

GROUPS = (
    pages_worklist,
    pages_order,  # before pages_assignment: /assignments/new is not an id
    pages_assignment,
    pages_actions,
    pages_entry,
    pages_verification,
    pages_held,
    pages_equipment,  # before pages_instruments: /instruments/new is not an id
    pages_instruments,
    pages_push_keys,
    pages_catalogue,
    pages_panels,
    pages_import,
    pages_departments,
    pages_stale,
)
router = APIRouter()
for group in GROUPS:
    router.include_router(group.router)
