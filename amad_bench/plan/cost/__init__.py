"""The cost of a plan before it is started: operations, hours, disk."""
