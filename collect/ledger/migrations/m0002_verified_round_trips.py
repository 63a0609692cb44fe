"""Downloads are verified, several collectors share a ledger, mosaics, rates."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"

WITH_REMOTE_ID = "state IN ('planned', 'sent', 'unknown', 'rejected') OR remote_id IS NOT NULL"
STATES = "state IN ('planned', 'sent', 'unknown', 'confirmed', 'downloaded', 'verified', 'rejected')"
KEY = ("platform", "site", "account")


def upgrade() -> None:
    with op.batch_alter_table("uploads") as uploads:
        uploads.drop_constraint(op.f("ck_uploads_state"), type_="check")
        uploads.drop_constraint(op.f("ck_uploads_confirmed_has_remote_id"), type_="check")
        uploads.add_column(sa.Column("deleted_at", sa.String))
        uploads.add_column(sa.Column("collector", sa.String))
        uploads.create_check_constraint(op.f("ck_uploads_state"), STATES)
        uploads.create_check_constraint(op.f("ck_uploads_confirmed_has_remote_id"), WITH_REMOTE_ID)
    with op.batch_alter_table("downloads") as downloads:
        downloads.add_column(sa.Column("verified", sa.Boolean, nullable=False, server_default=sa.false()))
    with op.batch_alter_table("downloads") as downloads:
        downloads.alter_column("verified", server_default=None)
    op.create_table(
        "tiles",
        sa.Column("id", sa.Integer, nullable=False),
        *(sa.Column(name, sa.String, nullable=False) for name in KEY),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("sha256", sa.String, nullable=False),
        sa.Column("mosaic", sa.String, nullable=False),
        *(sa.Column(name, sa.Integer, nullable=False) for name in ("x", "y", "width", "height")),
        sa.PrimaryKeyConstraint("id", name="pk_tiles"),
        sa.UniqueConstraint(*KEY, "generation", "sha256", name="uq_tiles_platform_site_account_generation_sha256"),
    )
    op.create_table(
        "collectors",
        sa.Column("id", sa.String, nullable=False),
        sa.Column("host", sa.String, nullable=False),
        sa.Column("pid", sa.Integer, nullable=False),
        sa.Column("started", sa.Double, nullable=False),
        sa.Column("beat", sa.Double, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_collectors"),
    )
    op.create_table(
        "buckets",
        *(sa.Column(name, sa.String, nullable=False) for name in KEY),
        *(sa.Column(name, sa.Double, nullable=False) for name in ("minute", "day", "filled")),
        sa.PrimaryKeyConstraint(*KEY, name="pk_buckets"),
    )
