"""Browsers in which somebody has signed in before: these stay open to them while strangers' guesses lock the account.

The cookie holds a proof for each of the last people who signed in there. It opens nothing by itself: it is worth a few
more attempts at the password, which are counted as well.
"""

import hmac

from fastapi import Request, Response

from api.security import proof, set_cookie

COOKIE = "labwire_known"
MOST_PEOPLE = 20
KEPT_SECONDS = 400 * 86_400
PROOF_LENGTH = 32


def is_known(request: Request, tenant_id: int, user_id: int) -> bool:
    """Whether this user has signed in with this browser before."""
    mine = _proof(tenant_id, user_id).encode()
    return any(hmac.compare_digest(one.encode(), mine) for one in _proofs(request))


def remember(request: Request, response: Response, tenant_id: int, user_id: int) -> None:
    """Have the browser keep that this user has signed in with it."""
    mine = _proof(tenant_id, user_id)
    others = [one for one in _proofs(request) if one != mine]
    set_cookie(response, COOKIE, ".".join([mine, *others][:MOST_PEOPLE]), seconds=KEPT_SECONDS)


def _proofs(request: Request) -> list[str]:
    given = request.cookies.get(COOKIE, "").split(".")[:MOST_PEOPLE]
    return [one for one in given if len(one) == PROOF_LENGTH and one.isascii() and one.isalnum()]


def _proof(tenant_id: int, user_id: int) -> str:
    return proof("device", f"{tenant_id}:{user_id}")[:PROOF_LENGTH]
