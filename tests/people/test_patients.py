import threading
from datetime import date

import pytest
from sqlalchemy import text

from models.kernel.audit import SYSTEM
from models.kernel.errors import ConflictError, InvalidError, NotFoundError
from models.kernel.tenancy import owner_session, tenant_session
from models.people.schemas import IdentifierIn, MergeIn, PatientEdit, PatientIn
from models.people.stores import merges, patients, reads
from models.people.tables import Patient

pytestmark = pytest.mark.store


def add(tenant_id: int, code: str, **given: object) -> int:
    with tenant_session(tenant_id) as session:
        shape = PatientIn.model_validate({"code": code} | given)
        return patients.create_patient(session, tenant_id, SYSTEM, shape).id


def get(tenant_id: int, patient_id: int) -> Patient:
    with tenant_session(tenant_id) as session:
        return patients.get_patient(session, tenant_id, patient_id)


def merge(tenant_id: int, kept: int, merged: int, *, version: int = 1, merged_version: int = 1) -> dict[str, int]:
    given = MergeIn(merged_id=merged, version=version, merged_version=merged_version)
    with tenant_session(tenant_id) as session:
        return merges.merge_patients(session, tenant_id, SYSTEM, kept, given)[1]


def codes(tenant_id: int, words: str) -> list[str]:
    with tenant_session(tenant_id) as session:
        return [row.code for row in patients.search_patients(session, tenant_id, words).patients]


def test_search_finds_by_code_names_and_identifier(alpha: int) -> None:
    ada = add(alpha, "P1", family_name="Lovelace", given_names="Ada")
    add(alpha, "P2", family_name="Hopper", given_names="Grace")
    with tenant_session(alpha) as session:
        patients.add_identifier(session, alpha, SYSTEM, ada, IdentifierIn(system="national-id", value="NIN-77"))
    assert codes(alpha, "") == ["P2", "P1"]
    assert codes(alpha, "p1") == ["P1"]
    assert codes(alpha, "ada love") == ["P1"]
    assert codes(alpha, "nin-7") == ["P1"]
    assert codes(alpha, "ada hopper") == []


@pytest.mark.parametrize("word", ["%", "_", "\\", "P%"])
def test_search_takes_wildcards_literally(alpha: int, word: str) -> None:
    add(alpha, "P1")
    assert codes(alpha, word) == []


def test_pages_of_a_search_hold_everybody_once(alpha: int) -> None:
    for number in range(7):
        add(alpha, f"P{number}", family_name="Same")
    with tenant_session(alpha) as session:
        pages = [patients.search_patients(session, alpha, "same", page=page, size=3) for page in (1, 2, 3)]
    assert [page.total for page in pages] == [7, 7, 7]
    assert sorted(row.code for page in pages for row in page.patients) == [f"P{number}" for number in range(7)]


def test_a_code_is_given_once(alpha: int) -> None:
    add(alpha, "P1")
    with pytest.raises(ConflictError) as refused:
        add(alpha, "P1")
    assert refused.value.field == "code"


def test_an_edit_of_a_stale_page_is_refused(alpha: int) -> None:
    one = add(alpha, "P1")
    edit = PatientEdit.model_validate({"code": "P1", "family_name": "Doe", "version": 1})
    with tenant_session(alpha) as session:
        assert patients.edit_patient(session, alpha, SYSTEM, one, edit).version == 2
    with pytest.raises(ConflictError, match="changed by somebody else"), tenant_session(alpha) as session:
        patients.edit_patient(session, alpha, SYSTEM, one, edit)


