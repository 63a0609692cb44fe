"""The ledger as it first was: uploads and downloads."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "uploads",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("platform", sa.String, nullable=False),
        sa.Column("site", sa.String, nullable=False),
        sa.Column("account", sa.String, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("sha256", sa.String, nullable=False),
        sa.Column("state", sa.String, nullable=False),
        sa.Column("batch", sa.String),
        sa.Column("position", sa.Integer),
        sa.Column("remote_id", sa.String),
        sa.Column("reason", sa.String),
        sa.Column("planned_at", sa.String, nullable=False),
        sa.Column("sent_at", sa.String),
        sa.Column("confirmed_at", sa.String),
        sa.PrimaryKeyConstraint("id", name="pk_uploads"),
        sa.UniqueConstraint(
            "platform",
            "site",
            "account",
            "generation",
            "sha256",
            name="uq_uploads_platform_site_account_generation_sha256",
        ),
        sa.CheckConstraint(
            "state IN ('planned', 'sent', 'unknown', 'confirmed', 'rejected')", name=op.f("ck_uploads_state")
        ),
        sa.CheckConstraint(
            "state != 'confirmed' OR remote_id IS NOT NULL", name=op.f("ck_uploads_confirmed_has_remote_id")
        ),
    )
    op.create_table(
        "downloads",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("upload_id", sa.Integer, nullable=False),
        sa.Column("rendition", sa.String, nullable=False),
        sa.Column("address", sa.String, nullable=False),
        sa.Column("sha256", sa.String, nullable=False),
        sa.Column("bytes", sa.Integer, nullable=False),
        sa.Column("downloaded_at", sa.String, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_downloads"),
        sa.ForeignKeyConstraint(["upload_id"], ["uploads.id"], name="fk_downloads_upload_id_uploads"),
        sa.UniqueConstraint("upload_id", "rendition", name="uq_downloads_upload_id_rendition"),
    )
