"""What people were told of failures; delivered mail may be removed after a while."""

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import postgresql

from models.migrations.security import secure

revision = "0008"
down_revision = "0007"


def upgrade() -> None:
    """Notices of failures, which deliveries people were told of, and the right to remove events nobody needs."""
    moment = postgresql.TIMESTAMP(timezone=True)
    op.create_table(
        "failure_notice",
        sa.Column("tenant_id", sa.BigInteger(), nullable=False),
        sa.Column("id", sa.BigInteger(), sa.Identity(always=False), nullable=False),
        sa.Column("topic", sa.Text(), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("waiting", postgresql.JSONB(), server_default=sa.text("'{}'::jsonb"), nullable=False),
        sa.Column("looked_until", moment, nullable=True),
        sa.Column("mailed_at", moment, nullable=True),
        sa.CheckConstraint("topic IN ('runs', 'deliveries')", name=op.f("failure_notice_topic_check")),
        sa.ForeignKeyConstraint(["tenant_id"], ["tenant.id"], name=op.f("failure_notice_tenant_id_fkey")),
        sa.PrimaryKeyConstraint("tenant_id", "id", name=op.f("failure_notice_pkey")),
        sa.UniqueConstraint("tenant_id", "topic", "subject", name=op.f("failure_notice_tenant_id_topic_subject_key")),
    )
    secure("failure_notice")
    op.add_column("delivery", sa.Column("reported_at", moment, nullable=True))
    op.execute("GRANT DELETE ON outbox_event TO labwire_app")  # its deliveries' foreign key guards the undelivered ones
