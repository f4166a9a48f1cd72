"""What several files of `torch_side.ops` share."""
