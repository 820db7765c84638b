"""Checks of files before anything is trained."""
