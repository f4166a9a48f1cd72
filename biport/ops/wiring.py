"""Named values and the ops between them, checked in one way: of a graph, and of the body of a `Scan`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Protocol

from biport.dims import LARGEST
from biport.errors import GraphError, UnsupportedError
from biport.ops.base import Op
from biport.ops.checks import TooShortError
from biport.ops.tensor import Tensor, Value, same_dim


class Wiring(Protocol):
    """What one op reads and makes, by the names of the values."""

    @property
    def name(self) -> str:
        """Unique."""
        ...

    @property
    def inputs(self) -> Sequence[str]:
        """The values it reads."""
        ...

    @property
    def outputs(self) -> Sequence[str]:
        """The values it makes."""
        ...

    @property
    def masks(self) -> Sequence[str | None]:
        """For each input the name of its mask, or ``None``."""
        ...


def wired(
    inputs: Iterable[Value], nodes: Iterable[tuple[Wiring, Op]], outputs: Sequence[str]
) -> dict[str, Tensor]:
    """The shape and dtype of every value, the inputs included.

    Args:
        inputs: what there is to begin with.
        nodes: in an order in which each reads only what is above it.
        outputs: the values that are given out.

    Raises:
        GraphError: a name is used twice, a value is used before it is made, or shapes, dtypes or masks do
            not suit the ops; the message names the node.
        UnsupportedError: an op cannot do what is asked of it.
    """
    tensors: dict[str, Tensor] = {}
    for value in inputs:
        _add(tensors, value.name, value.tensor, "input")
    names: set[str] = set()
    for node, op in nodes:
        owner = f"node {node.name!r}"
        if node.name in names:
            raise GraphError(f"{owner}: the name is used twice")
        names.add(node.name)
        _check_masks(node, op, tensors)
        for name, tensor in zip(node.outputs, _inferred(node, op, tensors), strict=True):
            _add(tensors, name, tensor, owner)
    if not outputs:
        raise GraphError("the graph has no outputs")
    for name in outputs:
        _find(tensors, name)
    return tensors


def _inferred(node: Wiring, op: Op, tensors: Mapping[str, Tensor]) -> Sequence[Tensor]:
    owner = f"node {node.name!r}"
    try:
        outputs = op.infer([_find(tensors, name) for name in node.inputs])
    except TooShortError as error:
        raise TooShortError(f"{owner}: {error}", error.axis, f"{node.name!r} ({op.kind})") from error
    except GraphError as error:
        raise GraphError(f"{owner}: {error}") from error
    except UnsupportedError as problem:
        label = f"{owner} ({problem.owner})"
        raise UnsupportedError(label, problem.setting, problem.value, problem.supported) from problem
    if len(outputs) != len(node.outputs):
        raise GraphError(f"{owner}: {op.kind} gives {len(outputs)} outputs, {len(node.outputs)} are named")
    return outputs


def _add(tensors: dict[str, Tensor], name: str, tensor: Tensor, owner: str) -> None:
    if not name:
        raise GraphError(f"{owner}: a value without a name")
    if name in tensors:
        raise GraphError(f"{owner}: the value {name!r} is made twice")
    if any(isinstance(dim, int) and dim >= LARGEST for dim in tensor.shape):
        raise GraphError(f"{owner}: it is longer than any array")
    tensors[name] = tensor


def _find(tensors: Mapping[str, Tensor], name: str) -> Tensor:
    if name not in tensors:
        raise GraphError(f"the value {name!r} is used before it is made")
    return tensors[name]


def _check_masks(node: Wiring, op: Op, tensors: Mapping[str, Tensor]) -> None:
    owner = f"node {node.name!r}"
    if len(node.masks) != len(node.inputs):
        raise GraphError(f"{owner}: {len(node.masks)} masks for {len(node.inputs)} inputs")
    for position, mask in enumerate(node.masks):
        if mask is None:
            continue
        if position not in op.masked:
            raise GraphError(f"{owner}: {op.kind} takes no mask for its input {position}")
        tensor, data = _find(tensors, mask), _find(tensors, node.inputs[position])
        if tensor.dtype != "bool" or len(tensor.shape) != 2:
            raise GraphError(f"{owner}: the mask {mask!r} should be bool (N, T), found {tensor}")
        if not all(same_dim(a, b) for a, b in zip(tensor.shape, data.shape, strict=False)):
            raise GraphError(f"{owner}: the mask {mask!r} is {tensor} but its input is {data}")
        op.check_masked(owner, data)
