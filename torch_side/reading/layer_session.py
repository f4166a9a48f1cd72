"""The layers that a module calls while it is traced, each read whole at its call."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

from biport import ops
from biport.dims import Arithmetic, Dim, computed, letter
from biport.errors import GraphError
from biport.ops import Op
from torch_side.layers import Recurrence
from torch_side.learning import as_trained
from torch_side.mapped import reader_of_class
from torch_side.reading.layer_call import LayerCall
from torch_side.reading.mapped_module import reads_mapped
from torch_side.reading.sizes import expression
from torch_side.reading.written import scan_of
from torch_side.registry import READERS, is_whole


@dataclass(frozen=True)
class Emission:
    """An op that a layer is read as, applied to values called by their place among the layer's inputs."""

    op: Op
    inputs: tuple[str, ...]
    masks: tuple[str | None, ...]
    outputs: tuple[str, ...]
    name: str | None = None


class RecordedCall(LayerCall):
    """A call whose ops are written down."""

    def __init__(
        self,
        module: nn.Module,
        owner: str,
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
        tensors: Mapping[str, ops.Tensor],
    ) -> None:
        super().__init__(module, owner, args, kwargs)
        self.tensors = tensors
        self.emissions: list[Emission] = []
        self.same: list[tuple[Dim, Dim]] = []

    def same_size(self, one: Dim, other: Dim) -> None:
        """Two sizes are the same, whatever they are."""
        self.same.append((one, other))

    def emit(
        self, op: Op, inputs: Sequence[str], masks: Sequence[str | None] = (), name: str | None = None
    ) -> tuple[str, ...]:
        """The op is noted, and what it gives; one with a name of its own says itself how it is trained."""
        op = as_trained(op, self.module) if name is None else op
        results = op.infer([self.tensors[name] for name in inputs])
        first = len(self.tensors)
        outputs = tuple(f"value {first + position}" for position in range(len(results)))
        self.tensors = {**self.tensors, **dict(zip(outputs, results, strict=True))}
        self.emissions.append(Emission(op, tuple(inputs), tuple(masks), outputs, name))
        return outputs


@dataclass(frozen=True)
class LayerRecord:
    """One call of one layer."""

    module: nn.Module
    structure: Any
    emissions: Sequence[Emission]
    outputs: Sequence[str]
    tensors: Mapping[str, ops.Tensor]
    same: Sequence[tuple[Dim, Dim]] = ()

    def sizes(self, inputs: Sequence[Tensor]) -> dict[str, Any]:
        """The sizes of its inputs by the letters of the call."""
        return {
            str(dim): size
            for position, tensor in enumerate(inputs)
            for dim, size in zip(self.tensors[str(position)].shape, tensor.shape, strict=True)
        }


