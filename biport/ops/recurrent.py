"""Recurrent layers: one direction, several cells on top of each other, and both directions."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar, final

import numpy as np

from biport.dims import Dim
from biport.errors import GraphError, WeightError
from biport.ops.activation import ACTIVATIONS
from biport.ops.base import Op, parameter
from biport.ops.checks import check_array, check_choice, check_sizes, floats, need
from biport.ops.regularization import check_rate
from biport.ops.tensor import Tensor, same_dim

MERGE_MODES = ("concat", "sum", "mul", "ave", None)

Gates = Mapping[str, np.ndarray]
Item = TypeVar("Item")


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Recurrent(Op):
    """What every op shares that scans the time steps of ``(N, T, I)``; not an op by itself.

    Inputs are the sequence and, if wanted, the initial states, ``(N, H)`` each; without them they are
    zeros. Where the mask is false the step is skipped: the states are carried over, and the output at
    that step repeats the previous output (zeros before the first valid step, whatever the initial state),
    or is zero with ``zero_output_for_mask``. Some scan images, ``(N, T, H, W, I)``: of a step and of the
    states there may be further sizes between the rows and the features.

    Args:
        reverse: scan from the last step to the first; the output stays in that order. Keras
            ``go_backwards``.
        return_sequences: give ``(N, T, H)``, every step's output, instead of ``(N, H)``, the last's.
        return_state: give the final states as well, after the output.
        zero_output_for_mask: zeros at masked steps instead of the previous output.
    """

    masked: ClassVar[Sequence[int]] = (0,)

    goes_both_ways: ClassVar[bool] = True
    """Whether it may be a direction of a `Bidirectional`."""

    reverse: bool = False
    return_sequences: bool = False
    return_state: bool = False
    zero_output_for_mask: bool = False

    @property
    def sizes(self) -> tuple[int, int]:
        """I and H: the widths of the input and of the output."""
        raise NotImplementedError

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """The width of each state."""
        raise NotImplementedError

    def output_shape(self, step: Sequence[Dim]) -> tuple[Dim, ...]:
        """What a step gives, behind the rows, where ``step`` is the shape of x behind them.

        Raises:
            GraphError: such steps do not suit the op.
        """
        return self.sizes[1:]

    def state_shapes(self, step: Sequence[Dim]) -> tuple[tuple[Dim, ...], ...]:
        """Each state behind the rows, as `output_shape`."""
        return tuple((size,) for size in self.state_sizes)

    @property
    def rank(self) -> int:
        """How many sizes a step has behind the rows."""
        return 1

    @property
    def state_names(self) -> tuple[str, ...]:
        """What each state is called within the layer."""
        return tuple(f"state_{number}" for number in range(len(self.state_sizes)))

    @property
    def output_count(self) -> int:
        """One, and one more for each state that is given."""
        return 1 + (len(self.state_sizes) if self.return_state else 0)

    @property
    def constant_count(self) -> int:
        """How many of its inputs, the last, are given to every step as they are."""
        return 0

    def split(self, inputs: Sequence[Item]) -> tuple[Item, Sequence[Item], Sequence[Item]]:
        """The sequence, the initial states, all or none of them, and the constants."""
        first, behind = 1, len(inputs) - self.constant_count
        return inputs[0], inputs[first:behind], inputs[behind:]

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        x = _sequence(self, inputs, self.rank, self.sizes[0], len(self.state_sizes))
        check_states(self, inputs[1:], self.state_shapes(x.shape[2:]))
        return self.results_of(x)

    def results_of(self, x: Tensor) -> tuple[Tensor, ...]:
        """The output and the states that it gives, of a sequence that suits it."""
        lead, step = x.shape[:2] if self.return_sequences else x.shape[:1], x.shape[2:]
        states = [Tensor((x.shape[0], *shape), x.dtype) for shape in self.state_shapes(step)]
        return (
            Tensor((*lead, *self.output_shape(step)), x.dtype),
            *(states if self.return_state else ()),
        )


def _sequence(op: Op, inputs: Sequence[Tensor], rank: int, width: int, states: int) -> Tensor:
    """The first of the inputs, which are that or that and all states."""
    if len(inputs) not in (1, 1 + states):
        raise GraphError(f"{op.kind} takes 1 input, or {1 + states} with states, found {len(inputs)}")
    need(op, inputs[0], 2 + rank, floats(op), width)
    return inputs[0]


def check_states(op: Op, states: Sequence[Tensor], shapes: Sequence[Sequence[Dim]]) -> None:
    """Refuse initial states of other shapes behind the rows."""
    for state, shape in zip(states, shapes, strict=False):
        need(op, state, 1 + len(shape), floats(op), shape[-1])
        if not all(map(same_dim, state.shape[1:], shape)):
            raise GraphError(f"{op.kind} takes states of {(state.shape[0], *shape)}, found {state}")


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Cell(Recurrent):
    """A `Recurrent` op of one cell; not an op by itself.

    Args:
        input_size: I.
        hidden_size: H; Keras ``units``.
        activation: of the candidate and, in an `LSTM`, of the cell state on its way out; one of
            `ACTIVATIONS`.
        dropout: share of the inputs dropped in training; nothing at inference.
        recurrent_dropout: share of the states dropped in training; nothing at inference.
        weight_ih: ``{gate: (H, I)}``.
        weight_hh: ``{gate: (H, H)}``.
        bias_ih: ``{gate: (H,)}``, or ``None`` for a layer without biases.
        bias_hh: ``{gate: (H,)}``, or ``None`` where the framework keeps a single bias.
    """

    gates: ClassVar[tuple[str, ...]]
    states: ClassVar[tuple[str, ...]] = ("h",)
    training: ClassVar[Sequence[str]] = ("dropout", "recurrent_dropout")

    input_size: int
    hidden_size: int
    activation: str = "tanh"
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    weight_ih: Gates = parameter()
    weight_hh: Gates = parameter()
    bias_ih: Gates | None = parameter()
    bias_hh: Gates | None = parameter()

    def __post_init__(self) -> None:
        check_sizes(self.kind, input_size=self.input_size, hidden_size=self.hidden_size)
        check_choice(self.kind, "activation", self.activation, ACTIVATIONS)
        check_choice(self.kind, "recurrent_activation", self.recurrent, ACTIVATIONS)
        check_rate(self, self.dropout, "dropout")
        check_rate(self, self.recurrent_dropout, "recurrent_dropout")
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
            if not isinstance(gates, Mapping) or sorted(gates) != sorted(self.gates):
                raise WeightError(f"{self.kind}: {name} should have the gates {sorted(self.gates)}")
            for gate in self.gates:
                check_array(self.kind, f"{name}.{gate}", gates[gate], shape, self.dtype)

    @property
    def recurrent(self) -> str:
        """The activation of the gates; a cell without any has `activation` only."""
        return getattr(self, "recurrent_activation", self.activation)

    @property
    def sizes(self) -> tuple[int, int]:
        """I and H."""
        return self.input_size, self.hidden_size

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """H, once for each state."""
        return (self.hidden_size,) * len(self.states)

    @property
    def state_names(self) -> tuple[str, ...]:
        """``h`` and, of an LSTM, ``c``."""
        return self.states

    def sum_length(self, inputs: Sequence[Tensor]) -> int:
        return self.input_size + self.hidden_size

    @property
    def one_bias(self) -> bool:
        """Whether the two biases always act as their sum, so that a framework may keep just that."""
        return True


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class LSTM(Cell):
    """Long short-term memory, with ``x`` ``(N, I)`` one step and ``h``, ``c`` ``(N, H)`` the states.

    At each step, with ρ the recurrent activation, α the activation, one weight pair and bias pair a gate::

        i, f, o = ρ(x Wᵀ + b_ih + h Rᵀ + b_hh)      c~ = α(x Wᵀ + b_ih + h Rᵀ + b_hh)
        c = f * c + i * c~                           h = o * α(c)

    Args:
        recurrent_activation: of the gates i, f and o; one of `ACTIVATIONS`.

    Source: Hochreiter and Schmidhuber 1997 with the forget gate of Gers et al. 2000; the mask rules of
    every recurrent op are those of Keras 3.15.
    """

    gates: ClassVar[tuple[str, ...]] = ("i", "o", "f", "c")
    states: ClassVar[tuple[str, ...]] = ("h", "c")

    recurrent_activation: str = "sigmoid"


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class GRU(Cell):
    """Gated recurrent unit, with ``x`` ``(N, I)`` one step and ``h`` ``(N, H)`` the state.

    At each step, with ρ the recurrent activation, α the activation, one weight pair and bias pair a gate::

        z, r = ρ(x Wᵀ + b_ih + h Rᵀ + b_hh)
        h~ = α(x Wᵀ + b_ih + r * (h Rᵀ + b_hh))      with reset_after
        h~ = α(x Wᵀ + b_ih + (r * h) Rᵀ + b_hh)      without
        h = z * h + (1 - z) * h~

    Args:
        reset_after: where the reset gate acts; ONNX ``linear_before_reset``; always so in torch.
        recurrent_activation: of the gates z and r; one of `ACTIVATIONS`.

    Source: Cho et al. 2014 (``reset_after`` false); with ``reset_after`` the variant of cuDNN.
    """

    gates: ClassVar[tuple[str, ...]] = ("z", "r", "h")

    reset_after: bool = True
    recurrent_activation: str = "sigmoid"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.reset_after and (self.bias_ih is None) != (self.bias_hh is None):
            raise WeightError(f"{self.kind}: with reset_after it has two biases or none")

    @property
    def one_bias(self) -> bool:
        """Not with ``reset_after``: the reset gate acts on the second one alone."""
        return not self.reset_after


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class RNN(Cell):
    """The plain recurrence ``h = α(x Wᵀ + b_ih + h Rᵀ + b_hh)``; Keras ``SimpleRNN``.

    Source: Elman 1990.
    """

    gates: ClassVar[tuple[str, ...]] = ("h",)


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class StackedRNN(Recurrent):
    """Cells on top of each other, stepped together; Keras ``RNN(StackedRNNCells(...))``.

    Each cell reads the output of the one below at the same step, and a masked step is skipped by all of
    them. States are those of the first cell, then the second's, and so on.

    Args:
        cells: from the input up; their own settings of direction and of what is returned stay at their
            defaults, as the stack has them.
    """

    cells: tuple[Cell, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "cells", tuple(self.cells))
        if len(self.cells) < 2:
            given = "one: that is a layer by itself" if self.cells else "none"
            raise GraphError(f"{self.kind}: cells should be two or more, found {given}")
        for below, cell in zip(self.cells, self.cells[1:], strict=False):
            if cell.input_size != below.hidden_size or cell.dtype != below.dtype:
                raise GraphError(f"{self.kind}: {below} and {cell} do not go on top of each other")
        for cell in self.cells:
            for name in ("reverse", "return_sequences", "return_state", "zero_output_for_mask"):
                if getattr(cell, name):
                    raise GraphError(f"{self.kind}: {name} is a setting of the stack, not of {cell}")

    @property
    def sizes(self) -> tuple[int, int]:
        """I of the first cell and H of the last."""
        return self.cells[0].input_size, self.cells[-1].hidden_size

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """Those of all cells."""
        return tuple(size for cell in self.cells for size in cell.state_sizes)

    @property
    def state_names(self) -> tuple[str, ...]:
        """Those of all cells, each behind the number of its cell: ``0.h``, ``1.h``."""
        numbered = enumerate(self.cells)
        return tuple(f"{number}.{name}" for number, cell in numbered for name in cell.state_names)


def stacked(cells: Sequence[Cell], **settings: Any) -> Recurrent:
    """What steps with all of ``cells``: a `StackedRNN`, or of one cell the layer that it is.

    Args:
        cells: from the input up.
        settings: those of `Recurrent`.
    """
    if len(cells) == 1:
        return dataclasses.replace(cells[0], **settings)
    return StackedRNN(cells=tuple(cells), **settings)


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class Bidirectional(Op):
    """Two recurrent layers that scan ``(N, T, I)`` in both directions, to ``(N, T, O)`` or ``(N, O)``.

    The backward direction's sequence is turned back into time order before the two are merged: side by
    side (``concat``, O = H + H), ``sum``, ``mul``, ``ave`` (their mean), or left as two outputs
    (``None``). With ``return_sequences`` both directions give zeros at masked steps, as Keras forces. Initial
    and final states are the forward direction's, then the backward direction's.

    Args:
        forward: the layer that scans in time order.
        backward: a layer with ``reverse`` set; usually of the same kind and size.
        merge: one of ``concat``, ``sum``, ``mul``, ``ave`` and ``None``; Keras ``merge_mode``.
    """

    masked: ClassVar[Sequence[int]] = (0,)

    forward: Recurrent
    backward: Recurrent
    merge: str | None = "concat"

    def __post_init__(self) -> None:
        check_choice(self.kind, "merge", self.merge, MERGE_MODES)
        for direction in (self.forward, self.backward):
            if not isinstance(direction, Recurrent) or not direction.goes_both_ways:
                wanted = "cells or stacks; of other recurrences both directions are nodes of their own"
                raise GraphError(f"{self.kind}: directions should be {wanted}, found {direction}")
        if self.forward.reverse or not self.backward.reverse:
            raise GraphError(f"{self.kind}: forward must not be reversed and backward must be")
        for name in ("return_sequences", "return_state", "zero_output_for_mask", "dtype"):
            one, two = getattr(self.forward, name), getattr(self.backward, name)
            if one != two:
                raise GraphError(f"{self.kind}: {name} is {one} forward and {two} backward")
        if self.forward.zero_output_for_mask != self.forward.return_sequences:
            raise GraphError(f"{self.kind}: zero_output_for_mask must be equal to return_sequences")
        (one, width), (two, other) = self.forward.sizes, self.backward.sizes
        if one != two:
            raise GraphError(f"{self.kind}: input_size is {one} forward and {two} backward")
        if self.forward.rank != self.backward.rank:
            raise GraphError(f"{self.kind}: {self.forward} and {self.backward} do not scan the same steps")
        if self.merge not in ("concat", None) and width != other:
            raise GraphError(f"{self.kind}: merge={self.merge} needs two directions of one hidden_size")

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """Those of the forward direction, then those of the backward direction."""
        return self.forward.state_sizes + self.backward.state_sizes

    def state_shapes(self, step: Sequence[Dim]) -> tuple[tuple[Dim, ...], ...]:
        """Those of the forward direction, then those of the backward direction; see `Recurrent`."""
        return self.forward.state_shapes(step) + self.backward.state_shapes(step)

    def infer(self, inputs: Sequence[Tensor]) -> tuple[Tensor, ...]:
        x = _sequence(self, inputs, self.forward.rank, self.forward.sizes[0], len(self.state_sizes))
        check_states(self, inputs[1:], self.state_shapes(x.shape[2:]))
        (one, *first), (two, *second) = self.forward.infer([x]), self.backward.infer([x])
        if self.merge is None:
            return one, two, *first, *second
        if one.shape[:-1] != two.shape[:-1]:
            raise GraphError(f"{self.kind}: gives {one} forward and {two} backward, which are not merged")
        if self.merge == "concat":
            width = self.forward.sizes[1] + self.backward.sizes[1]
            one = Tensor((*one.shape[:-1], width), one.dtype)
        return one, *first, *second

    @property
    def output_count(self) -> int:
        """Two where the directions are not merged, else one; and the states, where they are given."""
        merged = 2 if self.merge is None else 1
        return merged + (len(self.state_sizes) if self.forward.return_state else 0)

    def __repr__(self) -> str:
        mirrored = self.backward.settings() == self.forward.settings() | {"reverse": True}
        mirrored = mirrored and type(self.forward) is type(self.backward)
        backward = "" if mirrored else f", backward={self.backward}"
        return f"{self.kind}({self.forward}{backward}, merge={self.merge})"
