"""A call of a module of somebody's own, as the function says that reads its class."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from operator import attrgetter
from typing import Any

import numpy as np
from torch import nn
from torch.utils._pytree import tree_leaves, tree_map

from biport import ops
from biport.dims import Dim
from biport.errors import GraphError, InputError, UnsupportedError
from biport.extend import Builder, Symbolic, named_errors, node_name
from biport.ops import Op, Tensor
from torch_side.learning import with_frozen
from torch_side.reading.layer_call import LayerCall, arrays


class MappedModule(Builder):
    """A call of a module, for the function that reads its class.

    Attributes:
        module: it, with its tensors.
        inputs: the tensors it is called with, in order.
        arguments: all it is called with by position, tensors among them.
        options: all it is called with by name.
    """

    def __init__(self, call: LayerCall) -> None:
        self.module: nn.Module = call.module
        self._call = call
        self._counts: dict[str, int] = {}
        self._parameters: dict[str, Symbolic] = {}
        self.inputs: list[Symbolic] = []
        self.arguments: Sequence[Any] = tree_map(self._symbolic, list(call.args))
        self.options: Mapping[str, Any] = tree_map(self._symbolic, dict(call.kwargs))

    @property
    def input(self) -> Symbolic:
        """The one tensor that it is called with.

        Raises:
            InputError: there are several, or none.
        """
        if len(self.inputs) != 1:
            raise InputError(f"it is called with {len(self.inputs)} tensors, see module.inputs")
        return self.inputs[0]

    def weights(self, *paths: str) -> list[Symbolic]:
        """Parameters and buffers by their paths, ``"score.weight"``; a parameter trains as it does there."""
        for path, array in self.arrays(*paths).items():
            if path not in self._parameters:
                tensor = attrgetter(path)(self.module)
                trains = isinstance(tensor, nn.Parameter)
                self._parameters[path] = (
                    self.parameter(array, path, bool(tensor.requires_grad))
                    if trains
                    else self.constant(array, path)
                )
        return [self._parameters[path] for path in paths]

    def arrays(self, *paths: str) -> dict[str, np.ndarray]:
        """The same as arrays by path, for ops that take their weights so.

        Raises:
            InputError: the module has no such tensor.
            UnsupportedError: one of floats is neither float32 nor float64.
        """
        known: dict[str, np.ndarray] = {}
        for path in paths:
            try:
                tensor = attrgetter(path)(self.module)
            except AttributeError as error:
                names = [name for name, _ in (*self.module.named_parameters(), *self.module.named_buffers())]
                raise InputError(f"it has no tensor {path!r}, only {names}") from error
            if tensor.is_floating_point():
                known |= arrays(self._call.owner, {path: tensor})
            else:
                known[path] = tensor.detach().cpu().numpy()
        return known

    def linear(self, path: str, x: Symbolic, activation: str = "linear") -> Symbolic:
        """What the ``nn.Linear`` with this path gives, and an activation behind it."""
        layer = attrgetter(path)(self.module)
        if type(layer) is not nn.Linear:
            raise UnsupportedError(self._call.owner, path, type(layer).__name__, "nn.Linear")
        own = arrays(self._call.owner, {"weight": layer.weight, "bias": layer.bias})
        size, count = layer.in_features, layer.out_features
        op = ops.Dense(input_size=size, output_size=count, activation=activation, **own)
        trains = {name: tensor.requires_grad for name, tensor in layer.named_parameters()}
        return self.apply(with_frozen(op, trains), x, name=path)

    def same_size(self, one: Dim, other: Dim) -> None:
        """Two sizes are the same, which nothing else says: the rows of ``x`` and of their ``lengths``."""
        self._call.same_size(one, other)

    def emit(
        self, op: Op, inputs: Sequence[str], masks: Sequence[str | None], name: str | None
    ) -> Sequence[str]:
        """The op, noted under a name that no other op of this call has."""
        own = name or node_name(op)
        number = self._counts.get(own, 0)
        self._counts[own] = number + 1
        return self._call.emit(op, inputs, masks, name=f"{own}_{number}" if number else own)

    def tensor(self, value: str) -> Tensor:
        """Shape and dtype of a value."""
        return self._call.tensors[value]

    def _symbolic(self, part: Any) -> Any:
        if not isinstance(part, str) or part not in self._call.tensors:
            return part
        self.inputs.append(Symbolic(self, part))
        return self.inputs[-1]


def reads_mapped(function: Callable[[MappedModule], Any]) -> Callable[[LayerCall], Any]:
    """A function that reads a class, as one that reads a layer whole."""

    def read(call: LayerCall) -> Any:
        with named_errors(call.owner, function):
            given = function(MappedModule(call))
            leaves = [leaf for leaf in tree_leaves(given) if leaf is not None]
            if not leaves or not all(isinstance(leaf, Symbolic) for leaf in leaves):
                raise GraphError(f"it should give what the module gives, symbolic values; found {given!r}")
            return tree_map(lambda leaf: None if leaf is None else leaf.value, given)

    return read
