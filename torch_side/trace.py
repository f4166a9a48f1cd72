"""What every statement of a module's ``forward`` gives while it runs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from biport.compare.localize.traced import Cases, Traced, Values
from biport.errors import BiportError
from biport.graph import Graph
from torch_side.read import read_with
from torch_side.reader import Lazy, Reader
from torch_side.run import evaluating, full_precision


class _Listener(fx.Interpreter):
    """Runs a traced graph and keeps what each statement gives."""

    def __init__(self, module: nn.Module, graph: fx.Graph) -> None:
        super().__init__(fx.GraphModule(module, graph), garbage_collect_values=True)
        self.heard: dict[str, Any] = {}

    def run_node(self, n: fx.Node) -> Any:
        """Run one statement."""
        made = super().run_node(n)
        self.heard[n.name] = made
        return made


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
    own, reader, traced = read_with(module, None)
    names = _names(reader, traced)
    if {node.name for node in own.nodes} != {node.name for node in graph.nodes}:
        return Traced({}, notes=["the module cannot be traced: its graph is not the one it is compared by"])
    first = next(module.parameters(), None)
    device = torch.device("cpu") if first is None else first.device
    values = {}
    with evaluating(module), full_precision(device), torch.no_grad():
        for case, arrays in cases.items():
            listener = _Listener(module, traced)
            listener.run(*(torch.tensor(np.ascontiguousarray(array), device=device) for array in arrays))
            values[case] = _values(own, names, listener.heard)
    seen = {name for found in values.values() for name in found}
    hidden = [node.name for node in own.nodes if seen.isdisjoint(node.outputs)]
    return Traced(values, notes=[f"not seen in torch: {', '.join(hidden)}"] if hidden else [])


def _names(reader: Reader, traced: fx.Graph) -> dict[str, str]:
    """``{statement: value}``, for those that are one value of the graph."""
    found = {}
    for node in traced.nodes:
        bound = reader.bound.get(node)
        if isinstance(bound, Lazy):
            try:
                bound = bound.value("trace")
            except BiportError:
                continue
        if isinstance(bound, str):
            found[node.name] = bound
    return found


def _values(graph: Graph, names: dict[str, str], heard: dict[str, Any]) -> Values:
    found: Values = {}
    for statement, made in heard.items():
        name = names.get(statement)
        if name is None or not isinstance(made, torch.Tensor):
            continue
        # The last statement of a value is the whole of it: the activation after a linear layer.
        if _fits(graph.tensors[name].shape, made.shape):
            found[name] = made.cpu().numpy()
    return found


def _fits(wanted: Sequence[int | str], found: Sequence[int]) -> bool:
    return len(wanted) == len(found) and all(
        isinstance(a, str) or a == b for a, b in zip(wanted, found, strict=True)
    )
