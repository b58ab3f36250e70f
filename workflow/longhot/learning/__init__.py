"""Training subsets, fits and learning curves."""
