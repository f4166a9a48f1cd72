"""One file a family of ops: how they are written as torch, and how they are read from torch."""
