from datetime import date
from typing import Any

import pytest
from argon2 import PasswordHasher
from pydantic import TypeAdapter, ValidationError

from models.kernel.errors import ConflictError, InvalidError
from models.kernel.fields import Code, Email, Id, IsoDate, Name, Text
from models.people.roles import PERSON
from models.people.rules import (
    refuse_impossible_birth,
    refuse_merge,
    refuse_stale,
    refuse_unknown,
    refuse_weak_password,
    rights_of,
    scope_allows,
)

pytestmark = pytest.mark.unit


def test_a_supervisor_is_technician_and_verifier_too() -> None:
    assert rights_of(["supervisor"]) == {"supervisor", "technician", "verifier"}


def test_an_administrator_has_no_clinical_right() -> None:
    assert rights_of(["administrator"]) == {"administrator"}


@pytest.mark.parametrize(
    ("granted", "needed", "may"),
    [
        (None, PERSON, True),
        ({"read"}, "patients:read", True),
        ({"read"}, "patients:write", False),
        ({"write"}, "patients:write", True),
        ({"write"}, "patients:read", False),
        ({"patients:read"}, "patients:read", True),
        ({"patients:read"}, "assignments:read", False),
        ({"read", "write"}, "people:write", False),
        ({"read", "write"}, "results:push", False),
        ({"read", "write"}, PERSON, False),
        ({"results:push"}, "results:push", True),
        ({"results:push"}, "read", False),
        (set(), "read", False),
    ],
)
def test_a_token_does_what_its_scopes_say(granted: set[str] | None, needed: str, may: bool) -> None:
    assert scope_allows(granted, needed) is may


@pytest.mark.parametrize(
    "password", ["short", "x" * 201, "aaaaaaaaaaaa", "Password123", "grace.hopper1906", "12345678!!"]
)
def test_weak_passwords_are_refused_by_name_of_the_field(password: str) -> None:
    with pytest.raises(InvalidError) as refused:
        refuse_weak_password(password, email="grace.hopper@example.org")
    assert refused.value.field == "password"


def test_a_long_password_needs_nothing_else() -> None:
    refuse_weak_password("seven green bottles", email="grace.hopper@example.org")


def test_roles_come_sorted_and_once_and_unknown_ones_are_refused() -> None:
    assert refuse_unknown(["b", "a", "b"], ("a", "b"), field="roles") == ["a", "b"]
    for wrong in (["c"], []):
        with pytest.raises(InvalidError):
            refuse_unknown(wrong, ("a", "b"), field="roles")


def test_merges_that_would_loop_are_refused() -> None:
    with pytest.raises(InvalidError):
        refuse_merge(kept=(1, None), merged=(1, None))
    with pytest.raises(ConflictError, match="already merged"):
        refuse_merge(kept=(1, None), merged=(2, 3))
    with pytest.raises(ConflictError, match="itself merged"):
        refuse_merge(kept=(1, 2), merged=(2, None))


def test_a_stale_version_is_refused() -> None:
    refuse_stale(seen=3, present=3, what="patient 1")
    with pytest.raises(ConflictError):
        refuse_stale(seen=2, present=3, what="patient 1")


def test_births_in_the_future_are_refused() -> None:
    today = date(2026, 11, 20)
    refuse_impossible_birth(today, today)
    for wrong in (date(2026, 11, 21), date(1800, 1, 1)):
        with pytest.raises(InvalidError) as refused:
            refuse_impossible_birth(wrong, today)
        assert refused.value.field == "birth_date"


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (Name, "a\0b"),
        (Name, "a\nb"),
        (Name, "  "),
        (Name, "x" * 201),
        (Name, "\ud800"),
        (Text, "a\0b"),
        (Code, ""),
        (Email, "nobody"),
        (Email, "a@b\nBcc: c@d"),
        (Email, "a b@c.d"),
        (Id, 0),
        (Id, 2**63),
        (IsoDate, 5),
        (IsoDate, "2026-02-30"),
        (IsoDate, "20260230"),
    ],
)
def test_fields_refuse_what_a_database_or_a_mail_would_choke_on(kind: Any, value: object) -> None:
    with pytest.raises(ValidationError):
        TypeAdapter(kind).validate_python(value)


def test_fields_are_trimmed_and_addresses_lowered() -> None:
    assert TypeAdapter(Name).validate_python("  Ada  ") == "Ada"
    assert TypeAdapter(Email).validate_python(" Ada@Example.ORG ") == "ada@example.org"
    assert TypeAdapter(Text).validate_python("a\r\nb") == "a\nb"


def test_a_password_costs_a_guesser_64_mebibytes_and_three_passes(quick_hashes: PasswordHasher) -> None:
    """The hub's hashes, which the other tests do not pay for: argon2id, RFC 9106's profile for little memory."""
    assert quick_hashes.hash("seven green bottles").startswith("$argon2id$v=19$m=65536,t=3,p=4$")
