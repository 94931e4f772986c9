"""A database with findings from before is brought up to date: the times tell how many images each was about."""

import pytest
from sqlalchemy import create_engine, text

from models.kernel.db import driver_url
from models.kernel.settings import settings
from models.kernel.tenancy import owner_session
from models.migrations.apply import upgrade
from tests.imaging.conftest import Clinic
from tests.imaging.desks import store
from tests.imaging.dicoms import ct

pytestmark = pytest.mark.store


def test_images_that_came_after_a_finding_are_counted_as_later(clinic: Clinic) -> None:
    order_id = clinic.order(clinic.patient(), accession_number="A1")
    clinic.order(clinic.patient("P9"), accession_number="A2")
    store(clinic, ct(AccessionNumber="A1"), ct(2, AccessionNumber="A1"))
    address = f"/api/v1/radiology/orders/{order_id}"
    review = {"review_note": "Clear", "version": clinic.doctor.get(address).json()["version"]}
    assert clinic.doctor.post(f"{address}/review", json=review).status_code == 200
    store(clinic, ct(3, AccessionNumber="A1"))
    back = create_engine(driver_url(settings().required("database_owner_url")))
    with back.begin() as connection:
        connection.execute(text("ALTER TABLE radiology_order DROP COLUMN reviewed_image_count"))
        connection.execute(text("UPDATE alembic_version SET version_num = '0013'"))
    back.dispose()
    upgrade(settings().required("database_owner_url"), "0014")
    counts = [row.count for row in clinic.rows("SELECT reviewed_image_count AS count FROM radiology_order ORDER BY id")]
    assert counts == [2, None]
    forced = (
        "SELECT count(*) FROM pg_class WHERE relname ~ '^radiology_(order|study|series|image)$' AND relforcerowsecurity"
    )
    with owner_session() as session:
        assert session.scalar(text(forced)) == 4
