"""What the attention layers of Keras share: how they are called, and when they are refused.

Their calls differ from other layers': a mask for each of their sequences, and settings that are arguments
of the call. What Keras 3.15 does with them (``keras/src/layers/layer.py``, ``Layer.__call__``): a mask that
is not given is the one the sequence carries when the model runs, whatever it was when it was built.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from biport.errors import FileError, UnsupportedError
from biport.ops import MultiHeadAttention, Op
from biport.ops.attention import OneHead
from keras_side.release import Release

CARRIED = object()
"""In place of a mask: the one its sequence carries."""


FIRST_OF_ONE_HEAD, FIRST_OF_MANY = (3, 11), (3, 15)
"""The releases from which on masks reach an attention, and count in it, as they do in 3.15."""
FIRST_OF_KERAS_2 = (2, 15)
"""Measured there, and in tf_keras since: masks count as in 3.15, but stay on the sequences."""


@dataclass(frozen=True)
class AttentionCall:
    """How an attention layer is called.

    Args:
        sequences: queries, values and, where they are given, keys.
        masks: for each of them the mask it was given, ``None`` for none, or `CARRIED`.
        settings: of the op.
        ends_masks: whether the call takes the masks off its sequences.
        attention_mask: which steps each query looks at, beside ``masks``; ``None`` for all.
    """

    sequences: Sequence[Any]
    masks: Sequence[Any]
    settings: Mapping[str, bool]
    ends_masks: bool = False
    attention_mask: Any = None


CallReader = Callable[[str, Sequence[Any], Mapping[str, Any]], AttentionCall]
"""``(owner, arguments, options) -> call``."""


def settings_of(owner: str, options: dict[str, Any]) -> dict[str, bool]:
    """Take the settings out of ``options``, of which nothing that matters may be left but tensors and masks.

    Raises:
        UnsupportedError: a setting is not a plain yes or no.
    """
    settings = {}
    for key, setting in (("use_causal_mask", "causal"), ("return_attention_scores", "return_scores")):
        value = options.pop(key, None) or False
        if value not in (True, False):
            raise UnsupportedError(owner, f"call argument {key}", value, (True, False))
        settings[setting] = bool(value)
    if options.get("training") in (None, False, True):
        # What it means is known to `keras_side.reading.apply_layer`.
        options.pop("training", None)
    return settings


def refuse_left(owner: str, options: Mapping[str, Any]) -> None:
    """Refuse call arguments that nobody took.

    Raises:
        UnsupportedError: there is one.
    """
    for key, value in options.items():
        if value is not None:
            shown = value if isinstance(value, bool | int | float | str) else "a tensor"
            raise UnsupportedError(owner, f"call argument {key}", shown, "calls without it")


def one_head_calls(owner: str, arguments: Sequence[Any], options: Mapping[str, Any]) -> AttentionCall:
    """``layer([query, value, key], mask=[query_mask, value_mask, key_mask])``; keys and masks may be missing.

    Raises:
        UnsupportedError: it is called with something else.
        FileError: Keras itself does not take this.
    """
    options = dict(options)
    settings = settings_of(owner, options)
    given = [*arguments, *([options.pop("inputs")] if "inputs" in options else [])]
    masks = options.pop("mask", None)
    refuse_left(owner, options)
    if len(given) != 1 or not isinstance(given[0], list) or len(given[0]) not in (2, 3):
        raise FileError(f"{owner}: is called with something else than a list of 2 or 3")
    sequences = given[0]
    if masks is None:
        return AttentionCall(sequences, [CARRIED] * len(sequences), settings)
    if not isinstance(masks, list) or len(masks) not in (2, 3):
        raise UnsupportedError(owner, "call argument mask", "one mask", "a list of 2 or 3")
    return AttentionCall(sequences, [*masks, None][: len(sequences)], settings)


def many_head_calls(owner: str, arguments: Sequence[Any], options: Mapping[str, Any]) -> AttentionCall:
    """``layer(query, value, key)``, by position or by name; the mask of the queries is the one they carry.

    Keras replaces a ``query_mask`` that is given, and takes the masks off all three
    (keras/src/layers/attention/multi_head_attention.py, ``call``).

    Raises:
        UnsupportedError: it is called with something else.
        FileError: Keras itself does not take this.
    """
    options = dict(options)
    settings = settings_of(owner, options)
    named = dict(zip(("query", "value", "key"), arguments, strict=False))
    named |= {name: options.pop(name) for name in ("query", "value", "key") if name in options}
    options.pop("query_mask", None)
    given = {name: options.pop(f"{name}_mask", None) for name in ("value", "key")}
    attention_mask = options.pop("attention_mask", None)
    refuse_left(owner, options)
    if len(arguments) > 3 or named.get("query") is None or named.get("value") is None:
        raise FileError(f"{owner}: is called with something else than a query, a value and a key")
    sequences = [named["query"], named["value"]]
    masks = [CARRIED, CARRIED if given["value"] is None else given["value"]]
    if named.get("key") is not None or given["key"] is not None:
        # A mask of the keys counts without keys too.
        sequences.append(named["value"] if named.get("key") is None else named["key"])
        masks.append(CARRIED if given["key"] is None else given["key"])
    return AttentionCall(sequences, masks, settings, ends_masks=True, attention_mask=attention_mask)


def refuse_weighted_padding(owner: str, op: Op, masked: bool, dtype: object) -> None:
    """Refuse a layer of one head over masked values in float64.

    There 1e9 less leaves a score its order, and a row of padding alone other weights than in float32.

    Raises:
        UnsupportedError: this is such a one.
    """
    if isinstance(op, OneHead) and masked and dtype == "float64":
        raise UnsupportedError(owner, "dtype", dtype, "float32 where the values have a mask")


def refuse_old(origin: Release, owner: str, op: Op, masked: bool) -> None:
    """Refuse attention of a Keras whose rules are not known.

    Args:
        origin: the Keras that wrote the model.
        owner: the layer, for errors.
        op: what it is read as.
        masked: whether it gets a mask.

    Raises:
        UnsupportedError: it is older.
    """
    first = FIRST_OF_ONE_HEAD if isinstance(op, OneHead) else FIRST_OF_MANY
    if origin.generation < 3:
        first = FIRST_OF_KERAS_2
        if isinstance(op, MultiHeadAttention) and op.return_scores and (masked or op.causal):
            # A query that is padding weighs all values alike there, and the scores carry a mask.
            supported = "its output alone, or neither masks nor causality, in models of Keras 2"
            raise UnsupportedError(owner, "call argument return_attention_scores", True, supported)
        if isinstance(op, MultiHeadAttention) and op.dropout and masked:
            # There that does not depend on the dropout.
            supported = "0, or an attention without masks, in models of Keras 2"
            raise UnsupportedError(owner, "dropout", op.dropout, supported)
    if masked and origin.before(*first) and len(origin.numbers) > 1:
        supported = f"attention without masks, or in models of Keras {first[0]}.{first[1]} and later"
        raise UnsupportedError(owner, "Keras", origin.version, supported)
