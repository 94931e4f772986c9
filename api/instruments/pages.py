"""The pages about instruments, assignments and results."""

from fastapi import APIRouter

from api.instruments import pages_worklist

router = APIRouter()
for group in (pages_worklist,):
    router.include_router(group.router)
