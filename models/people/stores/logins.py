"""Sign-ins: attempts are counted before a password is looked at, so that guesses made at once are all counted."""

from dataclasses import dataclass

from sqlalchemy import Update, text, update
from sqlalchemy.orm import Session

from models.kernel.audit import Action, Actor, record
from models.kernel.settings import settings
from models.people.tables import User


@dataclass(frozen=True, slots=True)
class Candidate:
    """A user whom an address may mean; one address may be known in several tenants."""

    tenant_id: int
    tenant_slug: str
    user_id: int


@dataclass(frozen=True, slots=True)
class Attempt:
    """An attempt that was let through to the password: it counts as failed until `settle` says otherwise."""

    candidate: Candidate
    email: str
    password_hash: str | None
    failed_logins: int


def candidates(session: Session, email: str, laboratory: str = "") -> list[Candidate]:
    """Users with this address in all active tenants, or in the one named (registry session)."""
    rows = session.execute(
        text("SELECT tenant_id, slug, user_id FROM registry_logins(:email)"), {"email": email.strip()}
    )
    found = [Candidate(*row) for row in rows]
    return [one for one in found if laboratory in ("", one.tenant_slug)]


RESERVE = text("""
UPDATE app_user SET
    failed_logins = CASE WHEN locked_until <= now() THEN 0 ELSE failed_logins END + 1,
    locked_until = CASE WHEN locked_until > now() THEN locked_until
                        WHEN CASE WHEN locked_until <= now() THEN 0 ELSE failed_logins END + 1 >= :most
                        THEN now() + make_interval(secs => :lock_seconds) END
WHERE tenant_id = :tenant_id AND id = :user_id AND is_active
  AND (locked_until IS NULL OR locked_until <= now() OR :is_known AND failed_logins < 2 * :most)
RETURNING email, password_hash, failed_logins
""")


def reserve(session: Session, candidate: Candidate, *, is_known: bool = False) -> Attempt | None:
    """Count one attempt, and lock the user with the last one allowed; None when they are locked or disabled.

    A browser they signed in with before (`is_known`) has as many attempts again while the lock lasts: otherwise anybody
    who knows an address could keep its owner out.
    """
    config = settings()
    values = {
        "most": config.login_attempts,
        "lock_seconds": config.login_lock_minutes * 60,
        "is_known": is_known,
    }
    row = session.execute(
        RESERVE, values | {"tenant_id": candidate.tenant_id, "user_id": candidate.user_id}
    ).one_or_none()
    return Attempt(candidate, *row) if row else None


def settle_success(session: Session, attempt: Attempt, *, new_hash: str | None) -> None:
    """The password was right: forget the failures; `new_hash` replaces one made with old parameters."""
    values: dict[str, object] = {"failed_logins": 0, "locked_until": None}
    if new_hash is not None:
        values["password_hash"] = new_hash
    session.execute(_of(attempt.candidate).values(values))


def settle_failure(session: Session, attempt: Attempt, actor: Actor) -> None:
    """The password was wrong: the count stays, and the audit trail says so."""
    is_last = attempt.failed_logins == settings().login_attempts
    action = "login.lock" if is_last else "login.refuse"
    changes = {"failed_logins": attempt.failed_logins}
    record(session, attempt.candidate.tenant_id, actor, Action(action, "user", attempt.candidate.user_id, changes))


def withdraw(session: Session, attempt: Attempt) -> None:
    """The password was that of the same person in another tenant: this attempt counts for nothing here."""
    session.execute(
        _of(attempt.candidate).values(failed_logins=text("GREATEST(failed_logins - 1, 0)"), locked_until=None)
    )


def _of(candidate: Candidate) -> Update:
    return update(User).where(User.tenant_id == candidate.tenant_id, User.id == candidate.user_id)
