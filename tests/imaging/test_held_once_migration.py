"""A database that holds the same bytes several times is brought up to date: the oldest stays."""

import pytest
from sqlalchemy import create_engine, text

from models.kernel.db import driver_url
from models.kernel.settings import settings
from models.kernel.tenancy import tenant_session
from models.migrations.apply import upgrade
from tests.conftest import Database
from tests.factories import make_tenant

pytestmark = pytest.mark.store
HELD = """
INSERT INTO image_upload (tenant_id, source, state, study_uid, series_uid, image_uid, filename, file_size, mime_type,
                          checksum, rule)
VALUES (:tenant_id, 'stow', 'held', '1.2', '1.2.1', :uid, 'a.dcm', 1, 'application/dicom', :checksum, 'patient')
"""


def test_of_doubles_the_oldest_stays_held_and_the_others_are_discarded_with_a_note(database: Database) -> None:
    back = create_engine(driver_url(settings().required("database_owner_url")))
    with back.begin() as connection:
        connection.execute(text("DROP INDEX image_upload_held_key"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0012'"))
    back.dispose()
    kinds = [("1.2.3", "a"), ("1.2.3", "a"), ("1.2.3", "b"), ("1.2.4", "a"), ("1.2.3", "a")]
    tenants = [make_tenant("north"), make_tenant("south")]
    for tenant_id in tenants:
        with tenant_session(tenant_id) as session:
            for uid, letter in kinds:
                session.execute(text(HELD), {"tenant_id": tenant_id, "uid": uid, "checksum": letter * 64})
    upgrade(settings().required("database_owner_url"), "0013")
    for tenant_id in tenants:
        with tenant_session(tenant_id) as session:
            rows = session.execute(text("SELECT state, note, ended_at, id FROM image_upload ORDER BY id")).all()
        assert [row.state for row in rows] == ["held", "discarded", "held", "held", "discarded"]
        note = f"the same file is held as upload {rows[0].id}"
        assert [row.note for row in rows] == [None, note, None, None, note]
        assert [row.ended_at is None for row in rows] == [True, False, True, True, False]
