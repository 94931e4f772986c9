"""Critical limits of an age, and the source of all limits: from the file to the flag, the page and the API."""

from decimal import Decimal

import pytest
from sqlalchemy import update

from models.instruments.catalogue_inputs import RangeInput
from models.instruments.stores import catalogue, catalogue_import
from models.instruments.tables import Result
from models.kernel.clock import utc_now
from models.kernel.tenancy import tenant_session
from models.people.tables import Patient
from tests.conftest import Database
from tests.instruments.desk import Desk, sit_down
from tests.instruments.helpers import Lab, make_lab

pytestmark = pytest.mark.api
D = Decimal
SOURCE = "A survey of newborns, 1991"
RANGE = "age_from_days,age_to_days,range_low,range_high,range_panic_low,range_panic_high"
CSV = f"""code,name,specimen_type,unit,panic_high,equipment,source,{RANGE}
LAB-K,Potassium,Serum,mmol/L,6.2,Analyzer,"{SOURCE}",365,,3.6,5.2,,
LAB-K,,,,,,,,31,,,,7.8
LAB-K,,,,,,,,6574,,,2.9,6.4
"""


@pytest.fixture
def lab(database: Database) -> Lab:
    made = make_lab()
    content = CSV.encode()
    with tenant_session(made.tenant_id) as session:
        plan = catalogue_import.preview_catalogue(session, made.tenant_id, content, "csv")
        assert plan.problems == []
        catalogue_import.apply_catalogue(session, made.tenant_id, made.actor(), content, "csv", token=plan.token)
    return made


@pytest.fixture
def admin(lab: Lab) -> Desk:
    return sit_down(lab, "keeper", "administrator")


def kept_ranges(lab: Lab) -> tuple[int, list[RangeInput]]:
    with tenant_session(lab.tenant_id) as session:
        (row,) = [one for one in catalogue.list_tests(session, lab.tenant_id) if one.code == "LAB-K"]
        return row.id, catalogue.inputs_of(session, lab.tenant_id, [row])[row.id].ranges


def measured(lab: Lab, age_days: int, value: str) -> Result:
    """The result of a patient of this age."""
    born = utc_now().date().fromordinal(utc_now().date().toordinal() - age_days)
    with tenant_session(lab.tenant_id) as session:
        session.execute(update(Patient).where(Patient.tenant_id == lab.tenant_id).values(birth_date=born))
    (one,) = lab.queued("LAB-K")
    lab.answer(one, lab.body(one, value=value))
    with tenant_session(lab.tenant_id) as session:
        return session.query(Result).filter_by(assignment_id=one).one()


@pytest.mark.parametrize(
    ("age_days", "value", "flag", "normal", "critical"),
    [
        (10, "7.5", None, (None, None), (None, D("7.8"))),
        (10, "7.9", "critical_high", (None, None), (None, D("7.8"))),
        (100, "6.5", "critical_high", (None, None), (D("2.9"), D("6.4"))),
        (4000, "6.3", "high", (D("3.6"), D("5.2")), (D("2.9"), D("6.4"))),
        (4000, "2.8", "critical_low", (D("3.6"), D("5.2")), (D("2.9"), D("6.4"))),
        (15000, "6.3", "critical_high", (D("3.6"), D("5.2")), (None, D("6.2"))),
        (15000, "2.8", "low", (D("3.6"), D("5.2")), (None, D("6.2"))),
    ],
)
def test_what_is_critical_is_looked_up_by_age_and_kept_with_the_result(
    lab: Lab,
    age_days: int,
    value: str,
    flag: str | None,
    normal: tuple[Decimal | None, Decimal | None],
    critical: tuple[Decimal | None, Decimal | None],
) -> None:
    result = measured(lab, age_days, value)
    assert result.flag == flag
    assert (result.range_low, result.range_high) == normal
    assert (result.panic_low, result.panic_high) == critical


def test_the_page_keeps_the_critical_limits_of_an_age_and_shows_the_source(lab: Lab, admin: Desk) -> None:
    shown = admin.get("/catalogue").text
    assert "> 7.8 under 31 d" in shown
    assert "< 2.9, > 6.4 under 18 y" in shown
    assert SOURCE in shown
    test_id, before = kept_ranges(lab)
    page = admin.get(f"/catalogue/tests/{test_id}/edit")
    names = ("sex", "age_from_days", "age_to_days", "low", "high", "panic_low", "panic_high")
    typed = {f"range_{name}": [one.attributes.get("value", "") for one in page.of("input", name=f"range_{name}")]
             for name in names[1:]}  # fmt: skip
    fields = ("code", "name", "loinc", "specimen_type", "unit", "panic_high", "version")
    form = {name: page.value(name) for name in fields} | {"source": SOURCE, "equipment": "Analyzer"}
    form |= {"result_type": "numeric", "verification_levels": "1", "is_active": "true"}
    assert admin.post(f"/catalogue/tests/{test_id}/edit", form | typed | {"range_sex": [""] * 5}).status == 303
    assert kept_ranges(lab)[1] == before


def test_a_doctor_sees_on_the_assignment_where_the_limits_come_from(lab: Lab) -> None:
    (one,) = lab.queued("LAB-K")
    assert SOURCE in sit_down(lab, "amaka", "doctor").get(f"/assignments/{one}").text


def test_the_api_answers_critical_limits_by_age_and_the_source(lab: Lab, admin: Desk) -> None:
    (row,) = [one for one in admin.browser.get("/api/v1/tests").json() if one["code"] == "LAB-K"]
    assert row["source"] == SOURCE
    assert [one["panic_high"] for one in row["ranges"]] == [None, "7.8", "6.4"]
