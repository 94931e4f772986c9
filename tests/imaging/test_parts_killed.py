"""Killed at any step of a declared upload whose bytes come in one request: the image is there once, whoever goes on."""

import signal
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pytest

from api.imaging import receiving
from api.imaging.arriving import Arriving
from models.imaging.intake import Intake
from models.imaging.preparing import Ready
from models.kernel.audit import SYSTEM
from models.kernel.settings import settings
from tasks.clients.storage.backends import storage_for_new
from tasks.imaging import completing, scrubbing, strays
from tests.api.helpers import audited, make_token, with_token
from tests.imaging.conftest import Clinic
from tests.imaging.dicoms import SERIES, STUDY, ct, picture
from tests.imaging.drops import die_at, in_processes
from tests.imaging.s3_servers import S3Server
from tests.imaging.stopped_uploads import run
from tests.imaging.test_killed import Taken, ends_whole

pytestmark = pytest.mark.chaos
Step = tuple[Any, str, str, int]
STEPS: dict[str, Step] = {
    "its file is open": (Arriving, "open", "after", 1),
    "written": (Arriving, "write", "after", 1),
    "offered": (Intake, "take_within", "before", 1),
    "read": (Intake, "_write_in", "before", 1),
    "with its rows": (Intake, "_put", "before", 1),
    "put 1": (Intake, "_put", "after", 1),
    "counted": (Intake, "take_within", "after", 1),
    "committed": (Ready, "forget", "before", 1),
    "removed from the spool": (Ready, "forget", "after", 1),
}
"""The process ends before or after so many of these calls; they come in this order."""
WITH_TWO_OBJECTS = STEPS | {"put 2": (Intake, "_put", "after", 2)}
KEPT = ("counted", "committed", "removed from the spool")
COMMITTED = KEPT[1:]


@dataclass
class Sending:
    """One upload that is declared, and its file; `objects` are to be stored of it."""

    clinic: Clinic
    content: bytes
    image: dict[str, Any]
    whose: dict[str, Any]
    is_program: bool = True
    objects: int = 1
    before: int = field(init=False)

    def __post_init__(self) -> None:
        self.before = Taken.of(self.clinic).images
        [upload] = self.clinic.declare([self.content], images=[self.image], **self.whose).json()["uploads"]
        self.path = f"/api/v1/radiology/uploads/{upload['id']}/binary"

    @cached_property
    def sender(self) -> Any:
        """By token it goes past the framework, from a browser it does not."""
        person = self.clinic.technician
        if not self.is_program:
            return person
        return with_token(make_token(self.clinic.tenant_id, int(person.headers["X-Test-User"])))

    def send(self, begin: int = 0, end: int | None = None) -> Any:
        return self.sender.patch(self.path, content=self.content[begin:end], headers={"Upload-Offset": str(begin)})

    def offset(self) -> int:
        return int(self.sender.head(self.path).headers["Upload-Offset"])

    def killed_at(self, step: Step, end: int | None = None) -> Taken:
        """Receive it, or its bytes up to `end`, in another process, which ends itself at the step."""
        assert self.sender  # signed in before: what comes next is the upload's
        receiving._threads.cache_clear()  # a fork has none of them

        def dying() -> None:
            die_at(*step)
            self.send(0, end)

        assert in_processes(dying) == [-signal.SIGKILL]
        found = Taken.of(self.clinic)
        assert set(found.rows) <= found.objects
        return found

    def was_killed_at(self, name: str) -> None:
        """The same, with what must be there now: bytes in the spool, objects, and the row only with the commit."""
        before = len(Taken.of(self.clinic).objects)
        found = self.killed_at(WITH_TWO_OBJECTS[name])
        put = int(name.removeprefix("put ")) if name.startswith("put ") else self.objects * (name in KEPT)
        assert (found.images - self.before, len(found.objects) - before) == (name in COMMITTED, put)
        assert self.offset() == (0 if name == "its file is open" else len(self.content))
        states = self.clinic.rows("SELECT state FROM image_upload")
        assert states == [("stored" if name in COMMITTED else "declared",)]

    def ends_as_one(self) -> None:
        """Sent again it is stored, once, and told of once; nothing is left for anybody to do."""
        answer = self.send()
        images, objects = self.before + 1, self.before + self.objects
        ends_whole(self.clinic, answer, images=images, objects=objects)
        assert answer.json()["state"] == "stored"
        assert self.clinic.rows("SELECT state, received_bytes FROM image_upload") == [("stored", len(self.content))]
        assert len(audited(self.clinic.tenant_id, "image.store")) == images
        assert [path.name for path in self.clinic.spool() if path.name.isdecimal()] == []
        assert scrub() == f"images checked {images}"


