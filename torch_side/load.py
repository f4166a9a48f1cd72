"""Fill an existing module from a graph, by name, bit for bit."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

import torch_side.ops
from biport.errors import WeightError
from biport.graph import Graph
from biport.registry import discover
from biport.rewrite.biases import LoadReport
from torch_side.layers.recurrent import StackedRNN
from torch_side.registry import STATES
from torch_side.writing.ported import Ported

discover(torch_side.ops)


def load(module: nn.Module, graph: Graph) -> LoadReport:
    """Fill every parameter of ``module`` with the weights of the graph node of the same name.

    Weights only: settings are not compared. A single bias goes to ``bias_ih`` beside zeros in ``bias_hh``.
    Layer ``k`` of a plain `nn.LSTM`, `nn.GRU` or `nn.RNN` of several layers is the node ``name.lk``, as in
    `torch_side.read`.

    Raises:
        WeightError: a parameter gets nothing, a weight has no parameter, or shapes or dtypes differ. All of
            them are named, and the module is left as it was.
    """
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
        listed = "".join(f"\n  - {problem}" for problem in sorted(problems))
        raise WeightError(f"{type(module).__name__} and the graph do not go together:{listed}")
    with torch.no_grad():
        for name, array in wanted.items():
            targets[name].copy_(torch.tensor(array))
    return LoadReport(filled=tuple(node.name for node in graph.nodes if node.op.weights()))


def _shown(tensor: torch.Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {tuple(tensor.shape)}"


def _wanted(module: nn.Module, graph: Graph) -> dict[str, np.ndarray]:
    """The graph's weights under the names of the module's ``state_dict``."""
    wanted: dict[str, np.ndarray] = {}
    paths = module.paths if isinstance(module, Ported) else {}
    for node in graph.nodes:
        if type(node.op) in STATES:
            state = STATES.lookup(type(node.op), node.name)(node.op)
            path = paths.get(node.name, node.name)
            wanted |= {_tensor_path(module, path, key): array for key, array in state.items()}
    return wanted


def _tensor_path(module: nn.Module, path: str, key: str) -> str:
    """The path of a tensor; a plain `nn.LSTM` has no layer of ours around it, but may have several layers."""
    parts = dict(module.named_modules())
    parent, _, layer = path.rpartition(".l")
    attribute, _, name = key.partition(".")
    recurrent = attribute in ("lstm", "gru", "rnn")
    if recurrent and isinstance(parts.get(path), nn.RNNBase):
        return f"{path}.{name}"
    if recurrent and layer.isdecimal() and isinstance(parts.get(parent), nn.RNNBase):
        return f"{parent}.{name.replace('_l0', f'_l{layer}')}"
    stack = parts.get(path)
    if isinstance(stack, StackedRNN) and len(stack.cells) == 1:
        # A stack of one cell is that cell's layer to the graph.
        return f"{path}.cells.0.{key}"
    return f"{path}.{key}"
