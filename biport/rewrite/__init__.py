"""Graphs made into other graphs."""
