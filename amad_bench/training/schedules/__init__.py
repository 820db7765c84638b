"""Schedules of the learning rate, one file each: `factor(left)` for the share of the steps that is left."""
