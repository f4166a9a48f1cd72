"""Graph -> `torch.fx.GraphModule`."""

from __future__ import annotations

import torch_side.ops
from biport.graph import Graph
from biport.registry import discover
from torch_side.writing.graph_writer import write_graph
from torch_side.writing.ported import Ported

discover(torch_side.ops)


def write(graph: Graph) -> Ported:
    """Write ``graph`` as a torch module in eval mode, with real trainable parameters.

    Each node with weights or training behaviour is a submodule under the node's name (dots are submodules;
    see `torch_side.names.attribute_path` for names torch cannot take). Inputs are positional, in the
    graph's order; one output is a tensor, several are a tuple. N and T are free. The dtype is the graph's.
    Constants are buffers, or numbers where they are used; parameters of no layer are the module's own.

    Raises:
        UnsupportedModelError: torch has no equal of some ops or settings; all of them are named.
    """
    return write_graph(graph)
