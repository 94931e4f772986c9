"""Several uploads of one request, each small and still in memory: seen, written and stored together."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager

from api.deps import note_foreign
from api.imaging.answers import UploadAnswer
from api.imaging.arriving import Arriving, EndedError
from api.imaging.receiving import Entrance
from models.imaging.intake import Stored
from models.imaging.rules import NotLetInError
from models.imaging.stores.looking import see_uploads
from models.kernel.errors import LabwireError, NotFoundError
from models.kernel.tenancy import tenant_pipeline

Outcome = UploadAnswer | Exception
"""Of one upload: what became of it, or the error that a request of its own would have ended with."""


class Together:
    """One group of different uploads; called in a thread."""

    def __init__(self, entrance: Entrance, several: Sequence[Arriving]) -> None:
        self._entrance, self._several = entrance, several
        self._told: dict[int, Outcome] = {}

    def take(self) -> list[Outcome]:
        """What became of each, in their order. None of them keeps another one out."""
        with ExitStack() as held:
            whole = self._written(held)
            results = self._entrance.intake.take_many([one.offer() for one in whole])
            for one, result in zip(whole, results, strict=True):
                self._told[one.upload_id] = self._outcome(one, result)
        for upload_id, outcome in self._told.items():
            if isinstance(outcome, NotFoundError):
                note_foreign(self._entrance.caller, "image_upload", upload_id)
        return [self._told[one.upload_id] for one in self._several]

    def _written(self, held: ExitStack) -> list[Arriving]:
        """Those that are whole now, and being made durable; of the others it is told how far they are."""
        opened: list[Arriving] = []
        whole: list[Arriving] = []
        for one in self._several:
            with self._telling(one):
                one.open(self._entrance.spool, held)
                opened.append(one)
        tenant_id = self._entrance.caller.tenant_id
        with tenant_pipeline(tenant_id) as pipeline:
            found = see_uploads(pipeline, tenant_id, [one.upload_id for one in opened])
            for one in opened:
                with self._telling(one):
                    one.see(found, "declared")
                    file = one.write()
                    if one.is_whole:
                        file.begin_sync()
                        whole.append(one)
                    else:
                        file.sync()
                        self._told[one.upload_id] = one.noted(pipeline.session, tenant_id)
        return whole

    def _outcome(self, one: Arriving, result: Stored | Exception) -> Outcome:
        try:
            if isinstance(result, NotLetInError):
                return one.kept_out(self._entrance.caller, self._entrance.spool, result)
            return one.told(result) if isinstance(result, Stored) else result
        except Exception as error:  # noqa: BLE001 # its own transaction's: the others' ends are told all the same
            return error

    @contextmanager
    def _telling(self, one: Arriving) -> Iterator[None]:
        try:
            yield
        except EndedError as ended:
            self._told[one.upload_id] = ended.answer
        except LabwireError as error:
            self._told[one.upload_id] = error
