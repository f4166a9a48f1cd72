"""Scripted and traced modules, live, as modules in Python: their statements are run one by one.

`torch.export` does not look into TorchScript. Here its graph, with all calls inlined, is run with Python's
own numbers and torch's operators, so that branches on settings are taken and loops unrolled while it is
traced, and recurrent layers are the functions that `torch_side.reading.opaque` knows.
"""

from __future__ import annotations

import inspect
import math
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from biport.errors import BiportError, InputError, UnsupportedError
from torch_side.inference import evaluating
from torch_side.reading.arguments import Arguments
from torch_side.reading.flat import Flat

Values = dict[str, Any]
"""What each value of a graph is, by its name."""

ALLOWED = 1e-5
"""Of the largest number of an output, in float32."""
FUNCTIONS = ("lstm", "gru", "rnn_tanh", "rnn_relu", "lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell")
"""Which nn.LSTM and its kin call in ``torch._VF``."""


class Scripted(nn.Module):
    """A module of TorchScript, run in Python.

    Args:
        script: its parameters and buffers are this one's too.
        name: of the class that it was made from.
    """

    def __init__(self, script: Any, name: str) -> None:
        super().__init__()
        self.training = script.training
        self.name = name
        for path, parameter in script.named_parameters(recurse=False):
            # Loaded from a file it is a plain tensor.
            known = isinstance(parameter, nn.Parameter)
            own = parameter if known else nn.Parameter(parameter.detach(), parameter.requires_grad)
            self.register_parameter(path, own)
        for path, buffer in script.named_buffers(recurse=False):
            self.register_buffer(path, buffer)
        for path, child in script.named_children():
            self.add_module(path, Scripted(child, name))
        self._own = _Own(script)

    def attribute(self, name: str) -> Any:
        """An attribute as the graph knows it; tensors are this module's, which may be replaced."""
        if name == "training":
            return self.training
        for own in (self._parameters, self._buffers, self._modules):
            if name in own:
                return own[name]
        given = getattr(self._own.script, name)
        if isinstance(given, list) and given and all(isinstance(one, Tensor) for one in given):
            return [self._parameters[self._own.names[one.data_ptr()]] for one in given]
        return given


class _Own:
    """A module of TorchScript, out of sight of what counts the parts of one in Python and copies it."""

    def __init__(self, script: Any) -> None:
        self.script = script
        self.names = {one.data_ptr(): name for name, one in script.named_parameters(recurse=False)}

    def __deepcopy__(self, memo: Any) -> _Own:
        return self


