"""Merging of result sets: what other machines hold, which copy of a run stays, how copies differ."""
