import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text, update

from models.kernel.audit import SYSTEM
from models.kernel.errors import ConflictError
from models.kernel.tenancy import registry_session, tenant_session
from models.people.schemas import UserEdit
from models.people.stores import logins, users
from models.people.tables import User
from tests.api.helpers import make_user

pytestmark = pytest.mark.store


def candidate(email: str) -> logins.Candidate:
    with registry_session() as session:
        return logins.candidates(session, email)[0]


def reserve(tenant_id: int, one: logins.Candidate) -> logins.Attempt | None:
    with tenant_session(tenant_id) as session:
        return logins.reserve(session, one)


def test_guesses_made_at_once_are_all_counted(alpha: int) -> None:
    make_user(alpha, "ada@alpha.org")
    one = candidate("ada@alpha.org")
    with ThreadPoolExecutor(10) as pool:
        attempts = list(pool.map(lambda _: reserve(alpha, one), range(40)))
    assert sum(attempt is not None for attempt in attempts) == 5  # LABWIRE_LOGIN_ATTEMPTS, not one more


def test_a_lock_ends_by_itself_and_the_count_begins_anew(alpha: int) -> None:
    user_id = make_user(alpha, "ada@alpha.org")
    one = candidate("ada@alpha.org")
    assert [reserve(alpha, one) is not None for _ in range(6)] == [True] * 5 + [False]
    with tenant_session(alpha) as session:
        session.execute(update(User).where(User.id == user_id).values(locked_until=text("now() - interval '1 s'")))
    attempt = reserve(alpha, one)
    assert attempt is not None
    assert attempt.failed_logins == 1


def test_success_forgets_failures(alpha: int) -> None:
    make_user(alpha, "ada@alpha.org")
    one = candidate("ada@alpha.org")
    for _ in range(3):
        for _ in range(4):
            attempt = reserve(alpha, one)
        assert attempt is not None
        with tenant_session(alpha) as session:
            logins.settle_success(session, attempt, new_hash=None)


def test_a_disabled_user_has_no_attempt(alpha: int) -> None:
    make_user(alpha, "ada@alpha.org")
    one = candidate("ada@alpha.org")
    with tenant_session(alpha) as session:
        users.disable_user(session, alpha, SYSTEM, one.user_id)
    assert reserve(alpha, one) is None


def test_two_administrators_cannot_demote_each_other_at_once(alpha: int) -> None:
    ada, grace = (make_user(alpha, f"{name}@alpha.org", "administrator") for name in ("ada", "grace"))
    edit = UserEdit.model_validate({"roles": ["technician"]})
    outcome: list[str] = []

    def demote_grace() -> None:
        try:
            with tenant_session(alpha) as session:
                users.edit_user(session, alpha, SYSTEM, grace, edit)
            outcome.append("demoted")
        except ConflictError:
            outcome.append("refused")

    thread = threading.Thread(target=demote_grace)
    with tenant_session(alpha) as session:
        users.edit_user(session, alpha, SYSTEM, ada, edit)
        thread.start()
        thread.join(0.3)
        assert outcome == []  # waits until it is decided who is administrator
    thread.join()
    assert outcome == ["refused"]


def test_the_last_administrator_stays(alpha: int) -> None:
    ada = make_user(alpha, "ada@alpha.org", "administrator")
    gone = make_user(alpha, "gone@alpha.org", "administrator")
    with tenant_session(alpha) as session:
        users.disable_user(session, alpha, SYSTEM, gone)
    with pytest.raises(ConflictError, match="last administrator"), tenant_session(alpha) as session:
        users.disable_user(session, alpha, SYSTEM, ada)
