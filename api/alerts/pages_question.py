"""The patient's page behind a one-time link: nobody signs in, looking answers nothing, and one answer counts."""

from typing import Annotated

from fastapi import APIRouter, Depends, Path, Request, Response
from pydantic import ValidationError

from api.forms import Form, fill
from api.render import render
from api.runs import deliver_now
from api.security import check_guest_form, client_address
from models.alerts.schemas import AnswerIn
from models.alerts.stores import questions
from models.kernel.audit import Actor
from models.kernel.errors import NotFoundError
from models.kernel.tenancy import known_tenants, registry_session, tenant_session

router = APIRouter(prefix="/alerts/question")
Token = Annotated[str, Path(max_length=200)]


@router.get("/{token}")
def show_question(request: Request, token: Token) -> Response:
    """The question with its three answers; programs that look into mails answer nothing by opening it."""
    try:
        return _question(request, token)
    except NotFoundError:
        return _used_up(request)


@router.post("/{token}", dependencies=[Depends(check_guest_form)])
def answer_question(request: Request, token: Token, form: Form) -> Response:
    """Take the answer, act on it at once, and say what happens now."""
    try:
        answer = fill(AnswerIn, form).answer
    except ValidationError:
        return _question(request, token, is_missing=True)
    try:
        tenant_id, question_id = _find(token)
        actor = Actor("system", f"alert-question:{question_id}", "the patient, by link", client_address(request))
        with tenant_session(tenant_id) as session:
            questions.answer_question(session, tenant_id, actor, question_id, answer)
    except NotFoundError:
        return _used_up(request)
    if answer != "no":
        deliver_now(next(one.slug for one in known_tenants(with_inactive=True) if one.id == tenant_id))
    return render(request, "alerts/answered.html", None, answer=answer)


def _question(request: Request, token: str, *, is_missing: bool = False) -> Response:
    tenant_id, question_id = _find(token)
    with tenant_session(tenant_id) as session:
        question = questions.open_question(session, tenant_id, question_id)
    status = 422 if is_missing else 200
    return render(request, "alerts/question.html", None, status, token=token, question=question, is_missing=is_missing)


def _used_up(request: Request) -> Response:
    return render(request, "alerts/question_over.html", None, 404)


def _find(token: str) -> tuple[int, int]:
    with registry_session() as session:
        found = questions.find_question(session, token)
    if found is None:
        raise NotFoundError(questions.USED_UP)
    return found
