"""The same bytes are held once: of doubles the oldest stays, the others are discarded with a note."""

from alembic import op

revision = "0013"
down_revision = "0012"

DISCARD = """
UPDATE image_upload u SET state = 'discarded', ended_at = now(), note = 'the same file is held as upload ' || o.id
FROM (
    SELECT tenant_id, image_uid, checksum, min(id) AS id FROM image_upload
    WHERE state = 'held' GROUP BY tenant_id, image_uid, checksum
) AS o
WHERE u.tenant_id = o.tenant_id AND u.image_uid = o.image_uid AND u.checksum = o.checksum AND u.state = 'held'
    AND u.id <> o.id
"""
"""Their files go with the next sweep of the spool."""


def upgrade() -> None:
    """Row-level security is forced on the owner too, who has all tenants before them here."""
    op.execute("ALTER TABLE image_upload NO FORCE ROW LEVEL SECURITY")
    op.execute(DISCARD)
    op.execute("ALTER TABLE image_upload FORCE ROW LEVEL SECURITY")
    op.execute(
        "CREATE UNIQUE INDEX image_upload_held_key ON image_upload (tenant_id, image_uid, checksum) "
        "WHERE state = 'held'"
    )
