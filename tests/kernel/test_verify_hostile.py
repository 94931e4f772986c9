"""Whoever tampers cannot make `verify` fall silent either: by values it cannot read, or by taking away what it asks."""

import json

import pytest
from typer.testing import CliRunner

from deployments.cli.main import app
from models.kernel.heads import head_file
from models.kernel.verify import verify_tenant
from tests.conftest import Database
from tests.kernel.trail import as_superuser, faults, ids, seal, write

pytestmark = pytest.mark.store

UNREADABLE = [
    "occurred_at = '0044-03-15 BC'",
    "occurred_at = 'infinity'",
    "occurred_at = '294276-01-01'",
    "changes = ('{\"n\": ' || repeat('9', 5000) || '}')::jsonb",
    "changes = (repeat('[', 6000) || repeat(']', 6000))::jsonb",
    "changes = (repeat('[', 980) || repeat(']', 980))::jsonb",
]


@pytest.fixture
def trail(tenant: int) -> int:
    """Ten sealed rows and a head."""
    write(tenant, 10)
    seal(tenant)
    return tenant


@pytest.mark.parametrize("edit", UNREADABLE)
def test_a_row_edited_to_what_cannot_be_read_is_named_like_any_other(trail: int, database: Database, edit: str) -> None:
    write(trail, 1)
    wanted = ids(trail)
    with as_superuser(database) as execute:
        execute(f"UPDATE audit_event SET {edit} WHERE id IN ({wanted[3]}, {max(wanted) + 1})")
        execute(f"UPDATE audit_event SET actor_label = 'x' WHERE id = {wanted[7]}")
    assert faults(verify_tenant(trail)) == [
        ("edited", 4, 4, [wanted[3]]),
        ("edited", 8, 8, [wanted[7]]),
        ("edited", None, None, [max(wanted) + 1]),
    ]


@pytest.mark.parametrize("when", ["now() + interval '1 day'", "'infinity'", "'0044-03-15 BC'"])
def test_a_seal_of_another_time_does_not_hide_that_the_head_file_is_missing(
    trail: int, database: Database, when: str
) -> None:
    head_file(trail).unlink()
    with as_superuser(database) as execute:
        execute(f"UPDATE audit_seal SET sealed_at = {when}")
    assert not verify_tenant(trail).is_sound


def test_lines_of_a_head_file_that_cannot_be_read_are_named(trail: int) -> None:
    with head_file(trail).open("ab") as file:
        file.write(b"[" * 100_000 + b"\n" + b"\xff\xfe\n" + b'{"position": 1' + b"0" * 5000 + b"}\n")
    assert [found.text for found in verify_tenant(trail).findings] == [
        f"line {number} of the head file is not genuine" for number in (2, 3, 4)
    ]


class TestTheWholeLaboratory:
    def verify(self) -> dict[str, list[str]]:
        told = CliRunner().invoke(app, ["audit", "verify", "--json"])
        answer = json.loads(told.stdout)
        assert told.exit_code == (0 if answer["is_sound"] else 1)
        return {one["tenant"]: [found["text"] for found in one["findings"]] for one in answer["tenants"]}

    def test_one_whose_row_was_deleted_is_named_by_its_head_file(self, trail: int, database: Database) -> None:
        assert self.verify() == {"north": []}
        with as_superuser(database) as execute:
            execute("DELETE FROM tenant")
        assert self.verify() == {f"tenant {trail}": ["the laboratory is missing from the database"]}
        with as_superuser(database) as execute:
            execute("DELETE FROM audit_event")
            execute("DELETE FROM audit_seal")
        assert self.verify() == {
            f"tenant {trail}": ["the end of the trail is missing", "the laboratory is missing from the database"]
        }

    def test_one_without_any_row_is_not_sound_for_its_creation_is_the_first(
        self, trail: int, database: Database
    ) -> None:
        head_file(trail).unlink()
        with as_superuser(database) as execute:
            execute("DELETE FROM audit_event")
            execute("DELETE FROM audit_seal")
        assert self.verify() == {"north": ["the trail is empty, though it begins with the laboratory's creation"]}
