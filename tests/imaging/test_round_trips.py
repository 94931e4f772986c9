"""What one image of a series costs between us and the database, as docs/decisions/0009 says."""

import pytest
from sqlalchemy import event

from models.kernel.db import engine
from models.kernel.pipeline import Pipeline
from tests.api.helpers import make_token, with_token
from tests.imaging.conftest import Clinic
from tests.imaging.dicoms import SERIES, STUDY, ct

pytestmark = pytest.mark.api


@pytest.fixture
def trips(clinic: Clinic, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Everything that is sent to the database and waited for."""
    sent: list[str] = []
    carry_out = Pipeline._carry_out

    def noted(pipeline: Pipeline, statement: str, values: tuple[object, ...] | None = None) -> object:
        sent.append(statement)
        return carry_out(pipeline, statement, values)

    monkeypatch.setattr(Pipeline, "_carry_out", noted)
    event.listen(engine(), "begin", lambda _: sent.append("BEGIN"))
    event.listen(engine(), "commit", lambda _: sent.append("COMMIT"))
    event.listen(engine(), "before_cursor_execute", lambda *given: sent.append(given[2]))
    return sent


def test_the_next_image_of_a_series_costs_four_and_a_declared_part_by_token_six(
    clinic: Clinic, trips: list[str]
) -> None:
    images = [{"image_uid": f"{SERIES}.{number}", "series_uid": SERIES} for number in (2, 3)]
    clinic.stow(ct(1))
    declared = clinic.declare([ct(2), ct(3)], study_uid=STUDY, images=images).json()["uploads"]
    program = with_token(make_token(clinic.tenant_id, int(clinic.technician.headers["X-Test-User"])))
    for upload, file in zip(declared, (ct(2), ct(3)), strict=True):  # prepared with the first
        trips.clear()
        answer = program.put(f"/api/v1/radiology/uploads/{upload['id']}/binary", content=file)
        assert answer.json()["state"] == "stored"
    assert (trips[0], trips[-1], len(trips)) == ("BEGIN", "COMMIT", 6)
    trips.clear()
    assert clinic.stow(ct(4)).status_code == 200
    own = trips[trips.index("COMMIT") + 1 :]  # after the session's
    assert (own[0], own[-1], len(own)) == ("BEGIN", "COMMIT", 4)
