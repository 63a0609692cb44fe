"""The training loop, its schedule, its processes and its metrics."""

from train.training.training_metrics import TrainingMetrics

__all__ = ["TrainingMetrics"]
