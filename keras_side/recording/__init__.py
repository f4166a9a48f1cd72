"""Models with code of their user's own, run on symbolic tensors: what they call becomes a configuration."""
