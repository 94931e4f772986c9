"""What the simulated analyser is told: its settings, and the documented order."""

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from deployments.simulators.instrument_catalogue import CATALOGUE, CatalogueTest

Text = Annotated[str, Field(min_length=1, max_length=200)]
Id = Annotated[int, Field(ge=1)]


class Metadata(BaseModel):
    """The caller's own numbers, as documented."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, alias_generator=to_camel)
    assignment_id: Id
    vendor_id: Id
    department_id: Id | None  # null: the order belongs to no department


class QueueRequest(BaseModel):
    """The documented body of POST /api/queue: every field is required, no other is known."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, alias_generator=to_camel)
    id: Literal[0]
    patient_id: Text
    test_name: Text
    test_code: Text
    sample_id: Text
    request_id: Text
    priority: Literal["routine", "urgent", "stat"]
    specimen_type: Text
    metadata: Metadata


@dataclass(kw_only=True)
class InstrumentOptions:
    """How one simulated analyser is set up; everything but host, port and certificates may change while it runs."""

    name: str = "Hematology Analyzer XYZ"
    host: str = "127.0.0.1"
    port: int = 0
    certificate: Path | None = None
    private_key: Path | None = None
    api_keys: tuple[str, ...] = ()  # several are valid at once while keys are rotated; none: one is made up
    auth_header: str = "X-API-Key"
    public_status: bool = False
    honours_keys: bool = True
    returns_sample: bool = False  # the document's result has no sampleId
    omits_unfinished: bool = False  # leave value, unit, qualityControl, completedAt out instead of null
    queue_seconds: float = 0.3
    run_seconds: float = 0.7
    retention_hours: float = 24.0  # the document: at least 24 hours after completion
    first_id: int | None = None  # none: the time of the start, so that a restarted analyser does not repeat ids
    last_calibration: str = "2025-11-10T08:00:00Z"
    tests: dict[str, CatalogueTest] = field(default_factory=lambda: dict(CATALOGUE))
    push_url: str | None = None
    push_token: str | None = None
    push_ca: Path | None = None
    journal_size: int = 20_000
    max_entries: int = 200_000


def peek_request_id(body: bytes | None) -> str | None:
    """The requestId of a body not yet checked, so that a fault can be limited to it; none when it cannot be read."""
    try:
        content = json.loads(body or b"")
    except ValueError:
        return None
    found = content.get("requestId") if isinstance(content, dict) else None
    return found if isinstance(found, str) else None
