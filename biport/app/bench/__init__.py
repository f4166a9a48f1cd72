"""Which form of a model is the fastest here: all of them side by side in one run."""
