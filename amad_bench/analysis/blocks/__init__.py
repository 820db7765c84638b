"""Contrasts across blocks: how they are averaged, tested and shown."""
