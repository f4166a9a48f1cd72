"""What a layer's configuration says of training: frozen weights, regularisers <-> `ops.Learning`.

Keras 3 trains a layer inside another one that is not ``trainable`` unless the one inside says so itself, as
it does where somebody has set ``layer.trainable = False`` (keras/src/layers/layer.py of 3.15, the setter of
``trainable``, and ``trainable_variables``). Up to Keras 2 both count; `keras_side.legacy` says so of what is
inside.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from operator import attrgetter
from typing import Any, TypeVar

from biport import ops
from biport.errors import GraphError, shown
from biport.graph import Graph, owners
from biport.ops import Learning, Op, Penalty
from biport.ops.attention import PROJECTIONS
from biport.ops.conv_lstm import CONV_LSTMS
from biport.ops.convolution import CONVOLUTIONS, TRANSPOSED
from keras_side.records import OF_WEIGHTS

AFFINE = {"gamma": ("weight",), "beta": ("bias",)}
KERNEL = {"kernel": ("weight",), "bias": ("bias",)}
# A kernel has the first of these names in a layer that is depthwise, the second in any other.
CONVOLUTION = {"depthwise": ("weight",), **KERNEL}
SEPARABLE = {
    "depthwise": ("depthwise.weight",),
    "pointwise": ("pointwise.weight",),
    "bias": ("pointwise.bias",),
}
CONV_LSTM = {"kernel": ("weight_ih",), "recurrent": ("weight_hh",), "bias": ("bias",)}
CELL = {"kernel": ("weight_ih",), "recurrent": ("weight_hh",), "bias": ("bias_ih", "bias_hh")}

WEIGHTS: Mapping[type[Op], Mapping[str, Sequence[str]]] = {
    ops.BatchNormalization: AFFINE,
    **dict.fromkeys(CONVOLUTIONS.values(), CONVOLUTION),
    **dict.fromkeys(TRANSPOSED.values(), KERNEL),
    ops.SeparableConv1D: SEPARABLE,
    ops.SeparableConv2D: SEPARABLE,
    ops.Dense: KERNEL,
    ops.Embedding: {"embeddings": ("weight",)},
    ops.GRU: CELL,
    ops.GroupNormalization: AFFINE,
    ops.LSTM: CELL,
    ops.LayerNormalization: AFFINE,
    ops.MultiHeadAttention: {
        "kernel": tuple(f"{part}_weight" for part in PROJECTIONS),
        "bias": tuple(f"{part}_bias" for part in PROJECTIONS),
    },
    ops.PReLU: {"alpha": ("alpha",)},
    ops.RNN: CELL,
    **dict.fromkeys(CONV_LSTMS.values(), CONV_LSTM),
}
"""What the settings of Keras begin with, and the fields of the op that they are about, or of its parts."""

PENALTIES: Mapping[str, Mapping[str, float]] = {
    "L1": {"l1": 0.01},
    "L2": {"l2": 0.01},
    "L1L2": {"l1": 0.0, "l2": 0.0},
    "L1L2Regularizer": {"l1": 0.0, "l2": 0.0},
    "WeightRegularizer": {"l1": 0.0, "l2": 0.0},
}
"""Regularisers of Keras 3 and 2, and of Keras 1, with the defaults of their settings."""

OpType = TypeVar("OpType", bound=Op)
MODULES = ("keras", "tensorflow", "tf_keras")
MAX_TEXT = 120


def read_learning(op: OpType, config: Mapping[str, Any]) -> OpType:
    """The op with what the configuration of its layer says of training; its parts have theirs."""
    own, penalties, unported = WEIGHTS.get(type(op), {}), {}, []
    for key, value in config.items():
        weight, _, kind = key.rpartition("_")
        if key not in OF_WEIGHTS or kind == "initializer" or value is None:
            continue
        penalty = _penalty(value) if kind == "regularizer" and weight in own else None
        if penalty is None:
            unported.append(f"{key}: {_text(value)}")
        else:
            penalties |= {path: penalty for path in own[weight] if _has(op, path)}
    activity = None
    if (value := config.get("activity_regularizer")) is not None:
        # One of many heads adds up what it says for the projections inside.
        activity = None if isinstance(op, ops.MultiHeadAttention) else _penalty(value)
        unported += [f"activity_regularizer: {_text(value)}"] if activity is None else []
    inside = "cell" in config  # An RNN around one cell, which has said of itself what it says.
    frozen = _own_weights(op) if config.get("trainable") is False and not inside else []
    before = op.all_learning()
    known = before | {"": before.get("", Learning())}
    known[""] = dataclasses.replace(
        known[""], activity=activity or known[""].activity, unported=(*known[""].unported, *unported)
    )
    for part in {"", *(path.rpartition(".")[0] for path in (*frozen, *penalties))}:
        about = known.get(part, Learning())
        known[part] = dataclasses.replace(
            about,
            frozen=about.frozen.union(_of_part(part, dict.fromkeys(frozen, True))),
            penalties={**about.penalties, **_of_part(part, penalties)},
        )
    known = {part: learning for part, learning in known.items() if learning}
    return op if known == before else op.with_learning(known)


def _of_part(part: str, about: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of the weights of a part, by its fields; of the op's own for ""."""
    split = {path: path.rpartition(".") for path in about}
    return {name: about[path] for path, (owner, _, name) in split.items() if owner == part}


