"""References: tables of a complete run that are committed, and what differs from them elsewhere."""
