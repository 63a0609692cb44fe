"""Probes of a platform's codec."""

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    op.create_table(
        "probes",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("platform", sa.String, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        sa.Column("probed_at", sa.String, nullable=False),
        sa.Column("changed", sa.Boolean, nullable=False),
        sa.Column("seen", sa.String, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_probes"),
    )
