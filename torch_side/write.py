"""Graph -> `torch.fx.GraphModule`."""

from __future__ import annotations

import re

from torch import fx

import torch_side.ops
from biport.errors import UnsupportedError, raise_unsupported
from biport.graph import Graph, Value
from biport.inputs import id_bounds
from biport.registry import discover
from torch_side.writer import Writer

discover(torch_side.ops)


class Ported(fx.GraphModule):
    """A written module; ``print(module.code)`` shows its ``forward``."""

    @property
    def code(self) -> str:
        """The source of ``forward``, without the statements by which torch.fx frees what it is done with."""
        return re.sub(r";  (\w+ = )+None$", "", super().code, flags=re.MULTILINE)

    @property
    def input_values(self) -> tuple[Value, ...]:
        """The graph's inputs: names, shapes and dtypes, in the order of ``forward``'s arguments."""
        return self.meta["inputs"]

    @property
    def output_names(self) -> tuple[str, ...]:
        """The names of the graph's outputs, in order."""
        return self.meta["outputs"]

    @property
    def id_bounds(self) -> dict[str, int]:
        """For each input of ids: the number they are below; see `biport.inputs.id_bounds`."""
        return self.meta["bounds"]

    @property
    def paths(self) -> dict[str, str]:
        """Where the module of each graph node is: ``{node name: submodule path}``."""
        return self.meta["paths"]


def write(graph: Graph) -> Ported:
    """Write ``graph`` as a torch module in eval mode, with real trainable parameters.

    Each node with weights or training behaviour is a submodule under the node's name (dots are submodules;
    see `torch_side.names.attribute_path` for names torch cannot take). Inputs are positional, in the
    graph's order; one output is a tensor, several are a tuple. N and T are free. The dtype is the graph's.

    Raises:
        UnsupportedModelError: torch has no equal of some ops or settings; all of them are named.
    """
    writer = Writer(graph)
    problems: list[UnsupportedError] = []
    for node in graph.nodes:
        try:
            writer.write(node)
        except UnsupportedError as error:
            problems.append(error)
            # Any value will do: what is wrong further down should still be found, then all is refused.
            writer.values |= dict.fromkeys(node.outputs, next(iter(writer.values.values())))
    raise_unsupported("torch_side.write", problems)
    outputs = tuple(writer.values[name] for name in graph.outputs)
    writer.graph.output(outputs[0] if len(outputs) == 1 else outputs)
    module = Ported(writer.root, writer.graph, class_name="Ported")
    module.meta |= {
        "inputs": graph.inputs,
        "outputs": graph.outputs,
        "bounds": id_bounds(graph),
        "paths": writer.paths,
    }
    return module.eval()
