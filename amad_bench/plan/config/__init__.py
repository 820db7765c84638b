"""A YAML config as a checked, typed value."""
