"""Which role may ask for which route about images: a new route fails until it is named here."""

from collections.abc import Callable
from typing import Any

import pytest
from starlette.testclient import TestClient

from models.people.roles import RADIOLOGY, ROLES
from tests.api.helpers import audited, make_token, make_user, signed_in, with_token
from tests.imaging.imaging_routes import Route
from tests.imaging.imaging_world import World, guarded, world

pytestmark = pytest.mark.api
__all__ = ["world"]
DOCTOR, TECHNICIAN = "doctor", "radiology_technician"
UPLOADING = """
    POST /api/v1/radiology/uploads
    GET /api/v1/radiology/uploads
    GET /api/v1/radiology/uploads/{upload_id}
    HEAD /api/v1/radiology/uploads/{upload_id}/binary
    PATCH /api/v1/radiology/uploads/{upload_id}/binary
    PUT /api/v1/radiology/uploads/{upload_id}/binary
    POST /api/v1/radiology/uploads/binaries
    POST /api/v1/radiology/uploads/{upload_id}/retry
    POST /api/v1/radiology/uploads/{upload_id}/discard
    POST /api/v1/radiology/images
    POST /dicom-web/studies
    POST /dicom-web/studies/{study_uid}
    POST /api/v1/radiology/studies/{study_id}/assign
    GET /radiology/upload
    GET /radiology/uploads
    POST /radiology/uploads/{upload_id}/retry
    POST /radiology/uploads/{upload_id}/discard
    POST /radiology/studies/{study_id}/assign
"""
"""What a technician alone may: bring images in, and say whose they are."""
REVIEWING = """
    POST /api/v1/radiology/orders/{order_id}/review
    POST /radiology/orders/{order_id}/review
"""
"""What a doctor alone may."""
LOOKING = """
    GET /api/v1/radiology/orders
    GET /api/v1/radiology/orders/{order_id}
    GET /api/v1/radiology/studies
    GET /api/v1/radiology/studies/{study_id}
    GET /api/v1/radiology/studies/{study_id}/viewer-url
    GET /api/v1/radiology/studies/{study_id}/images
    GET /api/v1/radiology/studies/{study_id}/grants
    GET /api/v1/radiology/images/{image_id}
    GET /api/v1/radiology/images/{image_id}/url
    GET /api/v1/radiology/images/{image_id}/file
    HEAD /api/v1/radiology/images/{image_id}/file
    GET /dicom-web/studies
    GET /dicom-web/series
    GET /dicom-web/instances
    GET /dicom-web/studies/{study_uid}
    GET /dicom-web/studies/{study_uid}/series
    GET /dicom-web/studies/{study_uid}/instances
    GET /dicom-web/studies/{study_uid}/metadata
    GET /dicom-web/studies/{study_uid}/rejected
    GET /dicom-web/studies/{study_uid}/rendered
    GET /dicom-web/studies/{study_uid}/thumbnail
    GET /dicom-web/studies/{study_uid}/series/{series_uid}
    GET /dicom-web/studies/{study_uid}/series/{series_uid}/instances
    GET /dicom-web/studies/{study_uid}/series/{series_uid}/metadata
    GET /dicom-web/studies/{study_uid}/series/{series_uid}/rendered
    GET /dicom-web/studies/{study_uid}/series/{series_uid}/thumbnail
    GET /dicom-web/studies/{study_uid}/series/{series_uid}/instances/{image_uid}
    GET /dicom-web/studies/{study_uid}/series/{series_uid}/instances/{image_uid}/metadata
    GET /dicom-web/studies/{study_uid}/series/{series_uid}/instances/{image_uid}/rendered
    GET /dicom-web/studies/{study_uid}/series/{series_uid}/instances/{image_uid}/thumbnail
    GET /dicom-web/studies/{study_uid}/series/{series_uid}/instances/{image_uid}/bulkdata/{place:path}
    GET /dicom-web/studies/{study_uid}/series/{series_uid}/instances/{image_uid}/frames/{frames}
    GET /dicom-web/studies/{study_uid}/series/{series_uid}/instances/{image_uid}/frames/{frames}/rendered
    GET /dicom-web/studies/{study_uid}/series/{series_uid}/instances/{image_uid}/frames/{frames}/thumbnail
    GET /radiology/orders
    GET /radiology/orders/rows
    GET /radiology/orders/new
    GET /radiology/orders/{order_id}
    GET /radiology/studies
    GET /radiology/studies/{study_id}
    GET /radiology/studies/images/{image_id}
    GET /radiology/view/{study_uid}
"""
ORDERING = """
    POST /api/v1/radiology/orders
    POST /api/v1/radiology/images/{image_id}/reject
    POST /api/v1/radiology/studies/{study_id}/grants
    POST /api/v1/radiology/grants/{grant_id}/revoke
    POST /radiology/orders/new
    POST /radiology/orders/new/patients
    POST /radiology/studies/{study_id}/view
    POST /radiology/studies/{study_id}/grants/{grant_id}/revoke
    POST /radiology/studies/images/{image_id}/reject
"""
"""What both may change."""