def in_python(script: Any) -> Scripted:
    """A module of TorchScript as one that `torch.export` can trace; it shares its parameters."""
    name = getattr(script, "original_name", type(script).__name__)
    method = script._c._get_method("forward")
    graph = method.graph.copy()
    torch._C._jit_pass_inline(graph)
    signature = _signature(method.schema)

    def forward(self: Scripted, *args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(self, *args, **kwargs)
        bound.apply_defaults()
        names = [value.debugName() for value in graph.inputs()]
        values: Values = dict(zip(names, bound.arguments.values(), strict=True))
        _run(self, graph.nodes(), values)
        outputs = [values[value.debugName()] for value in graph.outputs()]
        return outputs[0] if len(outputs) == 1 else tuple(outputs)

    forward.__signature__ = signature  # type: ignore[attr-defined]
    kind = type(name, (Scripted,), {"forward": forward})
    return kind(script, name)


def _signature(schema: Any) -> inspect.Signature:
    """What ``forward`` takes, by name."""
    parameters = [
        inspect.Parameter(
            argument.name,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
            default=argument.default_value if argument.has_default_value() else inspect.Parameter.empty,
        )
        for argument in schema.arguments
    ]
    return inspect.Signature(parameters)


def check_same(module: Scripted, arguments: Arguments) -> None:
    """Hold a module in Python against the one of TorchScript that it was made from.

    Raises:
        InputError: that does not take the example.
        UnsupportedError: they differ.
    """
    script, examples = module._own.script, [leaf.example for leaf in arguments.leaves]
    supported = "its live module, before it was scripted or traced"
    with torch.no_grad(), evaluating(script), evaluating(module):
        try:
            wanted = Flat(script, arguments)(*examples)
        except Exception as error:
            reason = " ".join(str(error).split())[-300:]
            raise InputError(f"{module.name} does not take the example: {reason}") from error
        try:
            given = Flat(module, arguments)(*examples)
        except BiportError:
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
            raise UnsupportedError(module.name, "TorchScript", reason, supported) from error
    for one, two in zip(wanted, given, strict=True):
        scale = max(1.0, float(one.double().abs().max())) if one.numel() else 1.0
        if not torch.allclose(one.double(), two.double(), 0, ALLOWED * scale, equal_nan=True):
            raise UnsupportedError(module.name, "TorchScript", "other numbers in Python", supported)


def _run(module: Scripted, nodes: Iterable[Any], values: Values) -> None:
    for node in nodes:
        outputs = _statement(module, node, values)
        values |= {value.debugName(): one for value, one in zip(node.outputs(), outputs, strict=True)}


def _statement(module: Scripted, node: Any, values: Values) -> Sequence[Any]:
    """The outputs of one statement."""
    kind = node.kind()
    inputs = [values[value.debugName()] for value in node.inputs()]
    if kind == "prim::Constant":
        return [_plain(node.output().toIValue())]
    if kind == "prim::GetAttr":
        return [inputs[0].attribute(node.s("name"))]
    if kind == "prim::If":
        blocks = list(node.blocks())
        return _block(module, blocks[0 if inputs[0] else 1], [], values)
    if kind == "prim::Loop":
        return _loop(module, node, inputs, values)
    if kind in PRIMITIVES:
        result = PRIMITIVES[kind](*inputs)
        return list(result) if node.outputsSize() != 1 else [result]
    if not kind.startswith("aten::"):
        supported = (
            "TorchScript of numbers, tensors, branches and loops: give the live module it was made from"
        )
        raise UnsupportedError(module.name, "TorchScript", kind, supported)
    result = _operator(module, node, kind.removeprefix("aten::"), inputs)
    return list(result) if node.outputsSize() != 1 else [result]


def _block(module: Scripted, block: Any, inputs: Sequence[Any], values: Values) -> list[Any]:
    values |= {value.debugName(): one for value, one in zip(block.inputs(), inputs, strict=True)}
    _run(module, block.nodes(), values)
    return [values[value.debugName()] for value in block.outputs()]


def _loop(module: Scripted, node: Any, inputs: Sequence[Any], values: Values) -> list[Any]:
    most, going, *carried = inputs
    (block,) = node.blocks()
    count = 0
    while going and count < most:
        going, *carried = _block(module, block, [count, *carried], values)
        count += 1
    return carried


def _operator(module: Scripted, node: Any, name: str, inputs: Sequence[Any]) -> Any:
    """An operator of aten: of numbers as Python has it, of tensors as torch has it."""
    if name in FUNCTIONS:
        _check_recurrence(module, node, name, inputs)
        return getattr(torch._VF, name)(*inputs)
    if name in OF_TENSORS:
        return OF_TENSORS[name](*inputs)
    if name in OF_NUMBERS and not any(isinstance(one, Tensor) for one in inputs):
        return OF_NUMBERS[name](*inputs)
    schema = torch._C.parse_schema(node.schema())
    packet = getattr(torch.ops.aten, name, None)
    if packet is None:
        supported = "operators of torch: give the live module it was made from"
        raise UnsupportedError(module.name, "TorchScript", f"aten::{name}", supported)
    named = {
        argument.name: one
        for argument, one in zip(schema.arguments, inputs, strict=True)
        if argument.kwarg_only and one is not None
    }
    plain = [one for argument, one in zip(schema.arguments, inputs, strict=True) if not argument.kwarg_only]
    return getattr(packet, schema.overload_name or "default")(*plain, **named)


def _plain(value: Any) -> Any:
    """A constant; tracing makes tensors of whole numbers, which sizes are computed with."""
    whole = isinstance(value, Tensor) and not value.dim() and value.dtype is torch.int64
    return value.item() if whole else value


def _check_recurrence(module: Scripted, node: Any, name: str, inputs: Sequence[Any]) -> None:
    """Refuse packed sequences, and states of another number of layers, which torch takes as they are."""
    if name.endswith("cell"):
        return
    if torch._C.parse_schema(node.schema()).overload_name != "input":
        supported = "padded ones; packed ones in the live module, before it was scripted or traced"
        raise UnsupportedError(module.name, "TorchScript", "packed sequences", supported)
    _, states, _, _, layers, _, _, bidirectional, _ = inputs
    for state in states if name == "lstm" else [states]:
        if state.size(0) != layers * (1 + bidirectional):
            raise RuntimeError(f"states of {state.size(0)} layers and directions, and not of {layers} layers")


def _convolution(*inputs: Any) -> Tensor:
    """What tracing calls, which has settings of cuDNN behind its own."""
    return torch.convolution(*inputs[:9])


def _same(value: Any, *_: Any) -> Any:
    return value


def _number(kind: Callable[[Any], Any]) -> Callable[..., Any]:
    """A number, where it is one already as it is: a size that varies is no ``int``."""

    def convert(value: Any, *_: Any) -> Any:
        if isinstance(value, Tensor):
            return kind(value.item())
        return value if isinstance(value, torch.SymInt) and kind is int else kind(value)

    return convert


def _raise(message: str, *_: Any) -> Any:
    raise RuntimeError(message)


def _slice(values: Sequence[Any], start: int | None, stop: int | None, step: int) -> Any:
    return values[slice(start, stop, step)]


PRIMITIVES: Mapping[str, Callable[..., Any]] = {
    "prim::ListConstruct": lambda *parts: list(parts),
    "prim::TupleConstruct": lambda *parts: tuple(parts),
    "prim::ListUnpack": tuple,
    "prim::TupleUnpack": tuple,
    "prim::TupleIndex": operator.getitem,
    "prim::DictConstruct": lambda *parts: dict(zip(parts[::2], parts[1::2], strict=True)),
    "prim::NumToTensor": _same,
    "prim::unchecked_cast": _same,
    "prim::unchecked_unwrap_optional": _same,
    "prim::Uninitialized": lambda: None,
    "prim::RaiseException": _raise,
    "prim::dtype": lambda x: x.dtype,
    "prim::device": lambda x: x.device,
    "prim::data": _same,
    "prim::min": min,
    "prim::max": max,
}
"""Statements without an operator of torch."""
OF_TENSORS: Mapping[str, Callable[..., Any]] = {
    "_convolution": _convolution,
    "size": lambda x, *axis: x.size(*axis) if axis else list(x.size()),
    "dim": lambda x: x.dim(),
    "len": len,
    "Int": _number(int),
    "IntImplicit": _number(int),
    "ScalarImplicit": _same,
    "Float": _number(float),
    "FloatImplicit": _number(float),
    "Bool": _number(bool),
    "__is__": operator.is_,
    "__isnot__": operator.is_not,
    "format": lambda text, *parts: text.format(*parts),
    "warn": lambda *_: None,
    "__getitem__": operator.getitem,
    "__contains__": operator.contains,
    "append": lambda values, one: values.append(one) or values,
    "list": list,
    "values": lambda mapping: list(mapping.values()),
    "keys": lambda mapping: list(mapping),
}
"""Functions of torch that are Python's here: sizes stay sizes, which may vary."""
OF_NUMBERS: Mapping[str, Callable[..., Any]] = {
    "add": lambda a, b, *_: a + b,
    "sub": lambda a, b, *_: a - b,
    "mul": operator.mul,
    "div": operator.truediv,
    "floordiv": operator.floordiv,
    "floor_divide": operator.floordiv,
    "remainder": operator.mod,
    "pow": operator.pow,
    "neg": operator.neg,
    "eq": operator.eq,
    "ne": operator.ne,
    "lt": operator.lt,
    "le": operator.le,
    "gt": operator.gt,
    "ge": operator.ge,
    "__and__": operator.and_,
    "__or__": operator.or_,
    "__not__": operator.not_,
    "sqrt": math.sqrt,
    "slice": _slice,
}
"""The same where none of the inputs is a tensor."""
