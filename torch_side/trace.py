"""What every statement of a module's ``forward`` gives while it runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from biport.compare.localize.traced import Cases, Traced, Values
from biport.dims import Dim
from biport.errors import BiportError
from biport.graph import Graph
from torch_side.reading.fx_reader import FxReader, Lazy
from torch_side.reading.module_reader import read_module
from torch_side.run import device_of, evaluating, full_precision, layer_errors


class _Listener(fx.Interpreter):
    """Runs a traced graph and keeps what each statement gives."""

    def __init__(self, module: nn.Module, graph: fx.Graph) -> None:
        super().__init__(fx.GraphModule(module, graph), garbage_collect_values=True)
        self.outputs: dict[str, Any] = {}

    def run_node(self, n: fx.Node) -> Any:
        """Run one statement."""
        self.outputs[n.name] = super().run_node(n)
        return self.outputs[n.name]


def trace(module: nn.Module, cases: Cases, graph: Graph) -> Traced:
    """The values of ``graph`` while ``module`` runs at inference.

    Any module that `torch_side.read` reads can be traced; what happens inside of one call, such as between
    the layers of an `nn.LSTM`, is not seen.

    Args:
        module: it is left as it is.
        cases: one array an input, by case.
        graph: the module's, as `torch_side.read` gives it.

    Raises:
        BiportError: the module cannot be read.
    """
    own, reader, traced = read_module(module)
    names = _names(reader, traced)
    if {node.name for node in own.nodes} != {node.name for node in graph.nodes}:
        return Traced({}, notes=["the module cannot be traced: its graph is not the one it is compared by"])
    device = device_of(module)
    values = {}
    with evaluating(module), full_precision(device), layer_errors(), torch.no_grad():
        for case, arrays in cases.items():
            listener = _Listener(module, traced)
            listener.run(*(torch.tensor(np.ascontiguousarray(array), device=device) for array in arrays))
            values[case] = _values(own, names, listener.outputs)
    seen = {name for by_name in values.values() for name in by_name}
    hidden = [node.name for node in own.nodes if seen.isdisjoint(node.outputs)]
    return Traced(values, notes=[f"not seen in torch: {', '.join(hidden)}"] if hidden else [])


def _names(reader: FxReader, traced: fx.Graph) -> dict[str, str]:
    """``{statement: value}``, for those that are one value of the graph."""
    names = {}
    for node in traced.nodes:
        bound = reader.bound.get(node)
        if isinstance(bound, Lazy):
            try:
                bound = bound.value("trace")
            except BiportError:
                continue
        if isinstance(bound, str):
            names[node.name] = bound
    return names


def _values(graph: Graph, names: dict[str, str], outputs: dict[str, Any]) -> Values:
    values: Values = {}
    for statement, output in outputs.items():
        name = names.get(statement)
        if name is None or not isinstance(output, torch.Tensor):
            continue
        # The last statement of a value is the whole of it: the activation after a linear layer.
        if _fits(graph.tensors[name].shape, output.shape):
            values[name] = output.cpu().numpy()
    return values


def _fits(wanted: Sequence[Dim], actual: Sequence[int]) -> bool:
    return len(wanted) == len(actual) and all(
        not isinstance(a, int) or a == b for a, b in zip(wanted, actual, strict=True)
    )