def named(*groups: str) -> frozenset[str]:
    return frozenset(line.strip() for group in groups for line in group.strip().splitlines())


ALLOWED = {
    DOCTOR: named(LOOKING, ORDERING, REVIEWING),
    TECHNICIAN: named(LOOKING, ORDERING, UPLOADING),
    "others": frozenset(),
}
OTHERS = [role for role in ROLES if role not in RADIOLOGY]
"""Together they are one person: what that one is refused, each of them is."""


def name_of(route: Route) -> str:
    return f"{route.method} {route.path.rstrip('/')}"


def test_every_route_is_classed_once() -> None:
    there = {name_of(route) for route in guarded()}
    groups = [named(group) for group in (UPLOADING, REVIEWING, LOOKING, ORDERING)]
    assert sum(map(len, groups)) == len(frozenset().union(*groups))
    assert frozenset().union(*groups) == there


def someone(world: World, who: str) -> tuple[int, str]:
    email = f"{who}@walk.example"
    return make_user(world.clinic.tenant_id, email, *(OTHERS if who == "others" else (who,))), email


def by_session(world: World, who: str) -> TestClient:
    return signed_in(someone(world, who)[1])


def by_token(world: World, who: str) -> TestClient:
    return with_token(make_token(world.clinic.tenant_id, someone(world, who)[0]))


@pytest.mark.parametrize("who", ALLOWED)
@pytest.mark.parametrize("asking", [by_session, by_token])
def test_every_route_lets_in_whom_it_should_and_nobody_else(
    world: World, asking: Callable[[World, str], TestClient], who: str
) -> None:
    asker, refused, wrong = asking(world, who), 0, []
    before = len(audited(world.clinic.tenant_id, "access.refused"))
    for route in guarded():
        answer = route.ask(asker, world.ids)
        if route.is_page and asking is by_token:  # pages know people alone
            is_right = is_sign_in(answer)
        elif name_of(route) in ALLOWED[who]:
            is_right = is_let_in(route, answer)
        else:
            is_right, refused = answer.status_code == 403, refused + 1
        if not is_right:
            wrong.append(f"{route}: {answer.status_code} {answer.text[:200]}")
    assert not wrong, "\n".join(wrong)
    rows = audited(world.clinic.tenant_id, "access.refused")[before:]
    assert len(rows) == refused
    assert {row.changes["reason"] for row in rows} <= {"role or scope"}


def is_sign_in(answer: Any) -> bool:
    return bool(answer.status_code == 401 or "/login" in answer.headers.get("Location", ""))


def is_let_in(route: Route, answer: Any) -> bool:
    """Nothing is hidden; but an address of somebody else's is not theirs to revoke."""
    hidden = () if "{grant_id}" in route.path else (404,)
    return answer.status_code < 500 and answer.status_code not in (401, 403, *hidden) and not is_sign_in(answer)
