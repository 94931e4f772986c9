"""The pages about alerts: the board, one alert and the set-up for staff, the question for the patient."""

from fastapi import APIRouter

from api.alerts import pages_board, pages_limits, pages_question, pages_setup

router = APIRouter()
router.include_router(pages_question.router)
router.include_router(pages_setup.router)  # its words stand before `/alerts/{alert_id}`
router.include_router(pages_limits.router)
router.include_router(pages_board.router)
