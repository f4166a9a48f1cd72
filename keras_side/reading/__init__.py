"""How a serialised model becomes a graph: its entries, the order of their calls, each call, the nodes."""
