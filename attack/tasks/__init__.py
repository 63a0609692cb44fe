"""What a recogniser is asked and what counts as success, one file a task."""

from attack.tasks.base import Task, load

__all__ = ["Task", "load"]
