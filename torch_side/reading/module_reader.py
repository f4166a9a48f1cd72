"""From a module to a graph: the trace of its ``forward``, each statement read by who is registered for it."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Iterator, Sequence
from operator import getitem
from typing import Any

import torch
from torch import fx, nn

from biport.errors import BiportError, UnsupportedError, raise_unsupported
from biport.graph import Graph, Value
from biport.registry import label
from torch_side.layers.bidirectional import Bidirectional
from torch_side.layers.recurrent import Recurrent
from torch_side.reading.fx_reader import FxReader, Lazy, Poisoned
from torch_side.reading.operations import read_numbers, read_operation
from torch_side.registry import READERS, Call
from torch_side.run import evaluating, first_float
from torch_side.writing.ported import Ported


class Tracer(fx.Tracer):
    """Follows ``forward`` down to the modules there is a reader for, and to torch's own."""

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Whether ``m`` is read as a whole."""
        return type(m) in READERS or super().is_leaf_module(m, module_qualified_name)

    def iter(self, obj: fx.Proxy) -> Iterator[Any]:
        """What ``x, *states = self.lstm(...)`` unpacks: of our own layers it is known how much that is."""
        layer = self.root.get_submodule(str(obj.node.target)) if obj.node.op == "call_module" else None
        if isinstance(layer, Recurrent | Bidirectional) and layer.return_state:
            outputs = 2 if getattr(layer, "merge", "concat") is None else 1
            count = outputs + len(layer.state_sizes)
            return (self.create_proxy("call_function", getitem, (obj, i), {}) for i in range(count))
        return super().iter(obj)


def read_module(module: nn.Module, inputs: Sequence[Value] | None = None) -> tuple[Graph, FxReader, fx.Graph]:
    """What `torch_side.read` gives, the reader, which knows what each statement stands for, and the trace.

    Raises:
        UnsupportedModelError: all that is not supported, by submodule path or fx node.
        WeightError: weights hold NaN or infinite numbers.
        GraphError: layers do not suit each other.
    """
    owner = type(module).__name__
    raise_unsupported(owner, _disguised(module))
    with evaluating(module):
        traced = _trace(module)
    arguments = [node for node in traced.nodes if node.op == "placeholder"]
    reader = FxReader(module, _declared(module, arguments, inputs))
    outputs, problems = _visit(reader, traced)
    raise_unsupported(owner, problems)
    values = [_value(reader, node) for node in arguments if str(node.target) in reader.declared or node.users]
    origin = {"framework": "torch", "version": torch.__version__}
    return Graph(tuple(values), tuple(reader.nodes), outputs, origin), reader, traced


def _disguised(module: nn.Module) -> list[UnsupportedError]:
    """Submodules that compute something else than their class says."""
    problems = []
    for path, part in module.named_modules():
        owner = f"{type(module).__name__}: {path or 'the module itself'} ({type(part).__name__})"
        for setting, present in (
            ("forward hooks", part._forward_hooks or part._forward_pre_hooks),
            ("its own forward", "forward" in vars(part)),
        ):
            if present:
                problems.append(UnsupportedError(owner, setting, True, "modules without"))
    return problems


def _trace(module: nn.Module) -> fx.Graph:
    if isinstance(module, Ported):
        return module.graph
    try:
        return Tracer().trace(module)
    except BiportError:
        raise
    except Exception as error:
        # A user's forward can fail in any way once it meets torch.fx's stand-ins for tensors.
        reason = f"{type(error).__name__}: {error}"
        supported = "a forward that torch.fx can trace: no branches on values, no packing"
        raise UnsupportedError(type(module).__name__, "forward", reason, supported) from error


def _declared(
    module: nn.Module, arguments: list[fx.Node], inputs: Sequence[Value] | None
) -> dict[str, Value]:
    if inputs is None:
        inputs = [_cast(module, value) for value in getattr(module, "input_values", ())] or None
    if inputs is None:
        return {}
    if len(inputs) != len(arguments):
        names = [str(node.target) for node in arguments]
        raise UnsupportedError(type(module).__name__, "inputs", len(inputs), [f"one for each of {names}"])
    return {str(node.target): value for node, value in zip(arguments, inputs, strict=True)}


def _cast(module: nn.Module, value: Value) -> Value:
    """A float input in the module's dtype, which ``module.double()`` may have changed since writing."""
    first = first_float(module)
    if first is None or not value.dtype.startswith("float"):
        return value
    return dataclasses.replace(value, dtype=str(first.dtype).removeprefix("torch."))


def _value(reader: FxReader, node: fx.Node) -> Value:
    name = str(reader.bound[node])
    return Value(name, reader.tensors[name].shape, reader.tensors[name].dtype)


def _visit(reader: FxReader, traced: fx.Graph) -> tuple[tuple[str, ...], list[UnsupportedError]]:
    """Read every node; the names of the outputs, and everything that is not supported."""
    outputs: tuple[str, ...] = ()
    problems: list[UnsupportedError] = []
    for node in traced.nodes:
        if node in reader.bound:
            continue
        read_numbers(reader, node)
        try:
            if node.op == "output":
                outputs = _outputs(reader, node)
            elif node.op == "placeholder":
                _bind(reader, node)
            elif (origin := reader.origin(node)) is not None and origin.spelling is not None:
                read_operation(reader, node, origin.spelling)
            else:
                reader.bound[node] = _read_function(reader, node)(reader, node)
        except Poisoned:
            continue
        except UnsupportedError as error:
            problems.append(error)
    return outputs, problems


def _bind(reader: FxReader, node: fx.Node) -> None:
    if str(node.target).startswith("*"):
        raise UnsupportedError(reader.owner(node), "argument", str(node.target), "named arguments")
    optional = bool(node.args) and node.args[0] is not inspect.Signature.empty
    if not node.users and not optional and str(node.target) not in reader.declared:
        supported = "inputs that are used, or are described with read(module, inputs=...)"
        raise UnsupportedError(reader.owner(node), "input", f"{node.target}, unused", supported)
    reader.bind_argument(node)


def _read_function(reader: FxReader, node: fx.Node) -> Any:
    if node.op == "get_attr":
        raise UnsupportedError(
            reader.owner(node), "attribute", str(node.target), "parameters inside of torch's own layers"
        )
    key = type(reader.module(node)) if node.op == "call_module" else Call(node.target)
    if key not in READERS:
        alike = {label(known) for known in READERS if isinstance(known, Call) == isinstance(key, Call)}
        raise UnsupportedError(reader.owner(node), "operation", label(key), sorted(alike))
    return READERS.lookup(key, reader.owner(node))


def _outputs(reader: FxReader, node: fx.Node) -> tuple[str, ...]:
    (returned,) = node.args
    if isinstance(returned, (tuple, list)):
        return tuple(reader.value(node, item) for item in returned)
    bound = reader.look(returned)
    if isinstance(bound, tuple) and not any(isinstance(item, (Lazy, tuple)) for item in bound):
        return tuple(str(item) for item in bound)
    return (reader.value(node, returned),)
