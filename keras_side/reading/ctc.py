"""Layers that compute a CTC loss while a model is trained: cut off, what they are given is the prediction.

A model with such a layer takes the labels, and often lengths, beside what it reads; at inference people make
another model of it that ends at the layer in front. Here it is told by what it is: a layer of somebody's own,
or a Lambda, that is called CTC and takes inputs of the model beside one tensor that is computed. None of its
code is run, nor is it needed.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from biport.errors import UnsupportedError
from keras_side.code_needed import CodeNeededError
from keras_side.reading.apply_layer import reader_of
from keras_side.reading.config_entries import Layer, histories, model_layers, own_call, renumbered, tensors_of
from keras_side.reading.mask_expressions import is_operation
from keras_side.records import MODELS, Variables

Key = tuple[str, int, int]
"""``(layer, call, output)`` of a tensor."""

_CALLED_CTC = re.compile("CTC|(?<![A-Za-z])[Cc][Tt][Cc]|(?<=[a-z0-9])Ctc")


def says_ctc(*names: object) -> bool:
    """Whether one of these names has the word in it.

    Example:
        >>> [says_ctc(name) for name in ("CTCLayer", "my_ctc_loss", "CtcLoss", "DirectConv")]
        [True, True, True, False]
    """
    return any(isinstance(name, str) and _CALLED_CTC.search(name) is not None for name in names)


@dataclass(frozen=True)
class Prediction:
    """A functional model without its CTC layer.

    Args:
        layer: what that layer is called.
        class_name: of it.
        inputs: those of its inputs that it needs.
        outputs: with what the layer was given in place of what it gives.
        dropped: calls that nothing needs now, the layer's own and those of its inputs among them.
        note: what was done, for people.
    """

    layer: str
    class_name: str
    inputs: Sequence[Key]
    outputs: Sequence[Key]
    dropped: frozenset[tuple[str, int]]
    note: str


def prediction(
    layers: Mapping[str, Layer], inputs: Sequence[Key], outputs: Sequence[Key]
) -> Prediction | None:
    """A functional model without the CTC layer that ends it; ``None`` where none does.

    Args:
        layers: by name.
        inputs: of the model.
        outputs: of the model, as calls in its file.

    Raises:
        UnsupportedError: the layer takes several tensors that are computed, and which of them is the
            prediction nobody says.
    """
    named = [(key, layers[key[0]]) for key in outputs if key[0] in layers]
    ends = [(key, layer) for key, layer in named if key[2] == 0 and len(layer.calls) == 1 and _is_ctc(layer)]
    if len(ends) != 1:
        return None
    ((end, layer),) = ends
    given = list(dict.fromkeys(tensors_of(layer.calls[0])))
    number = predicted(
        layer.owner,
        [(name, name in layers and layers[name].class_name == "InputLayer") for name, *_ in given],
    )
    others = [
        one
        for one in layers.values()
        if any(end[:2] == key[:2] for call in one.calls for key in tensors_of(call))
    ]
    if number is None or others:
        return None
    kept = list(dict.fromkeys(given[number] if key == end else key for key in outputs))
    dropped = _behind([end], layers) - _behind(kept, layers)
    needed = [key for key in inputs if key[:2] not in dropped]
    alone = [name for name, *_ in inputs if (name, 0) in dropped]
    note = cut_note(layer.name, layer.class_name, alone)
    return Prediction(layer.name, layer.class_name, needed, kept, frozenset(dropped), note)


def _is_ctc(layer: Layer) -> bool:
    function = layer.config.get("function")
    called = function.get("config") if isinstance(function, Mapping) else function
    return (
        says_ctc(layer.class_name, layer.name, called)
        and layer.mapping is None
        and not is_operation(layer.module)
        and isinstance(_refusal(layer), CodeNeededError)
        and not layer.variables.count()
    )


def _refusal(layer: Layer) -> UnsupportedError | None:
    if layer.problem is None and layer.class_name not in (*MODELS, "InputLayer"):
        try:
            reader_of(layer)
        except UnsupportedError as problem:
            return problem
    return layer.problem


def predicted(owner: str, given: Sequence[tuple[str, bool]]) -> int | None:
    """Which of the tensors that a CTC layer is given is the prediction.

    Args:
        owner: how errors call the layer.
        given: for each the layer that it comes of, and whether that is an input of the model.
    """
    computed = [number for number, (_, is_input) in enumerate(given) if not is_input]
    if not computed or len(computed) == len(given):
        return None
    if len(computed) > 1:
        raise UnsupportedError(
            owner,
            "call",
            f"several tensors that are computed: {', '.join(given[number][0] for number in computed)}",
            "one, the prediction, beside inputs of the model; or the model that ends in front of this layer",
        )
    return computed[0]


def _behind(keys: Iterable[Key], layers: Mapping[str, Layer]) -> set[tuple[str, int]]:
    """The calls that these tensors come of."""
    calls: set[tuple[str, int]] = set()
    waiting = [key[:2] for key in keys]
    while waiting:
        name, index = waiting.pop()
        if (name, index) in calls:
            continue
        calls.add((name, index))
        own = layers[name].calls if name in layers else []
        waiting += [key[:2] for key in tensors_of(own[index])] if 0 <= index < len(own) else []
    return calls


def cut_note(name: str, class_name: str, dropped: Sequence[str]) -> str:
    """What was done, for people: that the layer was cut off, and inputs that it alone took."""
    alone = f", and with it what it alone took: {', '.join(map(repr, dropped))}" if dropped else ""
    return f"layer {name!r} ({class_name}) computes the loss of training and was cut off{alone}"


def ending(owner: str, config: Mapping[str, Any], variables: Variables) -> Prediction | None:
    """A model of a file without the CTC layer that ends it; ``None`` where none does.

    Args:
        owner: how errors call the file.
        config: of the model, in the words of Keras 3.
        variables: its weights.

    Raises:
        UnsupportedError: as `prediction`.
    """
    settings = config.get("config")
    entries = settings.get("layers") if isinstance(settings, Mapping) else None
    if not isinstance(settings, Mapping) or not isinstance(entries, list) or "output_layers" not in settings:
        return None
    layers = {layer.name: layer for layer in renumbered(list(model_layers(owner, entries, variables)))}
    inputs = [*histories(owner, settings.get("input_layers"))]
    outputs = [own_call(key, layers) for key in histories(owner, settings["output_layers"])]
    return prediction(layers, inputs, outputs)


def stand_ins(keras: Any, class_name: str, registered_name: str = "") -> dict[str, type]:
    """A class in place of that of a CTC layer, by the names that a file may have for it.

    Keras needs some class to load the file with; what this one gives is cut off then.

    Args:
        keras: ``keras``, or ``tf_keras``.
        class_name: of the layer; a `Lambda` needs none.
        registered_name: likewise.
    """

    class StandIn(keras.layers.Layer):
        """In place of the layer."""

        def __init__(self, name: str | None = None, **_: Any) -> None:
            super().__init__(name=name)

        def call(self, *arguments: Any, **named: Any) -> Any:
            """The first tensor of the call."""
            return next(one for one in _flat([*arguments, *named.values()]) if hasattr(one, "shape"))

    kind = type(class_name, (StandIn,), {"__module__": "ctc"})
    return dict.fromkeys({class_name, registered_name or class_name, f"Custom>{class_name}"}, kind)


def _flat(items: Sequence[Any]) -> list[Any]:
    return [one for item in items for one in (_flat(item) if isinstance(item, list | tuple) else [item])]
