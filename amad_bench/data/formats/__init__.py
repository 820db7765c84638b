"""Layouts that data sets are published in."""
