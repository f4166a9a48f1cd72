"""Whether two layers of one name compute the same from the same weights: their settings, one by one.

Not compared is what says nothing of the numbers a layer computes: dropout rates and whatever else acts in
training alone, whether a layer gives its states or scores as well, and `zero_output_for_mask` of a layer
that gets no mask.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any

import numpy as np

from biport import ops
from biport.errors import BiportError, InputError, SettingDifference, UnsupportedError, UnsupportedModelError
from biport.graph import Graph, Node, body_of
from biport.ops import Op
from biport.registry import snake_case

FURTHER_OUTPUTS = ("return_state", "return_scores")
"""Settings that say which outputs there are beside the first."""

WIRING = {"arguments", "body", "calls", "results"}
"""Settings that say what the step of a `biport.ops.Scan` is."""

AXES = ("axis", "axes")
"""Settings that count axes, from either end."""


def check_settings_argument(settings: str) -> None:
    """Refuse what is no way of a ``load`` to treat differing settings.

    Raises:
        InputError: it is neither ``"check"`` nor ``"ignore"``.
    """
    if settings not in ("check", "ignore"):
        raise InputError(f"settings should be 'check' or 'ignore', found {settings!r}")


def layer_ops(graph: Graph) -> dict[str, Op]:
    """What each node computes, with what only the nodes around it say taken in.

    An activation that is the one use of a linear layer is that layer's own, and a table whose padding ids
    are masked has `mask_zero`, whoever compares the ids.

    Example:
        >>> from biport.graph import Value
        >>> dense = ops.Dense(input_size=3, output_size=2, weight=np.ones((2, 3), "float32"), bias=None)
        >>> nodes = Node("one", dense, ("x",)), Node("two", ops.Activation(function="tanh"), ("one",))
        >>> layer_ops(Graph((Value("x", ("N", 3), "float32"),), nodes, ("two",)))["one"].activation
        'tanh'
    """
    users: dict[str, list[Op]] = {name: [] for name in graph.outputs}
    given = set(graph.outputs)
    for node in graph.nodes:
        for value in node.inputs:
            users.setdefault(value, []).append(node.op)
    compared = {node.inputs[0] for node in graph.nodes if node.op == ops.NotEqual()}
    return {node.name: _settled(node, users, given, compared) for node in graph.nodes}


def _settled(
    node: Node, users: Mapping[str, list[Op]], given: Collection[str], compared: Collection[str]
) -> Op:
    match node.op:
        case ops.Embedding(mask_zero=False) if node.inputs[0] in compared:
            return dataclasses.replace(node.op, mask_zero=True)
        case ops.Dense(activation="linear") | ops.Convolution(activation="linear"):
            (output,) = node.outputs
            then = users.get(output, [])
            function = activation_of(then[0]) if len(then) == 1 and output not in given else None
            return dataclasses.replace(node.op, activation=function or "linear")
    return node.op


def activation_of(op: Op) -> str | None:
    """The activation of `biport.ops.ACTIVATIONS` that an op computes; ``None`` where it is none of them."""
    match op:
        case ops.Activation(function=function):
            return function
        case ops.ReLU(max_value=None, negative_slope=0, threshold=0):
            return "relu"
        case ops.ReLU(max_value=6, negative_slope=0, threshold=0):
            return "relu6"
        case ops.LeakyReLU(negative_slope=slope) if _same(slope, 0.2):
            return "leaky_relu"
        case ops.ELU(alpha=1):
            return "elu"
        case ops.Softmax(axis=-1):
            return "softmax"
    return None


def differing_settings(
    target: Mapping[str, Op], graph: Graph, unknown: Mapping[str, Collection[str]] | None = None
) -> list[SettingDifference]:
    """Where layers of a model and nodes of a graph, of the same names, compute something else.

    Nodes without weights are compared where they have a name that somebody gave them; what frameworks call
    layers by themselves, ``activation_1``, says nothing.

    Args:
        target: what the model's layers compute, by name, see `layer_ops`.
        graph: the graph.
        unknown: settings of layers that nothing is known about, by name.

    Example:
        >>> from biport.graph import Value
        >>> def dense(activation):
        ...     weight = np.ones((2, 3), "float32")
        ...     return ops.Dense(input_size=3, output_size=2, activation=activation, weight=weight, bias=None)
        >>> head = Node("head", dense("tanh"), ("x",))
        >>> graph = Graph((Value("x", ("N", 3), "float32"),), (head,), ("head",))
        >>> print(*differing_settings({"head": dense("relu")}, graph))
        layer 'head': activation is 'relu', the graph's 'tanh'
    """
    unknown = unknown or {}
    wanted = layer_ops(graph)
    differences: list[SettingDifference] = []
    for node in graph.nodes:
        mine, yours = target.get(node.name), wanted[node.name]
        if mine is None or not (mine.weights() or yours.weights() or _is_own_name(node.name, mine, yours)):
            continue
        ignored = {*FURTHER_OUTPUTS, *unknown.get(node.name, ())}
        if not any(node.masks):
            ignored.add("zero_output_for_mask")
        rank = _rank(graph, node)
        differences += [
            SettingDifference(node.name, setting, one, two)
            for setting, one, two in _differing(mine, yours, rank)
            if setting.rpartition(".")[2] not in ignored
        ]
        differences += _forgetting(node, mine, yours)
        if isinstance(mine, ops.Scan) and isinstance(yours, ops.Scan):
            inside = differing_settings(layer_ops(body_of(mine)), body_of(yours))
            differences += [dataclasses.replace(one, layer=f"{node.name}.{one.layer}") for one in inside]
    return differences


def said_elsewhere(mine: Op, yours: Op) -> Collection[str]:
    """Settings of a layer, ``mine``, that other layers of its model may have in its stead."""
    match mine, yours:
        case ((ops.Dense(activation="linear") | ops.Convolution(activation="linear")), _):
            return ("activation",)
        case ops.Embedding(), ops.Embedding() if mine.mask_zero == yours.mask_zero:
            return ("mask_zero",)
    return ()


def unreadable(name: str, problem: BiportError, op: Op) -> list[SettingDifference]:
    """A layer that cannot be compared with the op of its name, by what stops it from being read."""
    if not isinstance(problem, UnsupportedError):
        return [SettingDifference(name, "layer", str(problem), op)]
    reasons = problem.problems if isinstance(problem, UnsupportedModelError) else [problem]
    return [
        SettingDifference(name, one.setting or "layer", one.value if one.setting else str(one), op)
        for one in reasons
    ]


def _rank(graph: Graph, node: Node) -> int:
    """The rank that the op's axes count in."""
    counted = node.outputs if isinstance(node.op, ops.ExpandDims | ops.Stack) else node.inputs
    return len(graph.tensors[counted[0]].shape) if counted else 0


