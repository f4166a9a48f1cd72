"""Operators that stand for whole layers while a module is traced, so that every size may vary.

`torch.export` looks into a recurrent layer step by step, which fixes T, and never sees packed sequences.
While `whole` is in force, `nn.LSTM`, `nn.GRU`, `nn.RNN` and their cells, dropout, and the layers that
`torch_side.registry.READERS` reads whole are one operator each, whose shape is computed. A packed sequence is
the padded tensor, ``(N, T, ...)``, beside the lengths of its rows: the longest row is taken to be as long as
the tensor.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensor
from torch._subclasses.functional_tensor import FunctionalTensor
from torch.nn.modules import transformer
from torch.nn.utils import rnn
from torch.nn.utils.rnn import PackedSequence

from torch_side.inference import without_fast_path
from torch_side.reading.layer_session import LayerSession
from torch_side.reading.packing import lengths_as_they_are, packing
from torch_side.reading.traced_python import traced_python
from torch_side.reading.whole_windows import WholeWindows

LIBRARY = torch.library.Library("biport", "DEF")
LIBRARY.define(
    "recurrence(str kind, Tensor x, Tensor? lengths, Tensor[] hx, Tensor[] weights, bool bias, int layers, "
    "float dropout, bool bidirectional, bool batch_first) -> Tensor[]"
)
LIBRARY.define("cell(str kind, Tensor x, Tensor[] hx, Tensor[] weights) -> Tensor[]")
LIBRARY.define("dropout(str kind, Tensor x, float p, bool train) -> Tensor")
LIBRARY.define("layer(int number, Tensor[] inputs) -> Tensor[]")

REAL: Any = torch._VF.vf  # type: ignore[attr-defined]
DROPOUTS = ("dropout", "feature_dropout", "alpha_dropout", "feature_alpha_dropout")
RECURRENCES = ("lstm", "gru", "rnn_tanh", "rnn_relu")
CELLS = ("lstm_cell", "gru_cell", "rnn_tanh_cell", "rnn_relu_cell")

_session: ContextVar[LayerSession] = ContextVar("session")


def _recurrence(
    kind: str,
    x: Tensor,
    lengths: Tensor | None,
    hx: list[Tensor],
    weights: list[Tensor],
    bias: bool,
    layers: int,
    dropout: float,
    bidirectional: bool,
    batch_first: bool,
) -> list[Tensor]:
    """What torch computes."""
    function, start = getattr(REAL, kind), hx if kind == "lstm" else hx[0]
    settings = (weights, bias, layers, 0.0, False, bidirectional)
    if lengths is None:
        y, *states = function(x, start, *settings, batch_first)
        return [y.contiguous(), *(state.clone() for state in states)]
    packed = rnn.pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
    order, back = packed.sorted_indices, packed.unsorted_indices
    assert order is not None
    assert back is not None
    ordered = [state.index_select(1, order) for state in hx]
    y, *states = function(
        packed.data, packed.batch_sizes, ordered if kind == "lstm" else ordered[0], *settings
    )
    again = PackedSequence(y, packed.batch_sizes, order, back)
    padded, _ = rnn.pad_packed_sequence(again, batch_first=True, total_length=x.shape[1])
    return [padded.contiguous(), *(state.index_select(1, back) for state in states)]


def _recurrence_shape(
    kind: str, x: Tensor, lengths: Any, hx: list[Tensor], weights: list[Tensor], *settings: Any
) -> list[Tensor]:
    torch._check(x.shape[-1] == weights[0].shape[1])
    batch = x.shape[0] if settings[-1] else x.shape[1]
    layers, bidirectional = settings[1], settings[3]
    for state, size in zip(hx, (weights[1].shape[1], weights[0].shape[0] // 4), strict=False):
        torch._check(state.shape[0] == layers * (1 + bidirectional))
        torch._check(state.shape[1] == batch)
        torch._check(state.shape[2] == size)
    if lengths is not None:
        torch._check(lengths.shape[0] == batch)
    y = x.new_empty((*x.shape[:-1], hx[0].shape[-1] * (1 + bidirectional)))
    return [y, *(torch.empty_like(state) for state in hx)]


def _cell(kind: str, x: Tensor, hx: list[Tensor], weights: list[Tensor]) -> list[Tensor]:
    start = hx if kind == "lstm_cell" else hx[0]
    result = getattr(REAL, kind)(x, start, *weights)
    return list(result) if isinstance(result, tuple) else [result]


def _cell_shape(kind: str, x: Tensor, hx: list[Tensor], weights: list[Tensor]) -> list[Tensor]:
    torch._check(x.shape[-1] == weights[0].shape[1])
    for state in hx:
        torch._check(state.shape[0] == x.shape[0])
        torch._check(state.shape[1] == weights[1].shape[1])
    return [torch.empty_like(state) for state in hx]


def _dropout(kind: str, x: Tensor, p: float, train: bool) -> Tensor:
    return getattr(REAL, kind)(x, p, train).clone()


def _dropout_shape(kind: str, x: Tensor, p: float, train: bool) -> Tensor:
    return torch.empty_like(x)


def _layer(number: int, inputs: list[Tensor]) -> list[Tensor]:
    return _session.get().run(number, inputs)


def _layer_shape(number: int, inputs: list[Tensor]) -> list[Tensor]:
    return _session.get().shapes(number, inputs)


for _name, _function, _shape in (
    ("recurrence", _recurrence, _recurrence_shape),
    ("cell", _cell, _cell_shape),
    ("dropout", _dropout, _dropout_shape),
    ("layer", _layer, _layer_shape),
):
    LIBRARY.impl(_name, _function, "CompositeExplicitAutograd")
    torch.library.register_fake(f"biport::{_name}", _shape, lib=LIBRARY)

operators: Any = torch.ops.biport


@contextlib.contextmanager
def whole(session: LayerSession) -> Iterator[None]:
    """Meanwhile layers are operators of their own; afterwards torch is what it was, whatever happened."""
    with contextlib.ExitStack() as stack:
        token = _session.set(session)
        stack.callback(_session.reset, token)
        stack.enter_context(without_fast_path())
        # Whether a mask is causal is a matter of speed alone, and of what numbers it has.
        stack.enter_context(_replaced(transformer, "_detect_is_causal_mask", _said_to_be_causal))
        for name in (*RECURRENCES, *CELLS, *DROPOUTS):
            stack.enter_context(_replaced(torch._VF, name, _functions(name)))
        for name in DROPOUTS:
            stack.enter_context(_replaced(torch._VF, f"{name}_", _functions(name)))
        for kind in (nn.LSTM, nn.GRU, nn.RNN):
            stack.enter_context(_replaced(kind, "forward", _packed_forward(kind.forward, session)))
        for kind in session.classes:
            stack.enter_context(_replaced(kind, "forward", session.forward(kind, operators.layer)))
        for name, function in packing(session).items():
            stack.enter_context(_rewritten(getattr(rnn, name), function))
        for kind in (torch.Tensor, FakeTensor, FunctionalTensor):
            for name in ("numpy", "tolist"):
                if kind is torch.Tensor or name in vars(kind):
                    stack.enter_context(_replaced(kind, name, lengths_as_they_are(kind, name)))
        stack.enter_context(traced_python())
        # It looks for an order of products by numbers, which fixes all sizes.
        stack.enter_context(_replaced(torch.backends.opt_einsum, "enabled", False))
        stack.enter_context(WholeWindows())
        yield


@contextlib.contextmanager
def running(session: LayerSession) -> Iterator[None]:
    """Meanwhile a traced graph can be run: its operators know their layers."""
    token = _session.set(session)
    try:
        yield
    finally:
        _session.reset(token)


def _said_to_be_causal(mask: Tensor | None, is_causal: bool | None = None, size: int | None = None) -> bool:
    return is_causal is True


@contextlib.contextmanager
def _replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    missing = object()
    before = vars(owner).get(name, missing)
    setattr(owner, name, value)
    try:
        yield
    finally:
        if before is missing:
            delattr(owner, name)
        else:
            setattr(owner, name, before)


@contextlib.contextmanager
def _rewritten(function: FunctionType, other: Callable) -> Iterator[None]:
    """Have a function do what another does, under whatever name anybody imported it."""
    before, key = function.__code__, f"_biport_{function.__name__}"
    defaults, keywords = function.__defaults__, function.__kwdefaults__
    function.__globals__[key] = other
    function.__code__ = _calls_another.__code__.replace(co_names=(key,))
    function.__defaults__ = function.__kwdefaults__ = None
    try:
        yield
    finally:
        function.__code__ = before
        function.__defaults__, function.__kwdefaults__ = defaults, keywords
        del function.__globals__[key]


def _calls_another(*args: Any, **kwargs: Any) -> Any:
    return _other(*args, **kwargs)


def _other(*args: Any, **kwargs: Any) -> Any:
    """Stands for what `_rewritten` has called instead."""


def _functions(name: str) -> Callable:
    if name in CELLS:

        def cell(x: Tensor, hx: Any, *weights: Any) -> Any:
            states = list(hx) if name == "lstm_cell" else [hx]
            given = [weight for weight in weights if weight is not None]
            result = operators.cell(name, x, states, given)
            return tuple(result) if name == "lstm_cell" else result[0]

        return cell
    if name in DROPOUTS:
        return lambda x, p, train: operators.dropout(name, x, p, train)

    def recurrence(x: Tensor, hx: Any, weights: Any, *settings: Any) -> Any:
        bias, layers, dropout, _, bidirectional, batch_first = settings
        states = list(hx) if name == "lstm" else [hx]
        return tuple(
            operators.recurrence(
                name, x, None, states, list(weights), bias, layers, dropout, bidirectional, batch_first
            )
        )

    return recurrence


def _packed_forward(original: Callable, session: LayerSession) -> Callable:
    """``forward`` of a recurrent layer that takes packed sequences as `whole` has them."""

    def forward(self: nn.RNNBase, input: Any, hx: Any = None) -> Any:
        if not isinstance(input, PackedSequence):
            return original(self, input, hx)
        self._update_flat_weights()
        x, lengths = input.data, input.batch_sizes
        lstm = isinstance(self, nn.LSTM)
        if hx is None:
            count = self.num_layers * (1 + self.bidirectional)
            hx = x.new_zeros(count, x.shape[0], self.proj_size or self.hidden_size)
            hx = (hx, x.new_zeros(count, x.shape[0], self.hidden_size)) if lstm else hx
        settings = (self.bias, self.num_layers, self.dropout, self.bidirectional, True)
        weights: Any = self._flat_weights
        states = list(hx) if lstm else [hx]
        y, *final = operators.recurrence(self.mode.lower(), x, lengths, states, weights, *settings)
        session.zero_behind_the_end(y)
        return PackedSequence(y, lengths), tuple(final) if lstm else final[0]

    return forward
