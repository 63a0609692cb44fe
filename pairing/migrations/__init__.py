"""The schema of the pairs that platforms share, step by step (alembic); one file a step."""
