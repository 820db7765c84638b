"""BLIP: all that belongs to this family."""
