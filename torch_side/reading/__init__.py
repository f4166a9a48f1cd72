"""A module's ``forward``, traced by torch.fx, statement by statement into a graph."""
