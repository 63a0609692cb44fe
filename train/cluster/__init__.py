"""Where work is computed: in this process, or on a Ray cluster. Importing it brings neither PyTorch nor Ray."""

from train.cluster.executor import Executor, Local
from train.cluster.file_transfer import map_with_files
from train.cluster.options import ExecutorOption, RayAddressOption, executor_of

__all__ = ["Executor", "ExecutorOption", "Local", "RayAddressOption", "executor_of", "map_with_files"]