class LayerSession:
    """What is known of the layers of a module that is being traced.

    Args:
        root: the module; errors call its parts by their paths.
    """

    def __init__(self, root: nn.Module) -> None:
        self.calls: list[LayerRecord] = []
        kinds = {type(part) for part in root.modules()}
        self.classes = {kind for kind in kinds if is_whole(kind) or reader_of_class(kind) is not None}
        self._paths = {part: path for path, part in root.named_modules()}
        self._name = type(root).__name__
        self._originals: dict[type, Callable] = {kind: kind.forward for kind in self.classes}
        # A loop over the steps of a cell that nobody wrote, or that was changed since, is traced.
        loops = (part for part in root.modules() if isinstance(part, Recurrence))
        self._opened = {loop for loop in loops if scan_of(loop) is None}
        self._zero: list[Tensor] = []
        self._tensors = {
            part: {"_parameters": dict(part._parameters), "_buffers": dict(part._buffers)}
            for part in root.modules()
        }

    def forward(self, kind: type[nn.Module], operator: Callable) -> Callable:
        """What a layer of a class does while it is traced: one operator."""
        original = kind.forward

        def forward(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
            if module in self._opened or not _reads_whole(module, args, kwargs):
                return original(module, *args, **kwargs)
            leaves, structure = tree_flatten((args, kwargs))
            tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
            _fix_rows(module, args, kwargs)
            number, bound = self._record(module, leaves, structure)
            fixed = _fix_features(self.calls[number], tensors), _fix_same(self.calls[number], tensors)
            if any(fixed):
                self.calls.pop()
                number, bound = self._record(module, leaves, structure)
            outputs = iter(operator(number, tensors))
            parts, shape_of = tree_flatten(bound)
            return tree_unflatten([None if part is None else next(outputs) for part in parts], shape_of)

        return forward

    def owner(self, module: nn.Module) -> str:
        """How errors call a part of the module."""
        path = self._paths.get(module) or "the module itself"
        return f"{self._name}: {path} ({type(module).__name__})"

    def run(self, number: int, inputs: list[Tensor]) -> list[Tensor]:
        """What the layer of a call gives."""
        record = self.calls[number]
        leaves = iter(inputs)
        given = [next(leaves) if leaf is _TENSOR else leaf for leaf in record.structure[0]]
        args, kwargs = tree_unflatten(given, record.structure[1])
        result = self._originals[type(record.module)](record.module, *args, **kwargs)
        return [part.clone() for part in tree_leaves(result) if part is not None]

    def shapes(self, number: int, inputs: list[Tensor]) -> list[Tensor]:
        """Empty tensors as the layer of a call gives them."""
        record = self.calls[number]
        # By the letters of the call: where a program is traced again, its symbols have other names.
        sizes = record.sizes(inputs)
        return [
            inputs[0].new_empty(
                [computed(dim, sizes, SIZES) for dim in record.tensors[name].shape],
                dtype=getattr(torch, record.tensors[name].dtype),
            )
            for name in record.outputs
        ]

    def zero_behind_the_end(self, y: Tensor) -> None:
        """Note that a padded tensor is zero behind the end of each row."""
        self._zero.append(y)

    def is_zero_behind_the_end(self, y: Tensor) -> bool:
        """Whether that is known of it."""
        return any(known is y for known in self._zero)

    @contextlib.contextmanager
    def _as_it_is(self, module: nn.Module) -> Iterator[None]:
        """A layer with its own tensors, which stand-ins take the places of while it is traced."""
        before = []
        for part in module.modules():
            for kind in ("_parameters", "_buffers"):
                tensors = getattr(part, kind)
                before.append((tensors, dict(tensors)))
                tensors.update(self._tensors[part][kind])
        try:
            with _disable_current_modes(), torch._C.DisableTorchFunction():
                yield
        finally:
            for tensors, stand_ins in before:
                tensors.update(stand_ins)

    def _record(self, module: nn.Module, leaves: list[Any], structure: Any) -> tuple[int, Any]:
        names: list[Any] = []
        tensors: dict[str, ops.Tensor] = {}
        for leaf in leaves:
            if isinstance(leaf, Tensor):
                name = str(len(tensors))
                tensors[name] = _known(leaf)
                names.append(name)
            else:
                names.append(leaf)
        args, kwargs = tree_unflatten(names, structure)
        call = RecordedCall(module, self.owner(module), args, kwargs, tensors)
        with self._as_it_is(module):
            bound = _reader(type(module), call.owner)(call)
        outputs = [part for part in tree_leaves(bound) if part is not None]
        template = [_TENSOR if isinstance(leaf, Tensor) else leaf for leaf in leaves]
        record = LayerRecord(module, (template, structure), call.emissions, outputs, call.tensors, call.same)
        self.calls.append(record)
        return len(self.calls) - 1, bound


def _reader(kind: type[nn.Module], owner: str) -> Callable[[LayerCall], Any]:
    """Who reads a layer whole: first of all somebody who said what its class is."""
    function = reader_of_class(kind)
    return READERS.lookup(kind, owner) if function is None else reads_mapped(function)


def _reads_whole(module: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether a call is read whole: attention of torch only under no mask."""
    if reader_of_class(type(module)) is not None:
        return True
    if isinstance(module, nn.MultiheadAttention):
        named = _arguments_of_attention(args, kwargs)
        masked = any(named.get(name) is not None for name in ("key_padding_mask", "attn_mask"))
        more = module.bias_k is not None or module.add_zero_attn or named.get("is_causal")
        return not masked and not more and named["query"].dim() == 3
    return True


def _arguments_of_attention(args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    names = ("query", "key", "value", "key_padding_mask", "need_weights", "attn_mask")
    return dict(zip(names, args, strict=False)) | dict(kwargs)


def _fix_rows(module: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
    """Say which sizes of what attention looks at are the same."""
    if not isinstance(module, nn.MultiheadAttention):
        return
    named = _arguments_of_attention(args, kwargs)
    rows = 0 if module.batch_first else 1
    torch._check(named["key"].shape[rows] == named["query"].shape[rows])
    for axis in (0, 1):
        torch._check(named["value"].shape[axis] == named["key"].shape[axis])


def _fix_features(record: LayerRecord, inputs: Sequence[Tensor]) -> bool:
    """Say which sizes are as a layer has weights for: its ops take them, and none that is larger by one."""
    fixed = False
    for position, tensor in enumerate(inputs):
        for axis, size in enumerate(tensor.shape):
            if not isinstance(size, torch.SymInt) or size.node.hint is None:
                continue
            hint = size.node.hint
            if [_takes(record, position, axis, number) for number in (hint, hint + 1)] == [True, False]:
                torch._check(size == hint)
                fixed = True
    return fixed


def _fix_same(record: LayerRecord, inputs: Sequence[Tensor]) -> bool:
    """Say which sizes are the same because somebody says so."""
    sizes, fixed = record.sizes(inputs), False
    for one, other in record.same:
        if str(one) != str(other):
            torch._check(computed(one, sizes, SIZES) == computed(other, sizes, SIZES))
            fixed = True
    return fixed


def _takes(record: LayerRecord, position: int, axis: int, number: int) -> bool:
    """Whether the ops of a layer take a number as a size of one of its inputs."""
    tensors, name = dict(record.tensors), str(position)
    shape = list(tensors[name].shape)
    shape[axis] = number
    tensors[name] = ops.Tensor(tuple(shape), tensors[name].dtype)
    try:
        for emission in record.emissions:
            results = emission.op.infer([tensors[name] for name in emission.inputs])
            tensors |= zip(emission.outputs, results, strict=True)
    except GraphError:
        return False
    return True


_TENSOR = object()
"""Where a tensor goes."""


def _known(tensor: Tensor) -> ops.Tensor:
    """Shape and dtype of one of torch's symbolic tensors, its sizes by letters."""
    return ops.Tensor(tuple(map(_dim, tensor.shape)), str(tensor.dtype).removeprefix("torch."))


def _dim(size: Any) -> Dim:
    text = str(expression(size))
    if text.isdecimal():
        return int(text)
    return letter("size_" + "".join(char if char.isalnum() else f"_{ord(char)}_" for char in text))


SIZES: Arithmetic[Any] = Arithmetic(
    int,
    lambda one, two: one + two,
    lambda one, two: one * two,
    lambda one, two: one // two,
    torch.sym_max,
    torch.sym_min,
)
"""With torch's symbolic sizes."""
