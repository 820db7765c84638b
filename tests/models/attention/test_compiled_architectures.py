"""Foreign architectures under torch.compile: one graph while they are recorded, and equal gradients."""
