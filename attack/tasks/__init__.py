"""What a recogniser is asked and what counts as success, one file a task."""
