"""Tests of significance, one file each: `assess(center, influence_SC, tolerance)` gives an `Outcome`."""
