"""Costs of losses of attention: from queries and keys alone, and in whole training steps."""
