"""Nothing can be changed, taken out, moved or cut off in the audit trail without `verify` naming it."""

import json

import pytest

from models.kernel.heads import head_file, write_head
from models.kernel.seal import seal_tenant
from models.kernel.settings import settings
from models.kernel.verify import Finding, Verdict, verify_tenant
from tests.conftest import Database
from tests.factories import make_tenant
from tests.kernel.trail import as_superuser, faults, ids, seal, write

pytestmark = pytest.mark.store


class TestTampering:
    @pytest.fixture
    def trail(self, tenant: int) -> int:
        """Ten sealed rows with two heads."""
        write(tenant, 6)
        seal(tenant)
        write(tenant, 4)
        seal(tenant)
        return tenant

    @pytest.mark.parametrize(
        "edit",
        [
            "actor_label = 'Somebody Else'",
            "action = 'thing.look'",
            "resource_id = '99'",
            "changes = '{\"n\": [3, 5]}'",
            "changes = '{\"n\": 3.5}'",
            "occurred_at = occurred_at + interval '1 microsecond'",
            "ip_address = '10.0.0.1'",
            "session_id = ''",
            "key = gen_random_uuid()",
            "mac = sha256(mac)",
            "transaction_id = transaction_id - 1",
        ],
    )
    def test_an_edited_row_is_named(self, trail: int, database: Database, edit: str) -> None:
        wanted = ids(trail)[3]
        with as_superuser(database) as execute:
            execute(f"UPDATE audit_event SET {edit} WHERE id = {wanted}")
        assert faults(verify_tenant(trail)) == [("edited", 4, 4, [wanted])]

    def test_an_edited_row_that_is_not_sealed_yet_is_named(self, trail: int, database: Database) -> None:
        write(trail, 2)
        with as_superuser(database) as execute:
            execute("UPDATE audit_event SET actor_label = 'x' WHERE id = (SELECT max(id) FROM audit_event)")
        verdict = verify_tenant(trail)
        assert verdict.unsealed == 2
        assert faults(verdict) == [("edited", None, None, [max(ids(trail)) + 2])]

    def test_deleted_rows_are_named(self, trail: int, database: Database) -> None:
        wanted = ids(trail)
        with as_superuser(database) as execute:
            execute(f"DELETE FROM audit_event WHERE id IN ({wanted[2]}, {wanted[3]}, {wanted[7]})")
        assert faults(verify_tenant(trail)) == [("deleted", 3, 4, wanted[2:4]), ("deleted", 8, 8, [wanted[7]])]

    def test_rows_deleted_with_their_seals_are_named_by_position(self, trail: int, database: Database) -> None:
        wanted = ids(trail)[4]
        with as_superuser(database) as execute:
            execute(f"DELETE FROM audit_event WHERE id = {wanted}")
            execute("DELETE FROM audit_seal WHERE position = 5")
        assert faults(verify_tenant(trail)) == [("deleted", 5, 5, [])]

    def test_seals_moved_up_over_a_deleted_one_do_not_fit(self, trail: int, database: Database) -> None:
        wanted = ids(trail)
        with as_superuser(database) as execute:
            execute(f"DELETE FROM audit_event WHERE id = {wanted[4]}")
            execute("DELETE FROM audit_seal WHERE position = 5")
            execute("UPDATE audit_seal SET position = -(position - 1) WHERE position > 5")
            execute("UPDATE audit_seal SET position = -position WHERE position < 0")
        found = faults(verify_tenant(trail))
        assert ("seal", 5, 9, wanted[5:]) in found
        assert ("cut", 10, 10, []) in found

    def test_swapped_rows_are_named(self, trail: int, database: Database) -> None:
        wanted = ids(trail)
        one, other = wanted[1], wanted[8]
        of = "SELECT transaction_id FROM audit_seal WHERE audit_id ="
        swap = "UPDATE audit_event SET id = {0}, transaction_id = ({1} {0}) WHERE id = {2}"
        with as_superuser(database) as execute:
            execute(f"UPDATE audit_event SET id = -1 WHERE id = {one}")
            execute(swap.format(one, of, other))
            execute(swap.format(other, of, -1))
        assert faults(verify_tenant(trail)) == [("reordered", 2, 2, [one]), ("reordered", 9, 9, [other])]

    def test_swapped_seals_are_named(self, trail: int, database: Database) -> None:
        with as_superuser(database) as execute:
            for step in ("-1 WHERE position = 3", "3 WHERE position = 4", "4 WHERE position = -1"):
                execute(f"UPDATE audit_seal SET position = {step}")
        found = verify_tenant(trail).findings
        assert {(finding.fault, finding.first) for finding in found} == {("seal", 3)}

    def test_a_row_of_another_tenant_is_not_genuine_here(self, trail: int, database: Database) -> None:
        south = make_tenant("south")
        write(south)
        wanted = ids(trail)[0]
        with as_superuser(database) as execute:
            execute(f"DELETE FROM audit_event WHERE id = {wanted}")
            execute(f"UPDATE audit_event SET tenant_id = {trail}, id = {wanted} WHERE tenant_id = {south}")
        assert faults(verify_tenant(trail)) == [("edited", 1, 1, [wanted])]

    @pytest.mark.parametrize("kept", [0, 1, 6, 9])
    def test_an_end_cut_off_both_tables_is_told_by_the_head(self, trail: int, database: Database, kept: int) -> None:
        with as_superuser(database) as execute:
            execute(f"DELETE FROM audit_event WHERE id IN (SELECT audit_id FROM audit_seal WHERE position > {kept})")
            execute(f"DELETE FROM audit_seal WHERE position > {kept}")
        verdict = verify_tenant(trail)
        assert {(found.fault, found.last) for found in verdict.findings} <= {("cut", 6), ("cut", 10)}
        assert sum(found.count for found in verdict.findings) == 10 - kept
        write(trail, 12)
        seal(trail)  # going on over the cut does not hide it
        assert not verify_tenant(trail).is_sound

    def test_truncated_tables_are_told_by_the_head(self, trail: int, database: Database) -> None:
        with as_superuser(database) as execute:
            execute("TRUNCATE audit_event, audit_seal")
        [found] = verify_tenant(trail).findings
        assert (found.fault, found.first, found.last, found.count) == ("cut", 1, 10, 10)

    def test_a_truncated_trail_with_its_seals_left_is_one_finding(self, trail: int, database: Database) -> None:
        wanted = ids(trail)
        with as_superuser(database) as execute:
            execute("TRUNCATE audit_event")
        assert faults(verify_tenant(trail)) == [("deleted", 1, 10, wanted)]

    def test_a_chain_made_with_another_key_is_not_believed(
        self, trail: int, database: Database, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setenv("LABWIRE_AUDIT_KEY", bytes(range(32)).hex())
            settings.cache_clear()
            write(trail, 2)
            seal_tenant(trail)
        settings.cache_clear()
        assert {(found.fault, found.first, found.last) for found in verify_tenant(trail).findings} == {
            ("seal", 11, 12),
            ("edited", 11, 12),
        }


class TestHeads:
    @pytest.fixture
    def trail(self, tenant: int, database: Database) -> int:
        """Nine rows with three heads, sealed an hour ago."""
        for _ in range(3):
            write(tenant, 3)
            seal(tenant)
        with as_superuser(database) as execute:
            execute("UPDATE audit_seal SET sealed_at = sealed_at - interval '1 hour'")
        return tenant

    def texts(self, tenant_id: int) -> list[str]:
        return [found.text for found in verify_tenant(tenant_id).findings]

    def test_a_missing_file_is_reported(self, trail: int) -> None:
        head_file(trail).unlink()
        assert self.texts(trail) == ["the head file is missing"]

    def test_a_cut_file_is_reported(self, trail: int) -> None:
        file = head_file(trail)
        lines = file.read_text().splitlines(keepends=True)
        file.write_text("".join(lines[:2]))
        assert self.texts(trail) == ["the head file ends before the trail"]
        file.write_text("")
        assert self.texts(trail) == ["the head file ends before the trail"]

    def test_an_edited_and_a_deleted_line_are_reported(self, trail: int) -> None:
        file = head_file(trail)
        lines = file.read_text().splitlines(keepends=True)
        file.write_text(lines[0] + lines[1].replace('"position": 6', '"position": 5') + lines[2])
        assert self.texts(trail) == ["line 2 of the head file is not genuine"]
        file.write_text(lines[0] + lines[2])
        assert self.texts(trail)[0] == "line 2 of the head file is not genuine"
        file.write_text(lines[0] + "garbage\n" + lines[2])
        assert "line 2 of the head file is not genuine" in self.texts(trail)

    def test_a_torn_line_is_replaced(self, trail: int) -> None:
        """A run killed while it wrote: the next one repairs the file, and nothing is reported."""
        file = head_file(trail)
        whole = file.read_bytes()
        file.write_bytes(whole[:-20])
        assert write_head(trail)
        assert self.texts(trail) == []
        assert [json.loads(line)["position"] for line in file.read_text().splitlines()] == [3, 6, 9]

    def test_a_head_that_was_not_written_is_added_by_the_next_run(self, trail: int) -> None:
        write(trail)
        seal_tenant(trail)  # killed before the head
        assert verify_tenant(trail).is_sound
        assert write_head(trail)
        assert not write_head(trail)
        assert verify_tenant(trail).heads == 4

    def test_the_file_of_another_tenant_is_not_believed(self, trail: int) -> None:
        south = make_tenant("south")
        write(south, 3)
        seal(south)
        head_file(trail).write_bytes(head_file(south).read_bytes())
        assert "line 1 of the head file is not genuine" in self.texts(trail)


def test_neighbours_with_the_same_fault_are_one_finding() -> None:
    verdict = Verdict(1)
    for position in (1, 2, 3, 5):
        verdict.add(Finding("edited", "changed", position, position, [position * 10]))
    assert faults(verdict) == [("edited", 1, 3, [10, 20, 30]), ("edited", 5, 5, [50])]
