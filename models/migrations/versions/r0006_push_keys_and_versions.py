"""Push keys belong to an instrument, not to a person; versions of what several people edit."""

import sqlalchemy as sa
from alembic import op

revision = "0006"
down_revision = "0005"

VERSIONED = ("test_definition", "panel", "department")


def upgrade() -> None:
    """A token is a person's or an instrument's; catalogue and departments count their changes."""
    op.alter_column("api_token", "user_id", existing_type=sa.BigInteger(), nullable=True)
    op.create_check_constraint(op.f("api_token_owner_check"), "api_token", "num_nonnulls(user_id, equipment_id) >= 1")
    op.create_foreign_key(
        op.f("api_token_tenant_id_equipment_id_fkey"),
        "api_token",
        "equipment",
        ["tenant_id", "equipment_id"],
        ["tenant_id", "id"],
    )
    op.create_index(op.f("api_token_tenant_id_equipment_id_index"), "api_token", ["tenant_id", "equipment_id"])
    for table in VERSIONED:
        op.add_column(table, sa.Column("version", sa.BigInteger(), server_default=sa.text("1"), nullable=False))
    for limit in ("panic_low", "panic_high"):  # what is critical depends on age
        op.add_column("reference_range", sa.Column(limit, sa.Numeric(), nullable=True))
    op.create_index(
        "patient_merged_index",
        "patient",
        ["tenant_id", "merged_into_id"],
        postgresql_where=sa.text("merged_into_id IS NOT NULL"),
    )
    op.add_column("delivery", sa.Column("sent_body", sa.LargeBinary(), nullable=True))
    op.add_column("delivery", sa.Column("is_doubtful", sa.Boolean(), server_default=sa.text("false"), nullable=False))
