"""Every route of the imaging area, found by walking the application: a new one cannot be forgotten."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import httpx
from fastapi.routing import iter_route_contexts
from starlette.testclient import TestClient

from tests.api.helpers import PAGE, app

_PARAMETER = re.compile(r"\{(\w+)(?::\w+)?\}")
CONSTANTS = {
    **dict.fromkeys(("frame", "frames", "frame_list", "frame_number"), "1"),
    **dict.fromkeys(("place", "path", "bulk", "bulk_path"), "7FE00010"),
}
SAME = {"instance_uid": "image_uid", "sop_instance_uid": "image_uid", "uid": "study_uid"}
BODIES: Mapping[str, Any] = {
    "assign_study": {"radiology_order_id": 1},
    "create_viewer_grant": {},
    "discard_upload": {"note": "gone"},
    "reject_radiology_image": {"note": "blurred"},
    "review_radiology_order": {"review_note": "fine", "version": 1},
}
"""What a route needs before it looks at the id in its address."""

FORM = {"note": "gone", "review_note": "fine", "version": "1", "radiology_order_id": "1"}
"""The same for pages."""


@dataclass(frozen=True, slots=True)
class Route:
    """One method of one address."""

    method: str
    path: str
    name: str

    @property
    def is_page(self) -> bool:
        return not self.path.startswith(("/api/", "/dicom-web"))

    @property
    def has_parameter(self) -> bool:
        return "{" in self.path

    def ask(self, asker: TestClient, ids: Mapping[str, Any]) -> httpx.Response:
        """Ask for it with these ids; an unknown parameter's name is to be added here."""
        path = _PARAMETER.sub(lambda found: str((CONSTANTS | dict(ids))[SAME.get(found[1], found[1])]), self.path)
        more: dict[str, Any] = {"json": BODIES[self.name]} if self.name in BODIES else {}
        if self.is_page:
            form = FORM | {"csrf_token": asker.headers.get("X-CSRF-Token", "")}
            more = {"headers": PAGE} | ({"data": form} if self.method == "POST" else {})
        if self.name in ("add_part", "head_binary"):
            more["headers"] = {"Upload-Offset": "0"}
        answer: httpx.Response = asker.request(self.method, path, **more)
        return answer

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def imaging_routes() -> Iterator[Route]:
    """All of them: the JSON API, DICOMweb and the pages."""
    for route in iter_route_contexts(app().routes):
        if getattr(route.endpoint, "__module__", "").startswith("api.imaging"):
            for method in sorted(route.methods or ()):
                yield Route(method, str(route.path), str(route.name))
