"""What training does with the weights of an op, as its module says it: ``requires_grad``, and penalties."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import nn

from biport.ops import Learning, Op, Penalty
from torch_side.registry import PARTS, STATES
from torch_side.state import shapes_of, sources


@dataclass(frozen=True)
class WeightPenalty:
    """What a weight of a module adds to the loss.

    Args:
        path: of the parameter.
        penalty: ``l1 Σ|w| + l2 Σw²``.
    """

    path: str
    penalty: Penalty


def frozen_tensors(op: Op) -> set[str]:
    """The names in the state of the op's module of what training leaves as it is."""
    frozen = op.frozen_weights()
    if not frozen:
        return set()
    by_name = _sources(op)
    names = {name for name, paths in by_name.items() if paths and paths <= frozen}
    # A second bias that is there because torch has two goes with the first.
    return names | {name for name, paths in by_name.items() if not paths and _first_bias(name) in names}


def _first_bias(name: str) -> str:
    return name.replace("bias_hh", "bias_ih")


def tensor_penalties(op: Op) -> dict[str, Penalty]:
    """By the names in the state of the op's module: what a tensor adds to the loss."""
    given = op.penalties()
    if not given:
        return {}
    penalties: dict[str, Penalty] = {}
    for name, paths in _sources(op).items():
        own = {given.get(path) for path in paths}
        # A tensor is of one field, all gates of it, and so are a penalty and what is frozen.
        if len(own) == 1 and (penalty := own.pop()) is not None:
            penalties[name] = penalty
    return penalties


def _sources(op: Op) -> dict[str, frozenset[str]]:
    """For each tensor of the module of an op the paths of the weights that its numbers are of."""
    if type(op) not in PARTS:
        return sources(op.kind, type(op), op.settings(), shapes_of(op))
    inside = op.parts()
    return {
        f"{path}.{name}".removesuffix("."): frozenset(f"{part}.{own}" for own in paths)
        for part, path in PARTS.lookup(type(op), op.kind)(op).items()
        for name, paths in _sources(inside[part]).items()
    }


def with_frozen(op: Op, trains: Mapping[str, bool]) -> Op:
    """The op with those weights frozen that its module does not train, and what it says beside.

    Args:
        op: the op.
        trains: for each parameter of its module, by its name in the state, whether it is trained. Of what is
            no parameter, such as statistics, stays what the op says.
    """
    if op.frozen_weights() or not all(trains.values()):
        by_name = {name: paths for name, paths in _sources(op).items() if paths and name in trains}
        now = {path: not trains[name] for name, paths in by_name.items() for path in paths}
        return op.with_learning(dict(_learning(op, now)))
    return op


def _learning(op: Op, now: Mapping[str, bool]) -> Iterator[tuple[str, Learning]]:
    """For the op and each of its parts, by their paths: what is said of it, with what is frozen now."""
    parts = op.parts()
    for prefix, part in parts.items():
        below = {
            path.removeprefix(f"{prefix}."): is_so
            for path, is_so in now.items()
            if path.startswith(f"{prefix}.")
        }
        for path, learning in _learning(part, below):
            yield f"{prefix}.{path}".rstrip("."), learning
    inside = tuple(f"{prefix}." for prefix in parts)
    own = {path: is_so for path, is_so in now.items() if not path.startswith(inside or ("\0",))}
    fields = {path.partition(".")[0] for path in own}
    frozen = {
        field
        for field in fields
        if all(is_so for path, is_so in own.items() if path.partition(".")[0] == field)
    }
    kept = op.learning.frozen - fields
    yield "", dataclasses.replace(op.learning, frozen=kept | frozen)


def as_trained(op: Op, module: nn.Module) -> Op:
    """An op that was read of a layer, with those weights frozen that the layer does not train.

    Where the layer's parameters are not named as in a module written for the op, as with several layers in
    one, nothing is frozen unless all of them are.
    """
    parameters = dict(module.named_parameters())
    if all(parameter.requires_grad for parameter in parameters.values()) or not op.weights():
        return op
    if type(op) in STATES:
        paths = _sources(op)
        if all(name in parameters for name, own in paths.items() if own & trained_paths(op)):
            return with_frozen(op, {name: one.requires_grad for name, one in parameters.items()})
    if any(parameter.requires_grad for parameter in parameters.values()):
        return op
    everything = dict.fromkeys(trained_paths(op), True)
    return op.with_learning(dict(_learning(op, everything)))


def trained_paths(op: Op) -> frozenset[str]:
    """The paths of the weights that a step of training changes."""
    return frozenset(op.weights()) - op.untrained_weights()
