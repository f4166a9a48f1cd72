"""The operators of aten as ops of the graph, one file a family."""
