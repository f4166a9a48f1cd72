"""A Keras model file as plain data: which one it is, its archive, its HDF5, its lists of weights."""
