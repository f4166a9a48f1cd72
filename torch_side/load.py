"""Fill an existing module from a graph, by name, bit for bit."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Iterable, Iterator
from typing import Any, Literal

import numpy as np
import torch
from torch import nn

import torch_side.ops
import torch_side.reading.aten
from biport.compare.settings import (
    check_settings_argument,
    differing_settings,
    layer_ops,
    said_elsewhere,
    unreadable,
)
from biport.errors import BiportError, InputError, SettingDifference, SettingsError, WeightError
from biport.graph import Graph, Value
from biport.log import logged
from biport.ops import Constant, Op
from biport.registry import discover
from biport.rewrite.biases import LoadReport
from biport.rewrite.simplify import simplify
from torch_side.reading.source import read_source
from torch_side.registry import STATES
from torch_side.writing.ported import Ported

discover(torch_side.ops)
discover(torch_side.reading.aten)


@logged("torch_side.load")
def load(
    module: nn.Module,
    graph: Graph,
    *,
    settings: Literal["check", "ignore"] = "check",
    example: Any = None,
) -> LoadReport:
    """Fill every parameter of ``module`` with the weights of the graph node of the same name.

    A single bias goes to ``bias_ih`` beside zeros in ``bias_hh``. Layer ``k`` of a plain `nn.LSTM`, `nn.GRU`
    or `nn.RNN` of several layers is the node ``name.lk``, as in `torch_side.read`.

    The settings of both are compared, each layer's and each activation's behind it. Not compared is what
    acts in training alone, how layers are wired, and which masks reach them; of a module that
    `torch_side.read` refuses, what its ``forward`` does with the layers neither: activations, directions
    added up, final states in place of sequences. `biport.verify` compares what the models compute.

    Args:
        module: with the names of the graph's nodes.
        graph: where the weights come from.
        settings: ``"ignore"`` fills layers that compute something else, too.
        example: how the module is called, as for `torch_side.read`; by default with the graph's inputs.

    Raises:
        WeightError: a parameter gets nothing, a weight has no parameter, or shapes or dtypes differ. All of
            them are named, and the module is left as it was.
        SettingsError: layers compute something else than the graph's, all named at once; likewise.
    """
    check_settings_argument(settings)
    # remove_duplicate=False: a tied parameter is reachable, and must agree, under each of its names.
    targets: dict[str, torch.Tensor] = dict(module.named_parameters(remove_duplicate=False))
    targets |= module.named_buffers(remove_duplicate=False)
    wanted = _wanted(module, graph)
    problems = [f"the graph has no weights for {name}" for name in targets.keys() - wanted.keys()]
    problems += [f"the module has no {name}" for name in wanted.keys() - targets.keys()]
    for name in targets.keys() & wanted.keys():
        expected, given = _shown(targets[name]), _shown(torch.from_numpy(wanted[name]))
        if expected != given:
            problems.append(f"{name} should be {expected}, found {given}")
    if problems:
        listed = "; ".join(sorted(problems))
        raise WeightError(f"{type(module).__name__} and the graph do not go together: {listed}")
    if settings == "check":
        with _finite(targets.values()):
            differences = _differing(module, graph, example)
        if differences:
            raise SettingsError(type(module).__name__, differences)
    with torch.no_grad():
        for name, array in wanted.items():
            targets[name].copy_(torch.tensor(array))
    filled = (node.name for node in graph.nodes if node.op.weights().keys() - node.op.constant_weights())
    return LoadReport(filled=tuple(filled))


@contextlib.contextmanager
def _finite(tensors: Iterable[torch.Tensor]) -> Iterator[None]:
    """Have a module be read whose weights, about to be replaced, hold NaN or infinite numbers."""
    spoiled = [tensor for tensor in tensors if not torch.isfinite(tensor).all()]
    before = [tensor.detach().clone() for tensor in spoiled]
    with torch.no_grad():
        for tensor in spoiled:
            tensor.zero_()
        try:
            yield
        finally:
            for tensor, values in zip(spoiled, before, strict=True):
                tensor.copy_(values)


def _differing(module: nn.Module, graph: Graph, example: Any) -> list[SettingDifference]:
    """The settings in which a module differs from a graph, whose weights fit it."""
    knows = hasattr(module, "input_values")
    for called in [example] if knows or example is not None else [graph.inputs, None]:
        try:
            return differing_settings(layer_ops(simplify(read_source(module, called))), simplify(graph))
        except InputError:
            # It takes other inputs than the graph.
            continue
        except BiportError:
            break
    return _differing_layers(module, graph)


class _Alone(nn.Module):
    """A layer by itself."""

    def __init__(self, layer: nn.Module) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """What the layer makes of one sequence."""
        return self.layer(x)[0] if isinstance(self.layer, nn.RNNBase) else self.layer(x)


SAID_BY_FORWARD = ("mask_zero", "merge", "return_sequences", "zero_output_for_mask")
"""Settings of an op that a layer of torch itself does not have, and its module's ``forward`` makes so."""


def _differing_layers(module: nn.Module, graph: Graph) -> list[SettingDifference]:
    """The same, of a module whose ``forward`` cannot be read: of each layer by itself."""
    nodes = {node.name: node for node in graph.nodes}
    known: dict[str, Op] = {}
    unknown: dict[str, Collection[str]] = {}
    differences: list[SettingDifference] = []
    for path, layer in module.named_modules():
        first = nodes.get(path, nodes.get(f"{path}.l0"))
        if first is None or not first.op.weights() or not first.inputs:
            continue
        x = graph.tensors[first.inputs[0]]
        try:
            alone = read_source(_Alone(layer), Value("x", x.shape, x.dtype))
        except BiportError as problem:
            differences += unreadable(path, problem, first.op)
            continue
        for node in alone.nodes:
            name = path + node.name.removeprefix("layer")
            known[name] = node.op
            plain = type(layer).__module__.startswith("torch.nn.")
            unknown[name] = (*said_elsewhere(node.op, first.op), *(SAID_BY_FORWARD if plain else ()))
    return [*differences, *differing_settings(known, graph, unknown)]


def _shown(tensor: torch.Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"


def _wanted(module: nn.Module, graph: Graph) -> dict[str, np.ndarray]:
    """The graph's weights under the names of the module's ``state_dict``."""
    wanted: dict[str, np.ndarray] = {}
    paths = module.paths if isinstance(module, Ported) else {}
    buffers = dict(module.named_buffers(remove_duplicate=False))
    for node in graph.nodes:
        if type(node.op) in STATES:
            state = STATES.lookup(type(node.op), node.name)(node.op)
            path = paths.get(node.name, node.name)
            if isinstance(node.op, Constant) and path not in buffers:
                # It stands as a number in the code.
                continue
            wanted |= {_tensor_path(module, path, key): array for key, array in state.items()}
    return wanted


def _tensor_path(module: nn.Module, path: str, key: str) -> str:
    """The path of a tensor; layer ``k`` of an `nn.LSTM` of several is the node ``name.lk``."""
    if not key:
        return path
    parent, _, layer = path.rpartition(".l")
    if layer.isdecimal() and isinstance(dict(module.named_modules()).get(parent), nn.RNNBase):
        return f"{parent}.{key.replace('_l0', f'_l{layer}')}"
    return f"{path}.{key}"
