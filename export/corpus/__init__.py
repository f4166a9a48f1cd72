"""A corpus in a file to a file of results."""
