"""Probes tell which fingerprint they were compared with."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    with op.batch_alter_table("probes") as batch:
        batch.add_column(sa.Column("fingerprint", sa.String(), nullable=True))
