"""What holds for the whole API, whichever areas it serves."""

import json
import subprocess
import sys
from typing import Any

import pytest
from fastapi.routing import iter_route_contexts

from api.app import areas
from api.deps import may
from tests.api.helpers import app

pytestmark = pytest.mark.contract
OPEN = {"/healthz", "/readyz", "/metrics"}
WITHOUT_SIGN_IN = {"sign_in", "ask_for_password_link", "use_password_link"}

OWN_ANSWER = {
    (name, "409") for name in ("store_instances", "store_instances_of_study", "upload_images", "add_binaries")
}
"""Nothing of many was stored: the answer says of each why (DICOM PS3.18, 10.5.3, asks for that)."""


def operations() -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (path, method, operation)
        for path, methods in app().openapi()["paths"].items()
        for method, operation in methods.items()
    ]


def test_the_api_starts_without_prefect_and_without_great_expectations() -> None:
    program = (
        "import sys, json\nfrom api.app import create_app\ncreate_app().openapi()\n"
        "print(json.dumps([n for n in ('prefect', 'great_expectations', 'pandas', 'jinja2') if n in sys.modules]))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=120)
    assert json.loads(done.stdout) == ["jinja2"]


def test_operation_ids_are_plain_and_unique() -> None:
    ids = [operation["operationId"] for _, _, operation in operations()]
    assert len(ids) == len(set(ids))
    assert all(one.isidentifier() and one.islower() for one in ids)


def test_every_operation_says_what_it_does_and_where_it_belongs() -> None:
    for path, method, operation in operations():
        assert operation.get("tags"), f"{method} {path} has no tag"
        assert operation.get("description"), f"{method} {path} says nothing"


def test_every_error_is_documented_in_the_one_shape() -> None:
    for path, method, operation in operations():
        if path in OPEN:
            continue
        wanted = {"400", "413", "500", "503"} | (
            set() if path.startswith("/api/iot/") else {"422"}
        )  # as documented: 400
        if operation["operationId"] not in WITHOUT_SIGN_IN:
            wanted |= {"401", "403"}
        if "{" in path:
            wanted.add("404")
        answers = operation["responses"]
        assert wanted <= set(answers), f"{method} {path} lacks {sorted(wanted - set(answers))}"
        for status, answer in answers.items():
            if int(status) >= 400 and (operation["operationId"], status) not in OWN_ANSWER:
                schema = answer["content"]["application/json"]["schema"]
                assert schema == {"$ref": "#/components/schemas/ErrorAnswer"}, f"{method} {path} {status}"


def test_every_operation_needs_somebody_we_know() -> None:
    for path, method, operation in operations():
        if path in OPEN or operation["operationId"] in WITHOUT_SIGN_IN:
            continue
        assert operation.get("security"), f"{method} {path} is open to everybody"


def test_every_success_has_a_schema_or_no_body() -> None:
    for path, method, operation in operations():
        for status, answer in operation["responses"].items():
            if status.startswith("2") and status != "204" and path != "/metrics":
                assert answer.get("content"), f"{method} {path} {status}"


def test_every_area_below_api_is_served() -> None:
    served = " ".join(str(route.path) for route in iter_route_contexts(app().routes))
    assert "people" in areas()
    assert "/api/v1/patients" in served
    assert "/patients/{patient_id}" in served


def test_an_unknown_scope_is_a_mistake_at_import() -> None:
    with pytest.raises(ValueError, match="SCOPES"):
        may("technician", scope="patients:raed")
