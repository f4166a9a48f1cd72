"""A live model without the CTC layer that ends it; see `keras_side.reading.ctc`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Any

from keras_side.mapped import reader_of_live
from keras_side.reading.ctc import cut_note, predicted, says_ctc
from keras_side.recording.custom import OWN


def prediction_model(model: Any) -> Any:
    """What a live model is at inference: without the CTC layer that ends it, sharing all others; else itself.

    Raises:
        UnsupportedError: the layer takes several tensors that are computed, and which of them is the
            prediction nobody says.

    Example:
        >>> import keras
        >>> model = keras.Sequential([keras.Input((3, 2)), keras.layers.Dense(4)])
        >>> prediction_model(model) is model
        True
    """
    cut = live_prediction(model)
    return model if cut is None else cut[0]


def live_prediction(model: Any) -> tuple[Any, str] | None:
    """A live functional model without the CTC layer that ends it, with what was done; ``None`` without one.

    The model that is given shares all layers with this one.

    Raises:
        UnsupportedError: as `prediction_model`.
    """
    keras = sys.modules["keras"]
    if not isinstance(model, keras.Model) or not hasattr(model, "_inputs_struct"):
        return None
    ends = [one for one in model.outputs if _is_live_ctc(one._keras_history.operation)]
    if len(ends) != 1:
        return None
    (end,) = ends
    layer = end._keras_history.operation
    given = list({id(one): one for one in layer._inbound_nodes[0].input_tensors}.values())
    entrances = {id(one) for one in model.inputs}
    number = predicted(
        f"model {model.name!r}: layer {layer.name!r} ({type(layer).__name__})",
        [(one._keras_history.operation.name, id(one) in entrances) for one in given],
    )
    if number is None or any(node.operation in model.operations for node in layer._outbound_nodes):
        return None
    kept = list(
        {id(one): one for one in (given[number] if one is end else one for one in model.outputs)}.values()
    )
    needed = _live_behind(kept)
    taken = {id(one) for one in given}
    # An input that nobody ever read stays, as it does in a file.
    inputs = [one for one in model.inputs if id(one) in needed or id(one) not in taken]
    alone = [
        one._keras_history.operation.name for one in model.inputs if all(one is not own for own in inputs)
    ]
    cut = keras.Model(
        inputs if len(inputs) != 1 else inputs[0], kept if len(kept) != 1 else kept[0], name=model.name
    )
    return cut, cut_note(layer.name, type(layer).__name__, alone)


def _is_live_ctc(layer: Any) -> bool:
    keras = sys.modules["keras"]
    if not isinstance(layer, keras.Layer) or layer.weights or len(layer._inbound_nodes) != 1:
        return False
    if reader_of_live(layer) is not None:
        return False
    if type(layer) is keras.layers.Lambda:
        return says_ctc(layer.name, getattr(layer.function, "__name__", None))
    return not type(layer).__module__.startswith(OWN) and says_ctc(type(layer).__name__, layer.name)


def _live_behind(tensors: Sequence[Any]) -> set[int]:
    """The identities of the tensors that these come of, and of themselves."""
    known: set[int] = set()
    waiting = list(tensors)
    while waiting:
        tensor = waiting.pop()
        if id(tensor) in known:
            continue
        known.add(id(tensor))
        history = tensor._keras_history
        if history.operation is not None:
            waiting += history.operation._inbound_nodes[history.node_index].input_tensors
    return known
