"""What the buttons of an assignment's page do: back to the page afterwards, or the page again with the refusal."""

from collections.abc import Callable
from dataclasses import dataclass

from fastapi import APIRouter, Request, Response
from sqlalchemy.orm import Session
from starlette.datastructures import FormData

from api.deps import Caller, tenant_work
from api.forms import Form, fill, text, texts
from api.instruments import pages_assignment
from api.instruments.pages_kit import REFUSALS, Reader, Staff, Technician, Verifier
from api.render import redirect
from api.runs import start_delivering, start_fetching, start_sending
from models.instruments.inputs import (
    CancelInput,
    CommentInput,
    InstrumentChoice,
    ReleaseInput,
    RetestInput,
    UnknownInput,
    VerifyInput,
)
from models.instruments.stores import actions, comments, release, runs, verification
from models.kernel.fields import Id

router = APIRouter(prefix="/assignments/{assignment_id}")


@dataclass(frozen=True, slots=True)
class Act:
    """Somebody pressed a button on an assignment's page."""

    request: Request
    caller: Caller
    assignment_id: int
    form: FormData

    def do(
        self, deed: str, work: Callable[[Session], object], said: str, after: Callable[[], object] | None = None
    ) -> Response:
        """Do it, commit, then `after`, and back to the page; a refusal is the page again, beside what was typed."""
        try:
            with tenant_work(self.caller) as session:
                work(session)
        except REFUSALS as error:
            typed = texts(self.form)
            return pages_assignment.answer(
                self.request, self.caller, self.assignment_id, refused=error, deed=deed, values=typed
            )
        if after is not None:
            after()
        return redirect(self.request, f"/assignments/{self.assignment_id}", flash=said)


@router.post("/send")
def send(request: Request, assignment_id: Id, caller: Technician, form: Form) -> Response:
    """Send it to its instrument now."""
    return Act(request, caller, assignment_id, form).do(
        "send",
        lambda session: actions.send_now(session, caller.tenant_id, caller.actor, assignment_id),
        "Handed over for sending.",
        lambda: start_sending(caller, [assignment_id]),
    )


@router.post("/fetch")
def fetch(request: Request, assignment_id: Id, caller: Technician, form: Form) -> Response:
    """Ask its instrument for the result now."""
    return Act(request, caller, assignment_id, form).do(
        "fetch",
        lambda session: actions.fetch_now(session, caller.tenant_id, caller.actor, assignment_id),
        "The result was asked for.",
        lambda: start_fetching(caller, [assignment_id]),
    )


@router.post("/verify")
def verify(request: Request, assignment_id: Id, caller: Verifier, form: Form) -> Response:
    """One level of verification of the result that was shown."""

    def work(session: Session) -> object:
        return verification.verify(session, caller.tenant_id, caller.actor, assignment_id, fill(VerifyInput, form))

    return Act(request, caller, assignment_id, form).do("verify", work, "Verified.")


@router.post("/release")
def release_result(request: Request, assignment_id: Id, caller: Verifier, form: Form) -> Response:
    """Release the verified result."""

    def work(session: Session) -> object:
        return release.release(session, caller.tenant_id, caller.actor, assignment_id, fill(ReleaseInput, form))

    act = Act(request, caller, assignment_id, form)
    return act.do("release", work, "Released.", lambda: start_delivering(caller))


@router.post("/resolve")
def resolve(request: Request, assignment_id: Id, caller: Technician, form: Form) -> Response:
    """Say what became of a submission whose answer was never seen."""

    def work(session: Session) -> object:
        return runs.resolve_unknown(session, caller.tenant_id, caller.actor, assignment_id, fill(UnknownInput, form))

    def after() -> None:
        if text(form, "outcome") == "resend":
            start_sending(caller, [assignment_id])

    return Act(request, caller, assignment_id, form).do("resolve", work, "Noted.", after)


@router.post("/instrument")
def choose_instrument(request: Request, assignment_id: Id, caller: Technician, form: Form) -> Response:
    """Send it to another instrument."""

    def work(session: Session) -> object:
        given = fill(InstrumentChoice, form)
        return actions.choose_instrument(session, caller.tenant_id, caller.actor, assignment_id, given)

    act = Act(request, caller, assignment_id, form)
    return act.do("instrument", work, "The instrument was changed.", lambda: start_sending(caller, [assignment_id]))


@router.post("/retest")
def retest(request: Request, assignment_id: Id, caller: Staff, form: Form) -> Response:
    """Order the test anew."""

    def work(session: Session) -> object:
        return runs.run_again(session, caller.tenant_id, caller.actor, assignment_id, fill(RetestInput, form))

    act = Act(request, caller, assignment_id, form)
    return act.do("retest", work, "The test will run again.", lambda: start_sending(caller, [assignment_id]))


@router.post("/cancel")
def cancel(request: Request, assignment_id: Id, caller: Technician, form: Form) -> Response:
    """Give it up."""

    def work(session: Session) -> object:
        return actions.cancel(session, caller.tenant_id, caller.actor, assignment_id, fill(CancelInput, form))

    return Act(request, caller, assignment_id, form).do("cancel", work, "Cancelled.")


@router.post("/comments")
def comment(request: Request, assignment_id: Id, caller: Reader, form: Form) -> Response:
    """Write a remark beside it."""

    def work(session: Session) -> object:
        return comments.add_comment(session, caller.tenant_id, caller.actor, assignment_id, fill(CommentInput, form))

    return Act(request, caller, assignment_id, form).do("comment", work, "The comment is kept.")
