"""Recurrent layers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, final

import numpy as np

from biport.errors import GraphError, WeightError
from biport.gates import LSTM_GATES
from biport.ops.base import Op, Tensor, check_array, check_choice, check_sizes, floats, need, parameter, take

MERGE_MODES = ("concat", "sum", "mul", "ave", None)

Gates = Mapping[str, np.ndarray]


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class LSTM(Op):
    """Long short-term memory over ``(N, T, I)``, with ``x[t]`` ``(N, I)`` and ``h``, ``c`` ``(N, H)``.

    At each step, with σ the sigmoid and one weight pair and bias pair a gate::

        i, f, o = σ(x Wᵀ + b_ih + h Rᵀ + b_hh)      c~ = tanh(x Wᵀ + b_ih + h Rᵀ + b_hh)
        c = f * c + i * c~                           h = o * tanh(c)

    Where the mask is false the step is skipped: ``h`` and ``c`` are carried over, and the output at
    that step repeats the previous output (zeros before the first valid step), or is zero with
    ``zero_output_for_mask``. A row with no valid step gives zeros.

    Args:
        input_size: I.
        hidden_size: H; Keras ``units``.
        reverse: walk from the last step to the first; the output stays in that order. Keras
            ``go_backwards``.
        return_sequences: give ``(N, T, H)``, every step's output, instead of ``(N, H)``, the last's.
        zero_output_for_mask: zeros at masked steps instead of the previous output.
        dropout: share of the inputs dropped in training; nothing at inference.
        recurrent_dropout: share of the states dropped in training; nothing at inference.
        weight_ih: ``{gate: (H, I)}`` for the gates i, f, o and c.
        weight_hh: ``{gate: (H, H)}``.
        bias_ih: ``{gate: (H,)}``, or ``None`` for a layer without biases.
        bias_hh: ``{gate: (H,)}``, or ``None`` where the framework keeps a single bias.

    Source: Hochreiter and Schmidhuber 1997 with the forget gate of Gers et al. 2000; the mask rules are
    those of Keras 3.15.
    """

    masked: ClassVar[Sequence[int]] = (0,)

    input_size: int
    hidden_size: int
    reverse: bool = False
    return_sequences: bool = False
    zero_output_for_mask: bool = False
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    weight_ih: Gates = parameter()
    weight_hh: Gates = parameter()
    bias_ih: Gates | None = parameter()
    bias_hh: Gates | None = parameter()

    def __post_init__(self) -> None:
        check_sizes(self.kind, input_size=self.input_size, hidden_size=self.hidden_size)
        if self.bias_hh is not None and self.bias_ih is None:
            raise WeightError(f"{self.kind}: bias_hh without bias_ih")
        shapes = {
            "weight_ih": (self.hidden_size, self.input_size),
            "weight_hh": (self.hidden_size, self.hidden_size),
            "bias_ih": (self.hidden_size,),
            "bias_hh": (self.hidden_size,),
        }
        for name, shape in shapes.items():
            gates = getattr(self, name)
            if gates is None and name.startswith("bias"):
                continue
            if not isinstance(gates, Mapping) or sorted(gates) != sorted(LSTM_GATES):
                raise WeightError(f"{self.kind}: {name} should have the gates {sorted(LSTM_GATES)}")
            for gate in LSTM_GATES:
                check_array(self.kind, f"{name}.{gate}", gates[gate], shape, self.dtype)

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (x,) = take(self, inputs, 1)
        need(self, x, 3, floats(self), self.input_size)
        lead = x.shape[:2] if self.return_sequences else x.shape[:1]
        return (Tensor((*lead, self.hidden_size), x.dtype),)


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Bidirectional(Op):
    """One recurrent layer walked both ways, ``(N, T, I)`` to ``(N, T, O)`` or ``(N, O)``.

    The backward half's sequence is turned back into time order before the two are merged: side by
    side (``concat``, O = H + H), ``sum``, ``mul``, ``ave`` (their mean), or left as two outputs
    (``None``). With ``return_sequences`` both halves give zeros at masked steps, as Keras forces.

    Args:
        forward: the layer that walks in time order.
        backward: the same kind of layer with ``reverse`` set.
        merge: one of ``concat``, ``sum``, ``mul``, ``ave`` and ``None``; Keras ``merge_mode``.
    """

    masked: ClassVar[Sequence[int]] = (0,)

    forward: LSTM
    backward: LSTM
    merge: str | None = "concat"

    def __post_init__(self) -> None:
        check_choice(self.kind, "merge", self.merge, MERGE_MODES)
        if self.forward.reverse or not self.backward.reverse:
            raise GraphError(f"{self.kind}: forward must not be reversed and backward must be")
        for name in ("input_size", "return_sequences", "zero_output_for_mask", "dtype"):
            one, two = getattr(self.forward, name), getattr(self.backward, name)
            if one != two:
                raise GraphError(f"{self.kind}: {name} is {one} forward and {two} backward")
        if self.forward.zero_output_for_mask != self.forward.return_sequences:
            raise GraphError(f"{self.kind}: zero_output_for_mask must be equal to return_sequences")
        if self.merge not in ("concat", None) and self.forward.hidden_size != self.backward.hidden_size:
            raise GraphError(f"{self.kind}: merge={self.merge} needs two halves of one hidden_size")

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        (one,), (two,) = self.forward.infer(inputs), self.backward.infer(inputs)
        if self.merge is None:
            return one, two
        if self.merge == "concat":
            width = self.forward.hidden_size + self.backward.hidden_size
            return (Tensor((*one.shape[:-1], width), one.dtype),)
        return (one,)

    @property
    def output_count(self) -> int:
        """Two where the halves are not merged."""
        return 2 if self.merge is None else 1

    def __repr__(self) -> str:
        mirrored = self.backward.settings() == self.forward.settings() | {"reverse": True}
        backward = "" if mirrored else f", backward={self.backward}"
        return f"{self.kind}({self.forward}{backward}, merge={self.merge})"
