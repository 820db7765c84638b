"""Ways to compute a comparison of two layers: the values are the same, time and memory are not."""
