"""An upload given up by a person: while nobody sends it, so that it never ends as an image all the same."""

from api.deps import Caller, tenant_work
from api.imaging.answers import UploadAnswer
from models.imaging.stores import uploads
from models.imaging.stores.uploads import Ending
from tasks.clients.storage.spool import spool_of


def discard(caller: Caller, upload_id: int, note: str) -> UploadAnswer:
    """End an upload that is held or not complete: its bytes go, the note stays. BusyError while a part of it comes.

    ConflictError where it has ended, NotFoundError where there is none.
    """
    with tenant_work(caller) as session:  # first: no file is made for what is not open
        uploads.refuse_ended(uploads.get_upload(session, caller.tenant_id, upload_id))
    spool = spool_of(caller.tenant_slug)
    with spool.opened(upload_id):
        with tenant_work(caller) as session:
            ending = Ending("discarded", note, caller.user_id or None)
            answer = UploadAnswer.of(uploads.give_up(session, caller.tenant_id, caller.actor, upload_id, ending))
        spool.discard(upload_id)
    return answer
