"""What every statement of a module's ``forward`` gives while it runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from biport.compare.localize.traced import Cases, Traced, Values
from biport.dims import Dim
from biport.graph import Graph
from torch_side.inference import device_of, evaluating, full_precision, layer_errors
from torch_side.layout import Layout
from torch_side.reading.opaque import running
from torch_side.reading.source import arguments_of, read_traced
from torch_side.reading.written import read_written
from torch_side.writing.ported import Ported


class _Listener(fx.Interpreter):
    """Runs statements and keeps what each gives."""

    def __init__(self, module: nn.Module, graph: fx.Graph | None = None) -> None:
        super().__init__(module, garbage_collect_values=True, graph=graph)
        self.outputs: dict[str, Any] = {}

    def run_node(self, n: fx.Node) -> Any:
        """Run one statement."""
        self.outputs[n.name] = super().run_node(n)
        return self.outputs[n.name]


def trace(module: nn.Module, cases: Cases, graph: Graph, example: Any = None) -> Traced:
    """The values of ``graph`` while ``module`` runs at inference.

    Any module that `torch_side.read` reads can be traced; what happens inside of one call, such as between
    the layers of an `nn.LSTM`, is not seen.

    Args:
        module: it is left as it is.
        cases: one array an input, by case.
        graph: the module's, as `torch_side.read` gives it.
        example: as for `torch_side.read`.

    Raises:
        BiportError: the module cannot be read.
    """
    own, names, run = _program(module, example)
    if {node.name for node in own.nodes} != {node.name for node in graph.nodes}:
        return Traced({}, notes=["the module cannot be traced: its graph is not the one it is compared by"])
    device = device_of(module)
    values = {}
    with evaluating(module), full_precision(device), layer_errors(), torch.no_grad():
        for case, arrays in cases.items():
            tensors = [torch.tensor(np.asarray(array, order="C"), device=device) for array in arrays]
            values[case] = _values(own, names, run(tensors))
    seen = {name for by_name in values.values() for name in by_name}
    hidden = [node.name for node in own.nodes if seen.isdisjoint(node.outputs)]
    return Traced(values, notes=[f"not seen in torch: {', '.join(hidden)}"] if hidden else [])


Statements = Callable[[Sequence[torch.Tensor]], Mapping[str, Any]]
"""From inputs to what each statement gives."""


def _program(module: nn.Module, example: Any) -> tuple[Graph, Mapping[str, str], Statements]:
    """The graph of a module, which value each statement gives, and what runs the statements."""
    if isinstance(module, Ported) and example is None and (written := read_written(module)) is not None:

        def statements(tensors: Sequence[torch.Tensor]) -> Mapping[str, Any]:
            listener = _Listener(module)
            listener.run(*tensors)
            return {
                name: _as_in_graph(listener.outputs[statement], layout, tensors[0].shape[0])
                for name, (statement, layout) in written.values.items()
            }

        return written.graph, {name: name for name in written.values}, statements
    read = read_traced(module, arguments_of(module, example))
    program = read.program
    assert program.graph_module is not None
    assert program.session is not None

    def operators(tensors: Sequence[torch.Tensor]) -> Mapping[str, Any]:
        given = dict(zip(program.inputs, tensors, strict=True))
        placeholders = [node.name for node in program.graph.nodes if node.op == "placeholder"]
        listener = _Listener(program.graph_module)  # type: ignore[arg-type]
        with running(program.session):  # type: ignore[arg-type]
            listener.run(*(given.get(name, program.arrays.get(name)) for name in placeholders))
        return listener.outputs

    return read.graph, read.values, operators


def _as_in_graph(x: Any, layout: Layout, N: int) -> Any:
    """A tensor with its axes as the graph has them, where these can be told."""
    if not isinstance(x, torch.Tensor):
        return x
    if layout.rows == 2 and x.shape[0] and N:
        x, layout = x.unflatten(0, (N, -1)), Layout(layout.order)
    return x.permute(layout.inverse) if layout.rows == 1 else None


def _values(graph: Graph, names: Mapping[str, str], outputs: Mapping[str, Any]) -> Values:
    values: Values = {}
    for statement, output in outputs.items():
        name = names.get(statement, "")
        if name not in graph.tensors or not isinstance(output, torch.Tensor):
            # What simplifying does away with.
            continue
        # The last statement of a value is the whole of it: the activation after a linear layer.
        if _fits(graph.tensors[name].shape, output.shape):
            values[name] = output.cpu().numpy()
    return values


def _fits(wanted: Sequence[Dim], actual: Sequence[int]) -> bool:
    return len(wanted) == len(actual) and all(
        not isinstance(a, int) or a == b for a, b in zip(wanted, actual, strict=True)
    )
