"""Data Docs of batches that are looked at again, such as a day: one validation each."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    """What the rows were, where that has a name. Earlier validations have none."""
    op.add_column("quality_check", sa.Column("batch", sa.Text(), nullable=True))
    key = ["tenant_id", "suite", "batch"]
    op.create_unique_constraint(op.f("quality_check_tenant_id_suite_batch_key"), "quality_check", key)
