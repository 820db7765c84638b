"""What a plan costs before it is started: operations, hours, disk."""
