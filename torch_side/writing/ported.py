"""The module that a graph is written as."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, fx, nn
from torch.fx.node import map_aggregate

from biport.analysis.lengths import Least
from biport.graph import Value
from biport.ops import Penalty


class Ported(fx.GraphModule):
    """A written module; ``print(module.code)`` shows its ``forward``."""

    # TorchScript compiles every other property.
    __jit_unused_properties__: ClassVar[list[str]] = [
        "graph",
        "_boxed_call",
        "code",
        "input_values",
        "output_names",
        "id_bounds",
        "needs_steps",
        "paths",
    ]

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled statement by statement: traced anew from its source it would not be what it was."""
        numbers: dict[Any, Any] = {node: _Number(at) for at, node in enumerate(self.graph.nodes)}
        statements = [
            (
                node.op,
                node.target,
                *fx.map_arg((node.args, node.kwargs), numbers.get),
                node.name,
                node.type,
                node.meta,
            )
            for node in self.graph.nodes
        ]
        parts = self._modules, self._parameters, self._buffers
        return _restored, (parts, statements, self.meta, self.training)

    @property
    def code(self) -> str:
        """The source of ``forward``, without the statements by which torch.fx frees what it is done with.

        Slices are written as a person does, ``x[:, -1]``.
        """
        code = re.sub(r";  (\w+ = )+None$", "", super().code, flags=re.MULTILINE)
        code = re.sub(r"slice\(([^(),]+), ([^(),]+), ([^(),]+)\)", _cut, code)
        code = re.sub(r"\[\(([^()]*)\)\]", r"[\1]", code)
        return re.sub(r"\[([^\[\]]*)\bEllipsis\b", r"[\1...", code)

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
    def needs_steps(self) -> dict[str, Least]:
        """The inputs and lengths that must be of some size; see `biport.analysis.lengths.needed_steps`."""
        return self.meta["needs_steps"]

    @property
    def paths(self) -> dict[str, str]:
        """Where the module of each graph node is: ``{node name: submodule path}``."""
        return self.meta["paths"]

    def penalty(self) -> Tensor:
        """What the regularisers of the model's source add to the loss for its weights, a number.

        Of outputs, `ActivityRegularization` layers keep theirs.
        """
        terms = [term for one in self.meta["penalties"] for term in self._terms(one.path, one.penalty)]
        return sum(terms[1:], terms[0]) if terms else torch.zeros(())

    def _terms(self, path: str, penalty: Penalty) -> Iterator[Tensor]:
        weight = self.get_parameter(path)
        if penalty.l1:
            yield penalty.l1 * weight.abs().sum()
        if penalty.l2:
            yield penalty.l2 * weight.square().sum()


def _cut(written: re.Match[str]) -> str:
    """``slice(1, None, None)`` as ``1:``."""
    start, stop, step = ("" if part == "None" else part for part in written.groups())
    return f"{start}:{stop}" + (f":{step}" if step else "")


@dataclass(frozen=True)
class _Number:
    """Which statement stands at this place."""

    number: int


def _restored(
    parts: Sequence[dict[str, Any]],
    statements: Sequence[Sequence[Any]],
    meta: dict[str, Any],
    training: bool,
) -> Ported:
    root = nn.Module()
    root._modules, root._parameters, root._buffers = parts
    graph, nodes = fx.Graph(), []
    for kind, target, args, kwargs, name, type_of, own in statements:
        args, kwargs = _with_nodes(args, nodes), _with_nodes(kwargs, nodes)
        nodes.append(graph.create_node(kind, target, args, kwargs, name, type_of))
        nodes[-1].meta |= own
    module = Ported(root, graph, class_name="Ported")
    module.meta |= meta
    return module.train(training)


def _with_nodes(arguments: Any, nodes: Sequence[fx.Node]) -> Any:
    return map_aggregate(arguments, lambda part: nodes[part.number] if isinstance(part, _Number) else part)