def scrub() -> str:
    """What a scrub of everything found."""
    made = scrubbing.begin("", SYSTEM, 30, full=True, most=100)
    while scrubbing.check(made):
        pass
    scrubbing.look_through(made)
    return made.tally.message


def nobody(_: str) -> None:
    """The sender is the first one back."""


def completed(name: str) -> None:
    """complete-uploads runs before the sender comes back: from the spool it knows all that was received."""
    expected = {"its file is open": "nothing to do", "committed": "files of ended uploads removed 1"}
    expected["removed from the spool"] = "nothing to do"
    assert run().message == expected.get(name, "finished 1")


def scrubbed(name: str) -> None:
    """So does scrub-storage, which takes in an object without a row; then complete-uploads ends the upload."""
    assert ("orphans taken in 1" in scrub()) == (name in ("put 1", "counted"))
    completed(name)


@pytest.fixture(autouse=True)
def nothing_is_too_young(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a scrub."""
    monkeypatch.setattr(strays, "YOUNG_SECONDS", -60)


def next_of_series(clinic: Clinic) -> Sending:
    """An image whose study and series are there."""
    assert clinic.stow(ct(1)).status_code == 200
    return Sending(clinic, ct(2), {"series_uid": SERIES, "image_uid": f"{SERIES}.2"}, {"study_uid": STUDY})


@pytest.mark.parametrize("goes_on", [nobody, completed, scrubbed])
@pytest.mark.parametrize("name", STEPS)
def test_the_next_image_of_a_series(clinic: Clinic, name: str, goes_on: Callable[[str], None]) -> None:
    sending = next_of_series(clinic)
    sending.was_killed_at(name)
    goes_on(name)
    sending.ends_as_one()
    assert clinic.spool() == []


@pytest.mark.parametrize("name", WITH_TWO_OBJECTS)
def test_a_picture_of_an_order_and_what_is_made_of_it(
    clinic: Clinic, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    whose = {"radiology_order_id": clinic.order(clinic.patient())}
    sending = Sending(clinic, picture(), {"mime_type": "image/jpeg"}, whose, is_program=False, objects=2)
    sending.was_killed_at(name)
    completed(name)
    sending.ends_as_one()
    assert clinic.rows("SELECT state FROM radiology_order") == [("performed",)]
    monkeypatch.setattr(completing, "KEEP_SECONDS", -60)
    run()  # what was made of the picture for its other object is swept after a day
    assert clinic.spool() == []


@pytest.mark.parametrize("name", STEPS)
def test_the_next_image_of_a_series_to_s3(
    clinic: Clinic, name: str, moto: S3Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    for setting, value in moto.environment().items():
        monkeypatch.setenv(setting, value)
    settings.cache_clear()
    for each in list(storage_for_new(clinic.slug).list()):  # of the step before: the server stays
        storage_for_new(clinic.slug).remove(each.key)
    sending = next_of_series(clinic)
    sending.was_killed_at(name)
    scrubbed(name)
    sending.ends_as_one()
    assert clinic.spool() == clinic.objects() == []


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_part_that_is_not_the_last(clinic: Clinic, when: str) -> None:
    """What came is kept whether or not it was noted."""
    sending = next_of_series(clinic)
    found = sending.killed_at((Arriving, "noted", when, 1), end=900)
    assert (found.images, len(found.objects), sending.offset()) == (1, 1, 900)
    assert run().message == "nothing to do"
    assert sending.send(900).json()["state"] == "stored"
    sending.ends_as_one()
