"""Graph -> `torch.fx.GraphModule`."""

from __future__ import annotations

from typing import Literal

import torch_side.ops
from biport.errors import InputError
from biport.graph import Graph
from biport.log import logged
from biport.registry import discover
from torch_side.writing.graph_writer import write_graph
from torch_side.writing.ported import Ported

discover(torch_side.ops)


BIASES = ("one", "two")


@logged("torch_side.write")
def write(graph: Graph, *, biases: Literal["one", "two"] = "one", copied: bool = True) -> Ported:
    """Write ``graph`` as a torch module in eval mode, with real trainable parameters.

    Each node with weights or training behaviour is a submodule under the node's name (dots are submodules;
    see `torch_side.names.attribute_path` for names torch cannot take). Inputs are positional, in the
    graph's order; one output is a tensor, several are a tuple. N and T are free. The dtype is the graph's.
    Constants are buffers, or numbers where they are used; parameters of no layer are the module's own.

    Recurrent layers are `nn.LSTM`, `nn.GRU` and `nn.RNN`, and under masks subclasses of these, so that T is 1
    or more; cells that torch lacks, and recurrent dropout, are loops of `torch_side.layers`.

    Args:
        graph: the model.
        biases: torch has two biases where Keras has one, and only ever adds them up. With ``"one"`` the
            second one is fixed at zero (``requires_grad=False``), so that training goes on as it would in
            Keras; with ``"two"`` both are trained, and each step moves their sum twice as far. Layers whose
            source has two, such as a GRU with ``reset_after``, train both.
        copied: whether the parameters are copies of the graph's weights. Those of a module that is only run
            need not be; training such a module changes the graph, or ends the process.

    Raises:
        InputError: ``biases`` is neither.
        UnsupportedModelError: torch has no equal of some ops or settings; all of them are named.
    """
    if biases not in BIASES:
        raise InputError(f"biases should be 'one' or 'two', found {biases!r}")
    return write_graph(graph, biases, copied=copied)
