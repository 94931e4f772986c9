"""The test catalogue: tests, panels, and importing a file after a preview."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query, Request
from fastapi.concurrency import run_in_threadpool

from api.deps import Caller, may, tenant_work
from api.errors import errors
from api.instruments.setup_answers import PanelAnswer, PlannedAnswer, PreviewAnswer, ProblemAnswer, TestAnswer
from models.instruments.catalogue_files import Format
from models.instruments.catalogue_inputs import PanelChange, PanelInput, TestChange, TestInput
from models.instruments.stores import catalogue, catalogue_import
from models.instruments.stores.catalogue_import import Preview
from models.kernel.errors import InvalidError, NotFoundError
from models.kernel.fields import Id

router = APIRouter(tags=["catalogue"])
Reader = Annotated[Caller, Depends(may(scope="instruments:read"))]
Administrator = Annotated[Caller, Depends(may("administrator", scope="instruments:write"))]
FormatParameter = Annotated[Format, Query(alias="format")]
FILE = {
    "requestBody": {
        "required": True,
        "description": "The file itself. CSV: one row per reference range; JSON: `{tests: [...], panels: [...]}`",
        "content": {
            "application/octet-stream": {"schema": {"type": "string", "format": "binary"}},
            "text/csv": {"schema": {"type": "string"}},
            "application/json": {"schema": {"type": "object"}},
        },
    }
}


async def whole_body(request: Request) -> bytes:
    """The body as it came; how long it may be is checked at the door."""
    return await request.body()


Body = Annotated[bytes, Depends(whole_body)]


@router.get("/tests", responses=errors(401, 403))
def list_tests(caller: Reader, is_active: bool | None = None) -> list[TestAnswer]:
    """The tests with their reference ranges, by code."""
    with tenant_work(caller) as session:
        rows = catalogue.list_tests(session, caller.tenant_id, is_active=is_active)
        given = catalogue.inputs_of(session, caller.tenant_id, rows)
        return [_test(row.id, given[row.id]) for row in rows]


@router.post("/tests", status_code=201, responses=errors(401, 403, 409))
def create_test(given: TestInput, caller: Administrator) -> TestAnswer:
    """A new test; 409 when its code is taken."""
    with tenant_work(caller) as session:
        row = catalogue.create_test(session, caller.tenant_id, caller.actor, given)
        return _test(row.id, catalogue.inputs_of(session, caller.tenant_id, [row])[row.id])


@router.get("/tests/{test_id}", responses=errors(401, 403, 404))
def get_test(test_id: Id, caller: Reader) -> TestAnswer:
    """One test with its reference ranges."""
    with tenant_work(caller) as session:
        row = catalogue.get_test(session, caller.tenant_id, test_id)
        return _test(row.id, catalogue.inputs_of(session, caller.tenant_id, [row])[row.id])


@router.put("/tests/{test_id}", responses=errors(401, 403, 404, 409))
def update_test(test_id: Id, given: TestChange, caller: Administrator) -> TestAnswer:
    """The test as it shall be, ranges included; 409 when somebody changed it since `version` was read.

    Results there are keep the unit, flag and limits they have.
    """
    with tenant_work(caller) as session:
        row = catalogue.update_test(session, caller.tenant_id, caller.actor, test_id, given)
        return _test(row.id, catalogue.inputs_of(session, caller.tenant_id, [row])[row.id])


@router.get("/panels", responses=errors(401, 403))
def list_panels(caller: Reader) -> list[PanelAnswer]:
    """The panels with the codes of their tests, by code."""
    with tenant_work(caller) as session:
        found = catalogue.list_panels(session, caller.tenant_id)
    return [PanelAnswer(id=panel_id, **given.model_dump()) for panel_id, given in found.items()]


@router.post("/panels", status_code=201, responses=errors(401, 403, 409))
def create_panel(given: PanelInput, caller: Administrator) -> PanelAnswer:
    """A new panel; 409 when its code is taken."""
    with tenant_work(caller) as session:
        panel_id = catalogue.save_panel(session, caller.tenant_id, caller.actor, given, is_new=True)
    return PanelAnswer(id=panel_id, version=1, **given.model_dump())


@router.put("/panels/{panel_id}", responses=errors(401, 403, 404, 409))
def update_panel(panel_id: Id, given: PanelChange, caller: Administrator) -> PanelAnswer:
    """The panel as it shall be; its code stays; 409 when somebody changed it since `version` was read."""
    with tenant_work(caller) as session:
        before = catalogue.list_panels(session, caller.tenant_id).get(panel_id)
        if before is None:
            raise NotFoundError(f"no panel {panel_id}", resource="panel", resource_id=panel_id)
        if before.code != given.code:
            raise InvalidError("the code of a panel cannot be changed; make a new panel", field="code")
        catalogue.save_panel(session, caller.tenant_id, caller.actor, given, is_new=False)
        now = catalogue.list_panels(session, caller.tenant_id)[panel_id]
    return PanelAnswer(id=panel_id, **now.model_dump())


@router.post("/catalogue/preview", responses=errors(401, 403), openapi_extra=FILE)
async def preview_catalogue(caller: Administrator, content: Body, format_: FormatParameter) -> PreviewAnswer:
    """What importing the file would do, row by row, and everything that is wrong with it; nothing is written."""

    def work() -> PreviewAnswer:
        with tenant_work(caller) as session:
            return _preview(catalogue_import.preview_catalogue(session, caller.tenant_id, content, format_))

    return await run_in_threadpool(work)


@router.post("/catalogue/apply", responses=errors(401, 403, 409), openapi_extra=FILE)
async def apply_catalogue(
    caller: Administrator, content: Body, format_: FormatParameter, token: Annotated[str, Query(max_length=200)]
) -> PreviewAnswer:
    """Do what the preview with this token said, all of it or nothing; the same again changes nothing."""

    def work() -> PreviewAnswer:
        with tenant_work(caller) as session:
            done = catalogue_import.apply_catalogue(
                session, caller.tenant_id, caller.actor, content, format_, token=token
            )
            return _preview(done)

    return await run_in_threadpool(work)


def _test(test_id: int, given: TestChange) -> TestAnswer:
    return TestAnswer.model_construct(id=test_id, **{name: getattr(given, name) for name in TestChange.model_fields})


def _preview(found: Preview) -> PreviewAnswer:
    return PreviewAnswer(
        token=found.token,
        new=found.count("new"),
        changed=found.count("changed"),
        unchanged=found.count("unchanged"),
        rows=[PlannedAnswer.model_validate(row) for row in found.rows],
        problems=[ProblemAnswer.model_validate(row) for row in found.problems],
    )
