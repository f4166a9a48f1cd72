"""Recurrent layers whose steps are convolutions, over one axis, two or three."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, final

from biport.dims import Dim
from biport.errors import WeightError
from biport.gates import stack_gates
from biport.ops.activation import ACTIVATIONS
from biport.ops.base import parameter
from biport.ops.checks import check_array, check_choice, check_sizes
from biport.ops.convolution import CONVOLUTIONS, PADDINGS, Convolution
from biport.ops.recurrent import Gates, Recurrent
from biport.ops.regularization import check_rate
from biport.ops.tensor import Tensor
from biport.ops.windows import per_axis


@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ConvolutionalLSTM(Recurrent):
    """An LSTM that convolves where another multiplies: ``(N, T, *S, I)`` to ``(N, T, *S', H)``.

    At each step, of ``x`` ``(N, *S, I)`` and the states ``h``, ``c`` ``(N, *S', H)``, with ∗ a convolution,
    ρ the recurrent activation and α the activation::

        i, f, o = ρ(W ∗ x + b + R ∗ h)      c~ = α(W ∗ x + b + R ∗ h)
        c = f * c + i * c~                   h = o * α(c)

    It is no op by itself: `ConvLSTM1D`, `ConvLSTM2D` and `ConvLSTM3D` are. Where a setting has a number for
    each axis, a single one is meant for all of them.

    Args:
        input_size: I.
        hidden_size: H; Keras ``filters``.
        kernel_size: K, of both convolutions, one for each axis.
        strides: of the convolution of x; that of h has 1.
        padding: of the convolution of x, ``"valid"`` or ``"same"``, as in `Convolution`; that of h has
            ``"same"``.
        dilation: of the convolution of x; that of h has 1.
        activation: of the candidate and of the cell state on its way out; one of `ACTIVATIONS`.
        recurrent_activation: of the gates i, f and o; one of `ACTIVATIONS`.
        dropout: share of the inputs dropped in training; nothing at inference.
        recurrent_dropout: share of the states dropped in training; nothing at inference.
        weight_ih: ``{gate: (H, I, *K)}``.
        weight_hh: ``{gate: (H, H, *K)}``.
        bias: ``{gate: (H,)}`` or ``None``.

    Source: Shi et al. 2015, without peepholes, as in Keras (keras/src/layers/rnn/conv_lstm.py of 3.15).
    """

    dimensions: ClassVar[int]
    """Over how many axes."""

    gates: ClassVar[tuple[str, ...]] = ("i", "f", "c", "o")
    states: ClassVar[tuple[str, ...]] = ("h", "c")
    training: ClassVar[Sequence[str]] = ("dropout", "recurrent_dropout")

    input_size: int
    hidden_size: int
    kernel_size: tuple[int, ...]
    strides: tuple[int, ...] = (1,)
    padding: str = "valid"
    dilation: tuple[int, ...] = (1,)
    activation: str = "tanh"
    recurrent_activation: str = "sigmoid"
    dropout: float = 0.0
    recurrent_dropout: float = 0.0
    weight_ih: Gates = parameter()
    weight_hh: Gates = parameter()
    bias: Gates | None = parameter()

    def __post_init__(self) -> None:
        check_sizes(self.kind, input_size=self.input_size, hidden_size=self.hidden_size)
        for name in ("kernel_size", "strides", "dilation"):
            value = per_axis(self.kind, name, getattr(self, name), self.dimensions)
            object.__setattr__(self, name, value)
        check_choice(self.kind, "padding", self.padding, PADDINGS[:2])
        check_choice(self.kind, "activation", self.activation, ACTIVATIONS)
        check_choice(self.kind, "recurrent_activation", self.recurrent_activation, ACTIVATIONS)
        check_rate(self, self.dropout, "dropout")
        check_rate(self, self.recurrent_dropout, "recurrent_dropout")
        self._check_gates("weight_ih", (self.hidden_size, self.input_size, *self.kernel_size))
        self._check_gates("weight_hh", (self.hidden_size, self.hidden_size, *self.kernel_size))
        if self.bias is not None:
            self._check_gates("bias", (self.hidden_size,))

    def _check_gates(self, name: str, shape: tuple[int, ...]) -> None:
        gates = getattr(self, name)
        if not isinstance(gates, Mapping) or sorted(gates) != sorted(self.gates):
            raise WeightError(f"{self.kind}: {name} should have the gates {sorted(self.gates)}")
        for gate in self.gates:
            check_array(self.kind, f"{name}.{gate}", gates[gate], shape, self.dtype)

    @cached_property
    def input_convolution(self) -> Convolution:
        """What is made of x: all gates side by side, in the order of `gates`, ``(N, *S', 4H)``."""
        return self._convolution(
            self.weight_ih,
            input_size=self.input_size,
            strides=self.strides,
            padding=self.padding,
            dilation=self.dilation,
            bias=None if self.bias is None else stack_gates(self.bias, "".join(self.gates)),
        )

    @cached_property
    def state_convolution(self) -> Convolution:
        """What is made of h, likewise."""
        return self._convolution(self.weight_hh, input_size=self.hidden_size, padding="same", bias=None)

    def _convolution(self, weights: Gates, **settings: Any) -> Convolution:
        return CONVOLUTIONS[self.dimensions](
            output_size=4 * self.hidden_size,
            kernel_size=self.kernel_size,
            weight=stack_gates(weights, "".join(self.gates)),
            **settings,
        )

    @property
    def sizes(self) -> tuple[int, int]:
        """I and H."""
        return self.input_size, self.hidden_size

    @property
    def state_sizes(self) -> tuple[int, ...]:
        """H, twice."""
        return (self.hidden_size,) * len(self.states)

    @property
    def state_names(self) -> tuple[str, ...]:
        """``h`` and ``c``."""
        return self.states

    @property
    def rank(self) -> int:
        """As many axes as it convolves over, and the features."""
        return self.dimensions + 1

    def output_shape(self, step: Sequence[Dim]) -> tuple[Dim, ...]:
        """``(*S', H)`` of ``(*S, I)``.

        Raises:
            TooShortError: there is no window in it.
        """
        x = Tensor(("N", *step), self.dtype or "float32")
        (gates,) = self.input_convolution.infer([x])
        return (*gates.shape[1:-1], self.hidden_size)

    def state_shapes(self, step: Sequence[Dim]) -> tuple[tuple[Dim, ...], ...]:
        """Those of the output, twice."""
        return (self.output_shape(step),) * len(self.states)

    def sum_length(self, inputs: Sequence[Tensor]) -> int:
        return math.prod(self.kernel_size) * (self.input_size + self.hidden_size)


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ConvLSTM1D(ConvolutionalLSTM):
    """Over steps ``(N, S, I)``, see `ConvolutionalLSTM`."""

    dimensions: ClassVar[int] = 1


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ConvLSTM2D(ConvolutionalLSTM):
    """Over steps ``(N, H, W, I)``, see `ConvolutionalLSTM`."""

    dimensions: ClassVar[int] = 2

    strides: tuple[int, ...] = (1, 1)
    dilation: tuple[int, ...] = (1, 1)


@final
@dataclass(frozen=True, eq=False, repr=False, kw_only=True)
class ConvLSTM3D(ConvolutionalLSTM):
    """Over steps ``(N, D, H, W, I)``, see `ConvolutionalLSTM`."""

    dimensions: ClassVar[int] = 3

    strides: tuple[int, ...] = (1, 1, 1)
    dilation: tuple[int, ...] = (1, 1, 1)


CONV_LSTMS: Mapping[int, type[ConvolutionalLSTM]] = {1: ConvLSTM1D, 2: ConvLSTM2D, 3: ConvLSTM3D}
"""By the number of axes."""
