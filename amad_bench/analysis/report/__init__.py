"""The report: one HTML file of a results folder that a person reads from top to bottom."""
