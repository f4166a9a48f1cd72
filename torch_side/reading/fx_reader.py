"""What the read functions of `torch_side.ops` read with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from biport.errors import GraphError, UnsupportedError, WeightError, raise_unsupported
from biport.graph import Node, Value
from biport.ops import Bidirectional, Embedding, NotEqual, Op, Recurrent, Tensor
from biport.registry import snake_case
from torch_side.names import ORIGIN, Origin, unique


class Lazy:
    """Something that is not one value yet: what it is read as depends on how it is used."""

    def value(self, user: str) -> str:
        """The name of the one value it is, used whole by ``user``."""
        raise NotImplementedError

    def item(self, index: Any, user: str) -> Bound:
        """What ``[index]`` of it is."""
        raise NotImplementedError

    def joined(self, others: Sequence[Bound], dim: int, user: str) -> str | None:
        """The value that joining ``others``, this one first, along ``dim`` gives, if there is one."""
        return None


Bound = str | Lazy | tuple
"""What an fx node stands for: the name of a value, several things, or something lazy."""


class Poisoned(Exception):  # noqa: N818  (not an error: a signal that the error is known already)
    """The node depends on one that could not be read."""


class FxReader:
    """A graph in the making, read from the fx nodes of a module.

    Args:
        root: the module; nothing in it is changed.
        declared: the inputs that are known beforehand, by argument name.
    """

    def __init__(self, root: nn.Module, declared: Mapping[str, Value]) -> None:
        self.root = root
        self.nodes: list[Node] = []
        self.tensors: dict[str, Tensor] = {}
        self.bound: dict[fx.Node, Bound] = {}
        self.emitted: dict[fx.Node, Op] = {}
        self.declared = declared
        self._ops: dict[object, Op] = {}

    def bind_argument(self, node: fx.Node) -> None:
        """Bind an argument of ``forward``; one that is not declared is known by its first use."""
        value = self.declared.get(str(node.target), None)
        self.bound[node] = str(node.target) if value is None else value.name
        if value is not None:
            self.tensors[value.name] = value.tensor

    def owner(self, node: fx.Node) -> str:
        """Where ``node`` is, for errors."""
        name = type(self.root).__name__
        if node.op == "call_module":
            return f"{name}: {node.target} ({type(self.module(node)).__name__})"
        return f"{name}: {node.name} in forward"

    def module(self, node: fx.Node) -> Any:
        """The submodule that ``node`` calls."""
        return self.root.get_submodule(str(node.target))

    def arguments(self, node: fx.Node, *names: str, **defaults: Any) -> list[Any]:
        """The arguments of ``node`` in the order of ``names`` and ``defaults``.

        Raises:
            UnsupportedError: there are others, or some of ``names`` are missing.
        """
        values = dict(zip([*names, *defaults], node.args, strict=False))
        given = {
            {"axis": "dim", "input": names[0]}.get(key, key): value for key, value in node.kwargs.items()
        }
        known = {*names, *defaults} - set(values)
        left = [key for key in given if key not in known]
        if left or len(node.args) > len(names) + len(defaults):
            what = f"arguments {left}" if left else f"{len(node.args)} arguments"
            raise UnsupportedError(self.owner(node), "called with", what, [*names, *defaults])
        values = defaults | values | given
        if missing := [name for name in names if name not in values]:
            raise UnsupportedError(self.owner(node), "called without", missing, [*names, *defaults])
        return [values[name] for name in [*names, *defaults]]

    def require(self, node: fx.Node, **settings: tuple[Any, Any]) -> None:
        """Refuse unless each setting, ``(actual, wanted)``, is as wanted."""
        owner = self.owner(node)
        problems = [
            UnsupportedError(owner, name, actual, repr(wanted))
            for name, (actual, wanted) in settings.items()
            if actual != wanted
        ]
        raise_unsupported(owner, problems)

    def look(self, argument: Any) -> Bound:
        """What an argument stands for.

        Raises:
            Poisoned: it could not be read.
        """
        if isinstance(argument, (tuple, list)):
            return tuple(self.look(item) for item in argument)
        if not isinstance(argument, fx.Node) or argument not in self.bound:
            raise Poisoned
        return self.bound[argument]

    def value(self, node: fx.Node, argument: Any) -> str:
        """The name of the value that an argument of ``node`` is.

        Raises:
            Poisoned: it could not be read.
            UnsupportedError: it is not one value of the graph.
        """
        if not isinstance(argument, fx.Node):
            raise UnsupportedError(self.owner(node), "argument", argument, "a tensor made by the model")
        bound = self.look(argument)
        if isinstance(bound, Lazy):
            return bound.value(self.owner(node))
        if isinstance(bound, tuple):
            raise UnsupportedError(self.owner(node), "argument", f"all outputs of {argument}", "one of them")
        return bound

    def rank(self, name: str) -> int | None:
        """How many dimensions a value has; ``None`` for an input nothing is known about yet."""
        return len(self.tensors[name].shape) if name in self.tensors else None

    def origin(self, node: fx.Node) -> Origin | None:
        """The graph node that ``node`` was written for, if `torch_side.write` wrote it."""
        return node.meta.get(ORIGIN)

    def only_user(self, node: fx.Node) -> fx.Node | None:
        """The one node that uses ``node`` and belongs to the same op, if there is just one."""
        users = list(node.users)
        if len(users) != 1 or self.origin(users[0]) != self.origin(node):
            return None
        return users[0]

    def emit(
        self,
        node: fx.Node,
        op: Op,
        inputs: Sequence[str],
        masks: Sequence[str | None] = (),
        name: str | None = None,
    ) -> tuple[str, ...]:
        """Add a graph node for ``node``; the names of its values.

        Raises:
            GraphError: the op does not suit its inputs.
            UnsupportedError: one of them is an input of the model that has to be declared.
        """
        op = self._shared(node, op, name)
        for position, source in enumerate(inputs):
            self._declare(node, source, _first_use(op) if position == 0 else None)
        for mask in masks:
            if mask is not None:
                self._declare(node, mask, Tensor(("N", "T"), "bool"))
        try:
            results = op.infer([self.tensors[source] for source in inputs])
        except GraphError as error:
            raise GraphError(f"{self.owner(node)}: {error}") from error
        self.emitted[node] = op
        name, outputs = self._names(node, op, name, len(results))
        self.nodes.append(Node(name, op, tuple(inputs), outputs, tuple(masks)))
        self.tensors |= zip(outputs, results, strict=True)
        return outputs

    def _shared(self, node: fx.Node, op: Op, name: str | None) -> Op:
        origin = self.origin(node)
        key: object = origin.op if origin else node.target if node.op == "call_module" else node
        known = self._ops.setdefault((key, op.kind, name), op)
        return known if known == op else op

    def _names(self, node: fx.Node, op: Op, name: str | None, count: int) -> tuple[str, tuple[str, ...]]:
        if origin := self.origin(node):
            return origin.node, origin.outputs
        if name is None:
            name = str(node.target) if node.op == "call_module" else snake_case(op.kind)
        taken = {*self.tensors, *(known.name for known in self.nodes)}
        name = unique(name, taken)
        return name, (name,) if count == 1 else tuple(unique(f"{name}_{i}", taken) for i in range(count))

    def _declare(self, node: fx.Node, name: str, guess: Tensor | None) -> None:
        if name in self.tensors:
            return
        if guess is None:
            supported = "read(module, inputs=[biport.graph.Value(name, shape, dtype), ...])"
            raise UnsupportedError(self.owner(node), "input", f"{name} of unknown shape", supported)
        self.tensors[name] = guess


def _first_use(op: Op) -> Tensor | None:
    """The shape and dtype of an input known only by its use, where that leaves no choice."""
    match op:
        case Embedding() | NotEqual():
            return Tensor(("N", "T"), "int64")
        case Recurrent() | Bidirectional():
            width, _ = op.sizes if isinstance(op, Recurrent) else op.forward.sizes
            return Tensor(("N", "T", width), op.dtype or "float32")
        case _:
            return None


def arrays(owner: str, named: Mapping[str, torch.Tensor | None]) -> dict[str, Any]:
    """Copies of a module's tensors as numpy arrays, ``None`` where there is none.

    Raises:
        UnsupportedError: a tensor is neither float32 nor float64.
    """
    copies: dict[str, np.ndarray | None] = {}
    for name, tensor in named.items():
        if tensor is not None and tensor.dtype not in (torch.float32, torch.float64):
            raise UnsupportedError(f"{owner}: {name}", "dtype", tensor.dtype, ["float32", "float64"])
        copies[name] = None if tensor is None else np.array(tensor.detach().cpu().numpy())
    return copies


def build(owner: str, kind: Callable[..., Op], **fields: Any) -> Any:
    """``kind(**fields)``, with ``owner`` in the error where its weights are not acceptable.

    Raises:
        WeightError: weights are misshapen or not finite.
    """
    try:
        return kind(**fields)
    except WeightError as error:
        raise WeightError(f"{owner}: {error}") from error
    except GraphError as error:
        raise GraphError(f"{owner}: {error}") from error