def test_two_edits_at_once_let_one_through(alpha: int) -> None:
    one = add(alpha, "P1")
    outcomes: list[str] = []
    both = threading.Barrier(2)

    def edit(name: str) -> None:
        both.wait()
        try:
            with tenant_session(alpha) as session:
                shape = PatientEdit.model_validate({"code": "P1", "family_name": name, "version": 1})
                patients.edit_patient(session, alpha, SYSTEM, one, shape)
            outcomes.append("saved")
        except ConflictError:
            outcomes.append("refused")

    threads = [threading.Thread(target=edit, args=(name,)) for name in ("Doe", "Roe")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["refused", "saved"]


def test_a_birth_tomorrow_is_refused_by_the_laboratorys_calendar(alpha: int) -> None:
    with pytest.raises(InvalidError):
        add(alpha, "P1", birth_date=date(2999, 1, 1))


def test_a_merge_moves_everything_and_leaves_a_pointer(alpha: int) -> None:
    kept, gone = add(alpha, "P1"), add(alpha, "P2")
    with tenant_session(alpha) as session:
        patients.add_identifier(session, alpha, SYSTEM, gone, IdentifierIn(system="insurance", value="I-9"))
    others = ("assignment", "device_patient", "vital_sign", "alert", "alert_threshold", "radiology_order")
    assert merge(alpha, kept, gone) == {"patient_identifier": 1, **dict.fromkeys(others, 0)}
    assert get(alpha, gone).merged_into_id == kept
    with tenant_session(alpha) as session:
        assert [row.value for row in patients.list_identifiers(session, alpha, kept)] == ["I-9"]
        assert patients.codes_of(session, alpha, kept) == {"P1", "P2"}
        found = patients.find_by_code(session, alpha, "P2")
        assert found is not None
        assert found.id == kept
    assert codes(alpha, "P2") == ["P1"]


def test_merging_twice_leaves_one_link_and_no_loop(alpha: int) -> None:
    one, two, three = add(alpha, "P1"), add(alpha, "P2"), add(alpha, "P3")
    merge(alpha, two, one)
    merge(alpha, three, two, merged_version=2)
    assert get(alpha, one).merged_into_id == three
    for kept, gone in ((one, three), (two, three), (three, one), (three, three)):
        with pytest.raises((ConflictError, InvalidError)):
            merge(alpha, kept, gone, version=2, merged_version=2)


def test_a_stale_merge_is_refused(alpha: int) -> None:
    kept, gone = add(alpha, "P1"), add(alpha, "P2")
    with pytest.raises(ConflictError):
        merge(alpha, kept, gone, version=2)
    assert get(alpha, gone).merged_into_id is None


def test_two_merges_of_the_same_two_at_once_end_in_one(alpha: int) -> None:
    one, two = add(alpha, "P1"), add(alpha, "P2")
    outcomes: list[str] = []
    both = threading.Barrier(2)

    def run(kept: int, gone: int) -> None:
        both.wait()
        try:
            merge(alpha, kept, gone)
            outcomes.append("merged")
        except ConflictError:
            outcomes.append("refused")

    threads = [threading.Thread(target=run, args=pair) for pair in ((one, two), (two, one))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["merged", "refused"]
    assert {get(alpha, one).merged_into_id, get(alpha, two).merged_into_id} in ({None, one}, {None, two})


def test_a_merged_record_takes_no_changes(alpha: int) -> None:
    kept, gone = add(alpha, "P1"), add(alpha, "P2")
    merge(alpha, kept, gone)
    with pytest.raises(ConflictError, match=f"merged into {kept}"), tenant_session(alpha) as session:
        patients.edit_patient(session, alpha, SYSTEM, gone, PatientEdit.model_validate({"code": "P2", "version": 2}))
    with pytest.raises(ConflictError), tenant_session(alpha) as session:
        patients.add_identifier(session, alpha, SYSTEM, gone, IdentifierIn(system="x", value="y"))
    with pytest.raises(ConflictError), tenant_session(alpha) as session:
        patients.living_patient(session, alpha, gone)


def test_every_table_that_refers_to_a_patient_follows_a_merge(alpha: int) -> None:
    with owner_session() as session:
        found = session.scalars(
            text(
                "SELECT conrelid::regclass::text FROM pg_constraint "
                "WHERE contype = 'f' AND confrelid = 'patient'::regclass AND conrelid <> 'patient'::regclass "
                "AND conparentid = 0"
            )
        ).all()
    assert set(found) == set(merges.MOVED_TABLES)


def test_nothing_new_refers_to_a_record_while_it_is_merged(alpha: int) -> None:
    kept, gone = add(alpha, "P1"), add(alpha, "P2")
    outcome: list[str] = []

    def order() -> None:
        try:
            with tenant_session(alpha) as session:
                patients.living_patient(session, alpha, gone)
            outcome.append("referred")
        except ConflictError:
            outcome.append("refused")

    with tenant_session(alpha) as session:
        merges.merge_patients(session, alpha, SYSTEM, kept, MergeIn(merged_id=gone, version=1, merged_version=1))
        thread = threading.Thread(target=order)
        thread.start()
        thread.join(0.3)
        assert outcome == []  # waits for the merge to be decided
    thread.join()
    assert outcome == ["refused"]


def test_identifiers_belong_to_one_patient(alpha: int) -> None:
    one, two = add(alpha, "P1"), add(alpha, "P2")
    given = IdentifierIn(system="national-id", value="77")
    with tenant_session(alpha) as session:
        made = patients.add_identifier(session, alpha, SYSTEM, one, given)
    with pytest.raises(ConflictError), tenant_session(alpha) as session:
        patients.add_identifier(session, alpha, SYSTEM, two, given)
    with pytest.raises(NotFoundError), tenant_session(alpha) as session:
        patients.remove_identifier(session, alpha, SYSTEM, two, identifier_id=made.id)
    with tenant_session(alpha) as session:
        patients.remove_identifier(session, alpha, SYSTEM, one, identifier_id=made.id)
        assert list(patients.list_identifiers(session, alpha, one)) == []


def test_who_looked_includes_the_merged_records_past(alpha: int) -> None:
    kept, gone = add(alpha, "P1"), add(alpha, "P2")
    with tenant_session(alpha) as session:
        reads.note_read(session, alpha, SYSTEM, [gone, gone, kept])
    merge(alpha, kept, gone)
    with tenant_session(alpha) as session:
        rows, total = reads.list_reads(session, alpha, kept)
    assert total == 2
    assert {row.patient_id for row in rows} == {kept, gone}
