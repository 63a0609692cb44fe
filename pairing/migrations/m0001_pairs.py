"""Pairs of several platforms."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None


def upgrade() -> None:
    op.create_table(
        "sources",
        sa.Column("id", sa.Integer, nullable=False),
        *(sa.Column(name, sa.String, nullable=False) for name in ("platform", "name", "path", "split")),
        sa.Column("label", sa.Integer),
        sa.Column("sha256", sa.String, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_sources"),
        sa.UniqueConstraint("platform", "name", name="uq_sources_platform_name"),
        sa.CheckConstraint("split IN ('train', 'validation', 'test')", name=op.f("ck_sources_split")),
    )
    op.create_table(
        "round_trips",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("source_id", sa.Integer, nullable=False),
        sa.Column("platform", sa.String, nullable=False),
        sa.Column("generation", sa.Integer, nullable=False),
        *(sa.Column(name, sa.String, nullable=False) for name in ("remote_id", "rendition", "path", "format")),
        sa.Column("bytes", sa.Integer, nullable=False),
        sa.Column("sha256", sa.String, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_round_trips"),
        sa.ForeignKeyConstraint(["source_id"], ["sources.id"], name="fk_round_trips_source_id_sources"),
        sa.UniqueConstraint(
            "source_id",
            "platform",
            "generation",
            "rendition",
            name="uq_round_trips_source_id_platform_generation_rendition",
        ),
    )
    op.create_table(
        "pairs",
        sa.Column("id", sa.Integer, nullable=False),
        sa.Column("round_trip_id", sa.Integer, nullable=False),
        *(sa.Column(name, sa.Integer) for name in ("width", "height")),
        *(sa.Column(name, sa.Double) for name in ("scale_x", "scale_y", "left", "top", "right", "bottom")),
        *(sa.Column(name, sa.String) for name in ("turn", "kernel")),
        *(sa.Column(name, sa.Double) for name in ("correlation", "watermark")),
        sa.Column("mask", sa.LargeBinary),
        sa.Column("hash_distance", sa.Integer),
        *(sa.Column(name, sa.Double) for name in ("residual", "psnr")),
        sa.Column("accepted", sa.Boolean, nullable=False),
        sa.Column("reason", sa.String),
        sa.PrimaryKeyConstraint("id", name="pk_pairs"),
        sa.ForeignKeyConstraint(["round_trip_id"], ["round_trips.id"], name="fk_pairs_round_trip_id_round_trips"),
        sa.UniqueConstraint("round_trip_id", name="uq_pairs_round_trip_id"),
        sa.CheckConstraint("accepted = (reason IS NULL)", name=op.f("ck_pairs_accepted_or_reason")),
    )
