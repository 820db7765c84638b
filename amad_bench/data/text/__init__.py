"""Text: tokenizers, and texts as arrays."""
