"""How a graph becomes a live model: the layer of a node called, and its masks checked."""
