"""One-time links to set a password: asked for by anybody, answered alike for every address, used once."""

import asyncio
import time
from collections.abc import Callable

from fastapi import Request
from fastapi.concurrency import run_in_threadpool

from api.security import client_address
from models.kernel.audit import Actor
from models.kernel.errors import NotFoundError
from models.kernel.tenancy import group_session, registry_session, tenant_session
from models.people.passwords import hash_password
from models.people.rules import refuse_weak_password
from models.people.stores import accounts
from models.people.stores.logins import candidates

EVEN_SECONDS = 0.4
"""Every request for a link takes at least this long, so that the time does not tell whether the address is known."""


async def evenly(work: Callable[..., None], *arguments: object) -> None:
    """Do `work` in a thread, and return no earlier than EVEN_SECONDS after the start."""
    started = time.monotonic()
    await run_in_threadpool(work, *arguments)
    await asyncio.sleep(max(0.0, EVEN_SECONDS - (time.monotonic() - started)))


def ask_for_link(request: Request, email: str) -> None:
    """Mail a link to each active user with this address, in whichever laboratories know it; silent when none does."""
    actor = _anybody(request)
    with registry_session() as session:
        found = candidates(session, email)
    for one in found:
        with tenant_session(one.tenant_id) as session:
            accounts.mail_link(session, one.tenant_id, actor, one.user_id)


def whose_link(token: str) -> str:
    """The address of the user whose password the link may set; NotFoundError when it may not any more."""
    tenant_id, reset_id = _find(token)
    with tenant_session(tenant_id) as session:
        return accounts.open_reset(session, tenant_id, reset_id).email


def use_link(request: Request, token: str, password: str) -> None:
    """Set the password; NotFoundError when the link is used up, InvalidError when the password is too weak."""
    refuse_weak_password(password, email=whose_link(token))
    password_hash = hash_password(password)
    tenant_id, reset_id = _find(token)
    with tenant_session(tenant_id) as session:
        accounts.use_reset(session, tenant_id, _anybody(request), reset_id, password_hash=password_hash)


def _find(token: str) -> tuple[int, int]:
    with group_session() as session:
        found = accounts.find_reset(session, token)
    if found is None:
        raise NotFoundError(accounts.USED_UP)
    return found


def _anybody(request: Request) -> Actor:
    return Actor("system", "password-link", "somebody not signed in", client_address(request))
