"""What one request brings is taken in by groups: bounded in number and bytes, two at once, and told of in order."""

import asyncio
import threading

import pytest

from api.imaging.groups import A_GROUP, AT_ONCE, GROUP_BYTES, Groups


async def taken(groups: Groups[int, int], sizes: list[int]) -> list[int]:
    for number, size in enumerate(sizes):
        await groups.add(number, size)
    await groups.settle()
    return groups.told()


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([0] * (2 * A_GROUP + 3), [A_GROUP, A_GROUP, 3]),
        ([GROUP_BYTES // 3 + 1] * 7, [3, 3, 1]),
        ([GROUP_BYTES] * 3, [1, 1, 1]),
        ([], []),
    ],
)
def test_a_group_ends_at_its_number_or_its_bytes(sizes: list[int], expected: list[int]) -> None:
    lock, seen = threading.Lock(), list[tuple[int, int]]()

    def work(group: list[int]) -> list[int]:
        with lock:
            seen.append((group[0], len(group)))
        return [-one for one in group]

    assert asyncio.run(taken(Groups(work), sizes)) == [-one for one in range(len(sizes))]
    assert [count for _, count in sorted(seen)] == expected


def test_so_many_groups_at_once_and_no_more() -> None:
    running, most, lock = 0, 0, threading.Lock()
    both = threading.Barrier(AT_ONCE, timeout=20)

    def work(group: list[int]) -> list[int]:
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        both.wait()
        with lock:
            running -= 1
        return group

    assert len(asyncio.run(taken(Groups(work), [GROUP_BYTES] * 4 * AT_ONCE))) == 4 * AT_ONCE
    assert most == AT_ONCE


def test_an_error_of_one_group_is_raised_once_all_are_taken_in() -> None:
    done = []

    def work(group: list[int]) -> list[int]:
        if group == [1]:
            raise ValueError("one")
        done.append(group[0])
        return group

    with pytest.raises(ValueError, match="one"):
        asyncio.run(taken(Groups(work), [GROUP_BYTES] * 4))
    assert sorted(done) == [0, 2, 3]
