"""Data of a task, prepared and in batches."""
