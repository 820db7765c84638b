"""Numbers that claims need beyond a linear contrast: a share of a gap."""
