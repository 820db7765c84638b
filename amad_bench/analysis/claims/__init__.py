"""Registered claims, judged by the tables."""
