"""How many images a study had when its finding was written: what came later is told beside it."""

from alembic import op

revision = "0014"
down_revision = "0013"
TABLES = ("radiology_order", "radiology_study", "radiology_series", "radiology_image")

COUNT = """
UPDATE radiology_order o SET reviewed_image_count = (
    SELECT count(*) FROM radiology_study s
    JOIN radiology_series e ON e.tenant_id = s.tenant_id AND e.study_id = s.id
    JOIN radiology_image i ON i.tenant_id = e.tenant_id AND i.series_id = e.id
    WHERE s.tenant_id = o.tenant_id AND s.radiology_order_id = o.id AND i.created_at <= o.reviewed_at
) WHERE o.state = 'reviewed'
"""


def upgrade() -> None:
    """Row-level security is forced on the owner too, who has all tenants before them here."""
    op.execute("ALTER TABLE radiology_order ADD COLUMN reviewed_image_count bigint")
    for table in TABLES:
        op.execute(f"ALTER TABLE {table} NO FORCE ROW LEVEL SECURITY")
    op.execute(COUNT)
    for table in TABLES:
        op.execute(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
