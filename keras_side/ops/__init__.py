"""One file a layer: how it is read and how it is written."""
