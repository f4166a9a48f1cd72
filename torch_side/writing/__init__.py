"""A graph as a `torch.fx.GraphModule`, node by node."""
