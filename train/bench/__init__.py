"""ComModels side by side on a real codec."""

from train.bench import compare
from train.bench.rows import read_lines

__all__ = ["compare", "read_lines"]
