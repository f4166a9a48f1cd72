"""Readable Keras models; each has a twin of the same names and sizes in ``torch_side.models``."""
