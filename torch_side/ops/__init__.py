"""One file an op: how it is written as torch, and how it is read from torch."""
