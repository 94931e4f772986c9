"""The rules about people, their rights and their passwords: pure, no database."""

import re
from collections.abc import Collection, Iterable
from datetime import date

from models.kernel.errors import ConflictError, InvalidError
from models.people.roles import IMPLIED, NOT_IN_WRITE, PASSWORD_LONGEST, PASSWORD_SHORTEST

_WELL_KNOWN = re.compile(r"(.)\1+|(password|passw0rd|qwertyuiop|letmein|labwire|12345678|abcdefgh)[0-9!.?]*", re.I)
OLDEST_BIRTH = date(1850, 1, 1)


def rights_of(roles: Iterable[str]) -> frozenset[str]:
    """The roles and those they imply."""
    own = frozenset(roles)
    return own.union(*(IMPLIED.get(role, frozenset()) for role in own))


def scope_allows(granted: Collection[str] | None, needed: str) -> bool:
    """Whether a token with `granted` scopes may do what needs `needed`; None is a signed-in person, who may."""
    if granted is None or needed in granted:
        return True
    if needed in NOT_IN_WRITE:
        return False
    return "read" in granted if needed.endswith(":read") else "write" in granted and needed.endswith(":write")


def refuse_unknown(names: Iterable[str], known: Collection[str], *, field: str) -> list[str]:
    """The names sorted and without doubles; InvalidError when one is unknown or there is none."""
    wanted = sorted(set(names))
    if not wanted:
        raise InvalidError("at least one is needed", field=field)
    if any(name not in known for name in wanted):
        raise InvalidError(f"one of these is not known; known are {', '.join(known)}", field=field)
    return wanted


def refuse_weak_password(password: str, *, email: str) -> None:
    """InvalidError when the password is too short, too long, well known, or made of the e-mail address."""
    if len(password) < PASSWORD_SHORTEST:
        raise InvalidError(f"needs at least {PASSWORD_SHORTEST} characters", field="password")
    if len(password) > PASSWORD_LONGEST:
        raise InvalidError(f"has at most {PASSWORD_LONGEST} characters", field="password")
    local_part = email.split("@", 1)[0]
    lowered = password.lower()
    if _WELL_KNOWN.fullmatch(password) or lowered == email or (len(local_part) > 3 and local_part in lowered):
        raise InvalidError("is too easy to guess", field="password")


def refuse_impossible_birth(birth: date | None, today: date) -> None:
    """InvalidError for a birth in the future or so long ago that it is a slip of the pen."""
    if birth is not None and not OLDEST_BIRTH <= birth <= today:
        raise InvalidError(f"lies between {OLDEST_BIRTH.isoformat()} and today", field="birth_date")


def refuse_merge(*, kept: tuple[int, int | None], merged: tuple[int, int | None]) -> None:
    """Refuse a merge that would not leave one living record; each argument is (id, id it is merged into or None)."""
    if kept[0] == merged[0]:
        raise InvalidError("a patient cannot be merged with itself", field="merged_id")
    if merged[1] is not None:
        raise ConflictError(f"patient {merged[0]} is already merged into {merged[1]}")
    if kept[1] is not None:
        raise ConflictError(f"patient {kept[0]} is itself merged into {kept[1]}; merge into that one")


def refuse_stale(*, seen: int, present: int, what: str) -> None:
    """ConflictError when somebody else changed the row since the caller read it."""
    if seen != present:
        raise ConflictError(f"{what} was changed by somebody else since you opened it; open it again")
