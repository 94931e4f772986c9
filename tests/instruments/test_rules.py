"""The transition table, and the reasons why something cannot be sent."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.instruments.rules import (
    FINISHED,
    OPEN,
    TRANSITIONS,
    WORDS,
    Status,
    may_move,
    move,
    reasons_not_to_send,
)
from models.kernel.errors import ConflictError

pytestmark = pytest.mark.unit
states = st.sampled_from(list(Status))

DOCUMENTED = "PQAVR"
"""The path of the interface document: pending, queued, analysis complete, verified, released."""


def test_the_documented_path_is_allowed() -> None:
    for here, there in pairwise(DOCUMENTED):
        assert move(here, there) == there


@given(states, states)
def test_a_move_is_allowed_exactly_where_the_table_has_it_and_a_refusal_names_both_states(
    here: Status, there: Status
) -> None:
    if there in TRANSITIONS[here]:
        assert move(here, there) is there
        assert may_move(here, there)
    else:
        assert not may_move(here, there)
        with pytest.raises(ConflictError) as refused:
            move(here, there)
        assert here.word in str(refused.value)
        assert there.word in str(refused.value)


@given(st.lists(states, min_size=1, max_size=30))
def test_nothing_leaves_cancelled_and_nothing_is_released_unverified(wished: list[Status]) -> None:
    here, path = Status.PENDING, [Status.PENDING]
    for there in wished:
        if may_move(here, there):
            here = move(here, there)
            path.append(here)
    if Status.CANCELLED in path:
        assert path.index(Status.CANCELLED) == len(path) - 1
    for before, after in pairwise(path):
        assert after != Status.RELEASED or before == Status.VERIFIED
        assert after != Status.VERIFIED or before == Status.ANALYSED
        assert after != Status.IN_PROGRESS or before == Status.QUEUED


def test_every_state_has_a_row_and_a_word_of_its_own() -> None:
    assert set(TRANSITIONS) == set(WORDS) == set(Status)
    assert len(set(WORDS.values())) == len(Status)
    assert not OPEN & FINISHED


@pytest.mark.parametrize("text", ["", "X", "p", "PQ"])
def test_what_is_no_state_is_not_taken_for_one(text: str) -> None:
    with pytest.raises(ValueError, match="not a valid"):
        move(text, "Q")


@pytest.mark.parametrize(
    ("status", "equipment", "endpoint", "said"),
    [
        ("P", "active", "http://x", []),
        ("P", "inactive", "http://x", ["inactive"]),
        ("P", "maintenance", "http://x", ["maintenance"]),
        ("P", "active", None, ["endpoint"]),
        ("P", "active", "", ["endpoint"]),
        ("P", None, None, ["no instrument"]),
        ("Q", None, None, ["queued", "no instrument"]),
        ("Q", "active", "http://x", ["queued"]),
        ("R", "inactive", None, ["released", "inactive", "endpoint"]),
    ],
)
def test_cannot_send_says_which(status: str, equipment: str | None, endpoint: str | None, said: list[str]) -> None:
    reasons = reasons_not_to_send(status, equipment, endpoint)
    assert len(reasons) == len(said)
    for reason, word in zip(reasons, said, strict=True):
        assert word in reason
