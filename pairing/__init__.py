"""Aligned pairs of originals and what a platform made of them, in SQLite or PostgreSQL."""
