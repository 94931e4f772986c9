"""Schemathesis throws examples made from the OpenAPI document at every operation of every area.

A session with every right is used, so that requests get past the door. A 5xx, an undocumented status, a body that is
not as documented, or a wrong content type fails.
"""

from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis import Case, GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from models.people.roles import ROLES
from tests.api.helpers import app, make_user, signed_in

pytestmark = pytest.mark.api

EXAMPLES = 3
CHECKS: Any = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
LAST = {"edit_user", "disable_user"}  # these may take the session its rights


@schemathesis.serializer('multipart/related; type="application/dicom"')
def as_it_is(context: Any, value: Any) -> bytes:
    """A body that is no multipart at all: what a right one is answered is shown elsewhere."""
    return value if isinstance(value, bytes) else str(value).encode(errors="replace")


def try_operation(operation: Any, headers: dict[str, str]) -> None:
    """A few acceptable and a few unacceptable requests."""
    for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):

        @settings(
            max_examples=EXAMPLES,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy(generation_mode=mode))
        def run(case: Case[Any]) -> None:
            case.call_and_validate(headers=headers, checks=CHECKS)

        if mode is GenerationMode.POSITIVE or can_be_wrong(operation):
            run()


def can_be_wrong(operation: Any) -> bool:
    """Whether anything can be wrong with a request at all."""
    return any(True for _ in operation.iter_parameters()) or bool(list(operation.body))


def test_every_operation_answers_as_documented(alpha: int) -> None:
    make_user(alpha, "boss@alpha.org", *ROLES)
    schema = schemathesis.openapi.from_asgi("/openapi.json", app())
    operations: list[Any] = [result.ok() for result in schema.get_all_operations()]  # type: ignore[union-attr]
    operations.sort(key=lambda one: one.definition.raw["operationId"] in LAST)
    assert len(operations) > 25
    browser = signed_in("boss@alpha.org")
    for operation in operations:
        if browser.get("/api/v1/me").status_code == 401:  # an operation ended the session, as it should
            browser = signed_in("boss@alpha.org")
        cookie = f"labwire_session={browser.cookies['labwire_session']}"
        try_operation(operation, {"X-CSRF-Token": browser.headers["X-CSRF-Token"], "Cookie": cookie})
