"""The pages about alerts: the board and one alert for staff, the question for the patient."""

from fastapi import APIRouter

from api.alerts import pages_board, pages_question

router = APIRouter()
router.include_router(pages_question.router)
router.include_router(pages_board.router)
