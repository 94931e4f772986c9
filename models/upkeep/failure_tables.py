"""What people have been told of failures, and what they are still to be told."""

from datetime import datetime
from typing import Any

from sqlalchemy import CheckConstraint, UniqueConstraint, text
from sqlalchemy.orm import Mapped, mapped_column

from models.kernel.db import Base, TenantRow


class FailureNotice(TenantRow, Base):
    """One subject of mails about failures: runs of a deployment, or the tenant's dead letters (subject empty).

    `waiting` is what happened since the last mail. `looked_until` is set where the topic's subject is empty: everything
    that ended by then is counted.
    """

    __tablename__ = "failure_notice"
    __table_args__ = (
        UniqueConstraint("tenant_id", "topic", "subject"),
        CheckConstraint("topic IN ('runs', 'deliveries')", name="topic"),
    )

    topic: Mapped[str]
    subject: Mapped[str]
    waiting: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'::jsonb"))
    looked_until: Mapped[datetime | None]
    mailed_at: Mapped[datetime | None]
