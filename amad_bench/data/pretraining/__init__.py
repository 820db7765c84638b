"""Data to pre-train models on here."""
