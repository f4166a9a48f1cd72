"""The layer that is to read a sequence from its end."""

from __future__ import annotations

import dataclasses
import zlib
from typing import Any

import numpy as np

from biport import ops
from biport.ops import Cell


def bidirectional(cell: Cell, merge: str, init: str, seed: int, name: str) -> ops.Bidirectional:
    """``cell`` as the forward direction, and a backward one of its kind and size.

    Args:
        cell: a layer that scans forwards and gives no states.
        merge: of `biport.ops.MERGE_MODES`.
        init: ``"fresh"`` for new weights; otherwise the backward direction has the forward one's.
        seed: of new weights, beside the layer's name: they do not hang on what else is converted.
        name: the layer's.
    """
    own: dict[str, Any] = {}
    if init == "fresh":
        own = _fresh(cell, np.random.default_rng([seed, zlib.crc32(name.encode())]))
        # Nobody has trained these yet.
        own["learning"] = dataclasses.replace(cell.learning, frozen=frozenset())
    # A bidirectional layer gives zeros at masked steps, on every side.
    forward = dataclasses.replace(cell, zero_output_for_mask=cell.return_sequences)
    backward = dataclasses.replace(forward, reverse=True, **own)
    return ops.Bidirectional(forward=forward, backward=backward, merge=merge)


def _fresh(cell: Cell, rng: np.random.Generator) -> dict[str, Any]:
    """Weights as Keras begins with them: Glorot uniform, orthogonal over all gates, an LSTM's forget gate 1.

    Source: Keras 3.15, the defaults of ``keras/src/layers/rnn/``.
    """
    inputs, hidden = cell.input_size, cell.hidden_size
    width = len(cell.gates) * hidden
    bound = np.sqrt(6 / (inputs + width))
    first = rng.uniform(-bound, bound, (width, inputs))
    orthogonal, triangle = np.linalg.qr(rng.normal(size=(width, hidden)))
    second = orthogonal * np.sign(np.diag(triangle))
    zeros = np.zeros(width)
    stacked = {"weight_ih": first, "weight_hh": second, "bias_ih": zeros, "bias_hh": zeros}
    weights: dict[str, Any] = {
        name: _by_gate(cell, array) for name, array in stacked.items() if getattr(cell, name) is not None
    }
    if isinstance(cell, ops.LSTM) and cell.bias_ih is not None:
        weights["bias_ih"] = {**weights["bias_ih"], "f": np.ones(hidden, cell.dtype)}
    return weights


def _by_gate(cell: Cell, array: np.ndarray) -> dict[str, np.ndarray]:
    parts = np.split(array.astype(cell.dtype), len(cell.gates))
    return {gate: np.ascontiguousarray(part) for gate, part in zip(cell.gates, parts, strict=True)}
