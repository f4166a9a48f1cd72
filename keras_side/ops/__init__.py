"""One file a family of ops: how its layers are read and how they are written."""
