"""Who is told by mail of uploads that came to a stop. Numbers and sizes only: a file's name may say whose it is."""

from collections import defaultdict
from collections.abc import Sequence
from datetime import datetime
from typing import Any

from sqlalchemy import Row, text
from sqlalchemy.orm import Session

from models.kernel.audit import Action, Actor, record_many
from models.kernel.mail import Mail, mail_event
from models.kernel.outbox import publish_many
from models.kernel.settings import settings

MOST_LISTED = 50
STOPPED = text("""
SELECT i.id, i.file_size, i.received_bytes, u.email
FROM image_upload i
LEFT JOIN app_user u ON u.tenant_id = i.tenant_id AND u.id = i.uploaded_by AND u.is_active
WHERE i.tenant_id = :tenant_id AND i.state = 'declared' AND i.touched_at < :before AND i.reminded_at IS NULL
ORDER BY i.id FOR UPDATE OF i SKIP LOCKED
""")
REMINDED = text("UPDATE image_upload SET reminded_at = :now WHERE tenant_id = :tenant_id AND id = ANY(:ids)")
TECHNICIANS = text("""
SELECT email FROM app_user
WHERE tenant_id = :tenant_id AND is_active AND 'radiology_technician' = ANY(roles) ORDER BY email
""")


def remind_of_stopped(
    session: Session, tenant_id: int, actor: Actor, *, before: datetime, now: datetime
) -> tuple[list[int], list[int]]:
    """One mail to each uploader about what no byte came for since `before`; the uploads told of, and those nobody is.

    Each upload once, until a byte comes again. What nobody uploads any more the technicians are told of.
    """
    stopped = session.execute(STOPPED, {"tenant_id": tenant_id, "before": before}).all()
    if not stopped:
        return [], []
    by_address: dict[tuple[str, ...], list[Row[Any]]] = defaultdict(list)
    technicians = tuple(session.scalars(TECHNICIANS, {"tenant_id": tenant_id}))
    for row in stopped:
        by_address[(row.email,) if row.email else technicians].append(row)
    session.execute(REMINDED, {"tenant_id": tenant_id, "now": now, "ids": [row.id for row in stopped]})
    actions = [
        Action("image_upload.remind", "image_upload", row.id, {"received": row.received_bytes}) for row in stopped
    ]
    record_many(session, tenant_id, actor, actions)
    nobody = [row.id for row in by_address.pop((), [])]
    mails = [_mail(to, rows) for to, rows in by_address.items()]
    publish_many(
        session,
        tenant_id,
        [mail_event(tenant_id, "uploads.stopped", f"image_upload:{first}", mail) for first, mail in mails],
    )
    return [row.id for rows in by_address.values() for row in rows], nobody


def _mail(to: Sequence[str], rows: Sequence[Row[Any]]) -> tuple[int, Mail]:
    given = settings()
    context = {
        "count": len(rows),
        "hours": f"{given.upload_remind_hours:g}",
        "days": f"{given.upload_expire_days:g}",
        "link": f"{given.base_url}/radiology/uploads",
        "uploads": [
            {"number": row.id, "received_kb": row.received_bytes // 1024, "size_kb": -(-row.file_size // 1024)}
            for row in rows[:MOST_LISTED]
        ],
    }
    return rows[0].id, Mail("uploads_waiting", to, context)
