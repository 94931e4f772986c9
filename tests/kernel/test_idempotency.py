"""A key that clean-up removes at the very moment it is looked up is a new key, not an error."""

from typing import Any

import pytest
from sqlalchemy import text

from models.kernel.idempotency import once
from models.kernel.tenancy import owner_session, tenant_session

pytestmark = pytest.mark.store


def test_a_key_that_is_removed_while_it_is_looked_up_is_new_again(north: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """clean-up commits between the insert that found the key taken and the look at what was answered then."""
    with owner_session() as session:
        taken = "INSERT INTO idempotency_key (tenant_id, scope, key, content_sha256) VALUES (:t, 's', 'k', 'x')"
        session.execute(text(taken), {"t": north})
    with tenant_session(north) as session:
        calls: list[str] = []
        execute = session.execute

        def forgetful(statement: Any, *args: Any, **kwargs: Any) -> Any:
            if "SELECT" in str(statement) and not calls:
                calls.append("removed")
                with owner_session() as other:
                    other.execute(text("DELETE FROM idempotency_key"))
            return execute(statement, *args, **kwargs)

        monkeypatch.setattr(session, "execute", forgetful)
        answer = once(session, north, scope="s", key="k", content=1, do=lambda: {"made": 1})
    assert (answer, calls) == ({"made": 1}, ["removed"])