def _has(op: Op, path: str) -> bool:
    return attrgetter(path)(op) is not None


def _own_weights(op: Op) -> list[str]:
    """The fields that hold the weights of the layer itself, be it in a part of the op.

    A `Parameter` says of itself whether it is trained.
    """
    if isinstance(op, ops.Parameter):
        return []
    fields = {path.partition(".")[0] for path in op.weights()} - set(op.constants)
    inside = [path for paths in WEIGHTS.get(type(op), {}).values() for path in paths if "." in path]
    own = fields - {path.partition(".")[0] for path in op.parts()}
    return sorted(own.union(path for path in inside if _has(op, path)))


def _penalty(value: Any) -> Penalty | None:
    """A regulariser of Keras'; ``None`` for any other."""
    match value:
        case {"class_name": str(name), "config": Mapping() as settings}:
            module = str(value.get("module") or "keras").split(".")[0]
            own = module in MODULES and not value.get("registered_name")
        case {"name": str(name)}:
            own, settings = True, {key: number for key, number in value.items() if key != "name"}
        case _:
            return None
    if not own or name not in PENALTIES or settings.keys() - PENALTIES[name].keys():
        return None
    try:
        return Penalty(**{**PENALTIES[name], **settings})
    except GraphError:
        return None


def _text(value: Any) -> str:
    """A setting for people to read: ``MaxNorm(max_value=2, axis=0)``."""
    match value:
        case {"class_name": "function", "config": str(text)}:
            pass
        case {"class_name": str(name), "config": Mapping() as settings} if name.isidentifier():
            text = f"{name}({', '.join(f'{key}={shown(part)}' for key, part in settings.items())})"
        case _:
            text = shown(value)
    text = text if text.isprintable() else repr(text)
    return text if len(text) <= MAX_TEXT else f"{text[:MAX_TEXT]}..."


def written_learning(op: Op, class_name: str) -> dict[str, Any]:
    """The settings that tell a layer of this class how its weights are trained, those inside not included."""
    settings: dict[str, Any] = {}
    depthwise = class_name.startswith("Depthwise")
    for weight, fields in WEIGHTS.get(type(op), {}).items():
        if isinstance(op, ops.Convolution) and weight == ("kernel" if depthwise else "depthwise"):
            continue
        if (penalty := _joint(op, fields)) is not None:
            settings[f"{weight}_regularizer"] = _regularizer(penalty)
    if op.learning.activity is not None:
        settings["activity_regularizer"] = _regularizer(op.learning.activity)
    if _is_frozen(op):
        settings["trainable"] = False
    return settings


def _joint(op: Op, fields: Sequence[str]) -> Penalty | None:
    """The penalty of what is one variable in Keras; ``None`` where its parts do not have the same."""
    known = [(_learning_of(op, path), path.rpartition(".")[2]) for path in fields if _has(op, path)]
    there = [learning.penalties.get(name) for learning, name in known]
    return there[0] if there and all(penalty == there[0] for penalty in there) else None


def _learning_of(op: Op, path: str) -> Learning:
    """What is said of the op that has a weight: this one, or a part of it."""
    part = path.rpartition(".")[0]
    return op.parts()[part].learning if part else op.learning


def _frozen(op: Op) -> list[str]:
    """Those of the weights of its own that are."""
    return [path for path in _own_weights(op) if path.rpartition(".")[2] in _learning_of(op, path).frozen]


def _is_frozen(op: Op) -> bool:
    own = _own_weights(op)
    return bool(own) and _frozen(op) == own


def _regularizer(penalty: Penalty) -> dict[str, Any]:
    return {
        "module": "keras.regularizers",
        "class_name": "L1L2",
        "config": dataclasses.asdict(penalty),
        "registered_name": None,
    }


def unwritten(graph: Graph) -> list[str]:
    """What Keras cannot be told of how weights are trained, a line each: ``node: what``."""
    return [line for name, op in owners(graph).items() for line in _unwritten(name, op)]


def _unwritten(path: str, op: Op) -> list[str]:
    inside = [line for name, part in op.parts().items() for line in _unwritten(f"{path}.{name}", part)]
    lines, learning = [], op.learning
    if (frozen := sorted({*learning.frozen, *_frozen(op)})) and not _is_frozen(op):
        lines.append(f"{', '.join(frozen)} frozen, but not all weights of the layer")
    if isinstance(op, ops.MultiHeadAttention) and _is_frozen(op):
        lines.append("frozen, which Keras forgets when it loads a MultiHeadAttention")
    written = {
        name
        for fields in WEIGHTS.get(type(op), {}).values()
        if _joint(op, fields) is not None
        for name in fields
    }
    lines += [f"a penalty for {name}" for name in sorted(learning.penalties.keys() - written)]
    return [f"{path}: {line}" for line in (*lines, *learning.unported)] + inside
