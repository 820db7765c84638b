"""Images as a model sees them."""
