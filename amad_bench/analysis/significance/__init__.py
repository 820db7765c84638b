"""Tests of significance, one file each: `assess(estimate)` gives an `Outcome`."""