def _is_own_name(name: str, *candidates: Op) -> bool:
    """Whether a name is none that a framework makes of the kind of layer."""
    last = name.rpartition(".")[2]
    return not any(re.fullmatch(rf"{snake_case(op.kind)}(_\d+)?", last) for op in candidates)


def _differing(mine: Op, yours: Op, rank: int, prefix: str = "") -> Iterator[tuple[str, Any, Any]]:
    """``(setting, mine, yours)``; the parts of an op by their paths, ``forward.activation``."""
    if mine.identity and yours.identity:
        return
    if type(mine) is not type(yours):
        one, two = activation_of(mine), activation_of(yours)
        if one is None or one != two:
            yield f"{prefix}layer", _described(mine), _described(yours)
        return
    # The layers of a step are compared by their names, like those of a graph.
    is_step = isinstance(mine, ops.Scan)
    parts, others = ({}, {}) if is_step else (mine.parts(), yours.parts())
    inner = WIRING if is_step else {path.partition(".")[0] for path in parts}
    settings, wanted = mine.settings(), yours.settings()
    for name in settings.keys() - inner - set(mine.training):
        one, two = settings[name], wanted[name]
        if name == "merge" and {one, two} <= {"concat", None}:
            # Side by side or not joined at all, the numbers are the same.
            continue
        in_any_order = name in AXES and not isinstance(mine, ops.PermuteDims)
        if not (_same_axes(one, two, rank) if in_any_order else _same(one, two)):
            yield prefix + name, one, two
    for name in mine.constants:
        one, two = getattr(mine, name), getattr(yours, name)
        if not _same_numbers(one, two):
            yield prefix + name, _shown(one), _shown(two)
    for path in parts.keys() & others.keys():
        yield from _differing(parts[path], others[path], rank, f"{prefix}{path}.")
    if len(parts) != len(others):
        yield f"{prefix}layers", len(parts), len(others)


def _described(op: Op) -> str:
    return activation_of(op) or (repr(op) if not op.weights() else op.kind)


def _same(one: Any, two: Any) -> bool:
    """Whether two settings are equal; numbers are as far as float32 tells them apart."""
    if isinstance(one, float) and isinstance(two, float):
        return np.float32(one) == np.float32(two)
    return one == two


def _same_numbers(one: np.ndarray, two: np.ndarray) -> bool:
    """Whether two constants are equal, floats as far as float32 tells them apart."""
    if one.shape != two.shape or one.dtype.kind != two.dtype.kind:
        return False
    return (
        np.array_equal(one.astype("float32"), two.astype("float32"))
        if one.dtype.kind == "f"
        else np.array_equal(one, two)
    )


def _shown(constant: np.ndarray) -> str:
    """A constant in a few words."""
    return np.array2string(constant, threshold=8, edgeitems=2)


def _same_axes(one: Any, two: Any, rank: int) -> bool:
    counted = [[value] if isinstance(value, int) else list(value) for value in (one, two)]
    return len({tuple(axis % rank for axis in axes) for axes in counted}) == 1


def _forgetting(node: Node, mine: Op, yours: Op) -> list[SettingDifference]:
    """Where a query that may look at no step is answered with nothing, or with the mean of all.

    Keras makes that depend on whether there is a dropout; see `biport.ops.MultiHeadAttention`.
    """
    if not isinstance(mine, ops.MultiHeadAttention) or not isinstance(yours, ops.MultiHeadAttention):
        return []
    if mine.forgets == yours.forgets or not any(node.masks):
        return []
    setting = "dropout" if mine.return_scores == yours.return_scores else "return_scores"
    return [SettingDifference(node.name, setting, getattr(mine, setting), getattr(yours, setting))]
