"""Map losses that hold no map: gradients in the forward pass, a part of the samples at a time."""
