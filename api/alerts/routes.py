"""Alerts, and what a tenant sets about them."""

from fastapi import APIRouter

from api.alerts import alert_routes, setup_routes
from api.errors import errors

router = APIRouter(prefix="/api/v1", responses=errors())
router.include_router(setup_routes.router)  # its words stand before `/alerts/{alert_id}`
router.include_router(alert_routes.router)
