"""Claims that are registered before the run: their file, and what a plan can say about each."""
