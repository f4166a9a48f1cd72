"""Every recurrent op in torch, against the reference in float64, and the ordinary `torch.nn` layers."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import biport.reference
import torch_side
from biport import ops
from biport.dims import bound
from biport.graph import Graph, Node, Value
from testing.graphs import cell
from torch_side import layers
from torch_side.shared.recurrent import KINDS as KINDS_OF_LAYERS

I, H = 3, 4
KINDS: dict[str, dict[str, Any]] = {
    "lstm": {"kind": ops.LSTM},
    "lstm, two biases": {"kind": ops.LSTM, "biases": 2},
    "lstm without biases": {"kind": ops.LSTM, "biases": 0},
    "lstm of selu": {"kind": ops.LSTM, "activation": "selu"},
    "lstm of softmax gates": {"kind": ops.LSTM, "recurrent_activation": "softmax"},
    "gru": {"kind": ops.GRU},
    "gru without biases": {"kind": ops.GRU, "biases": 0},
    "gru, reset before": {"kind": ops.GRU, "reset_after": False},
    "gru, reset before, two biases": {"kind": ops.GRU, "reset_after": False, "biases": 2},
    "gru of gelu": {"kind": ops.GRU, "activation": "gelu", "recurrent_activation": "hard_sigmoid"},
    "rnn": {"kind": ops.RNN},
    "rnn of relu": {"kind": ops.RNN, "activation": "relu", "biases": 2},
    "rnn of softsign": {"kind": ops.RNN, "activation": "softsign"},
    "stacked": {},
}
NATIVE = ("lstm", "lstm, two biases", "gru", "rnn", "rnn of relu")


def layer(rng: np.random.Generator, name: str, **scan: Any) -> ops.Recurrent:
    if name == "stacked":
        cells = (
            cell(rng, ops.LSTM, I, 5, dtype="float64"),
            cell(rng, ops.GRU, 5, 2, dtype="float64", reset_after=False),
            cell(rng, ops.LSTM, 2, H, dtype="float64"),
        )
        return ops.StackedRNN(cells=cells, **scan)
    settings = dict(KINDS[name])
    return cell(rng, settings.pop("kind"), I, H, dtype="float64", **settings, **scan)


def graph_of(op: Any, masked: bool, started: bool) -> Graph:
    values = [Value("x", ("N", "T", I), "float64")]
    values += [Value("mask", ("N", "T"), "bool")] if masked else []
    sizes = op.state_sizes if started else ()
    values += [Value(f"state_{i}", ("N", size), "float64") for i, size in enumerate(sizes)]
    names = ("x", *(value.name for value in values if value.name.startswith("state")))
    masks = ("mask" if masked else None, *[None] * (len(names) - 1))
    outputs = tuple(f"y_{i}" for i in range(op.output_count))
    return Graph(tuple(values), (Node("layer", op, names, outputs, masks),), outputs)


def data(rng: np.random.Generator, graph: Graph, N: int, T: int) -> list[np.ndarray]:
    arrays: list[np.ndarray] = []
    for value in graph.inputs:
        if value.name == "mask":
            valid = rng.random((N, T)) < 0.6
            valid[:1] = False
            arrays.append(valid)
        else:
            sizes = {"N": N, "T": T}
            arrays.append(rng.normal(size=bound(value.shape, sizes)))
    return arrays


def check(op: Any, masked: bool, started: bool, rng: np.random.Generator) -> None:
    graph = graph_of(op, masked, started)
    module = torch_side.write(graph)
    for N, T in ((5, 6), (1, 1), (0, 3)):
        arrays = data(rng, graph, N, T)
        exact = biport.reference.run(graph, arrays)
        for actual, wanted in zip(torch_side.run(module, arrays), exact, strict=True):
            np.testing.assert_allclose(actual, wanted, rtol=0, atol=1e-12)
    assert torch_side.read(module) == graph


SETTINGS = list(itertools.product((True, False), repeat=4))
TURNED = list(itertools.product(SETTINGS, ((False, False), (True, True), (True, False))))


def one_direction(name: str, settings: Sequence[tuple]) -> None:
    rng = np.random.default_rng(1)
    for (masked, started, sequences, state), (reverse, zero) in settings:
        scan = {"reverse": reverse, "zero_output_for_mask": zero, "return_state": state}
        check(layer(rng, name, return_sequences=sequences, **scan), masked, started, rng)


@pytest.mark.parametrize("name", KINDS)
def test_one_direction_equals_the_reference(name: str) -> None:
    """An eighth of the settings each, another one for the next kind."""
    one_direction(name, TURNED[list(KINDS).index(name) % 8 :: 8])


@pytest.mark.sweep
@pytest.mark.parametrize("name", KINDS)
def test_one_direction_in_many_settings(name: str) -> None:
    """Half of the settings each."""
    one_direction(name, TURNED[list(KINDS).index(name) % 2 :: 2])


@pytest.mark.cover(1)
@pytest.mark.parametrize("merge", ops.MERGE_MODES)
@pytest.mark.parametrize("name", KINDS)
def test_two_directions_equal_the_reference(name: str, merge: str | None) -> None:
    """A quarter of the settings each, so that every kind has all of them, in one merge mode or another."""
    rng = np.random.default_rng(2)
    quarter = list(KINDS).index(name) + ops.MERGE_MODES.index(merge)
    for masked, started, sequences, state in SETTINGS[quarter % 4 :: 4]:
        scan = {"return_sequences": sequences, "zero_output_for_mask": sequences, "return_state": state}
        other = name if merge != "mul" else "gru, reset before"
        one, two = layer(rng, name, **scan), layer(rng, other, reverse=True, **scan)
        check(ops.Bidirectional(forward=one, backward=two, merge=merge), masked, started, rng)


@pytest.mark.parametrize("name", NATIVE)
def test_what_torch_has_is_torchs_own(name: str) -> None:
    rng = np.random.default_rng(3)
    one, two = layer(rng, name), layer(rng, name, reverse=True)
    kind: Any = KINDS_OF_LAYERS.lookup(type(one), "test")
    for op in (one, ops.Bidirectional(forward=one, backward=two)):
        plain, masked = (torch_side.write(graph_of(op, masked, False)) for masked in (False, True))
        assert type(plain.get_submodule("layer")) is kind.native
        assert type(masked.get_submodule("layer")) is kind.masked
        assert issubclass(kind.masked, kind.native)
        assert (
            {*plain.state_dict()}
            == {*masked.state_dict()}
            == {f"layer.{name}" for name in torch_names(plain.get_submodule("layer"))}
        )


def torch_names(layer: nn.Module) -> list[str]:
    """The parameters of a layer that torch itself makes."""
    assert isinstance(layer, nn.RNNBase)
    kind: Any = type(layer)
    own: nn.Module = kind(layer.input_size, layer.hidden_size, bidirectional=layer.bidirectional)
    return [name for name, _ in own.named_parameters()]


@pytest.mark.parametrize("name", KINDS)
def test_gradients_flow_and_padding_gets_none(name: str) -> None:
    rng = np.random.default_rng(4)
    graph = graph_of(layer(rng, name, return_sequences=True, zero_output_for_mask=True), True, False)
    module = torch_side.write(graph).train()
    x, valid = (torch.from_numpy(array) for array in data(rng, graph, 4, 6))
    x.requires_grad_()
    module(x, valid).sum().backward()
    assert x.grad is not None
    assert not x.grad[~valid].any()
    assert x.grad[valid].any()
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in trained)
    frozen = [name for name, parameter in module.named_parameters() if not parameter.requires_grad]
    assert all("bias_hh" in name and not module.get_parameter(name).any() for name in frozen)


def test_a_relu_that_grows_over_padding_leaves_no_nan_in_gradients() -> None:
    torch.manual_seed(0)
    module = layers.MaskedRNN(2, 2, nonlinearity="relu").double()
    with torch.no_grad():
        module.get_parameter("weight_hh_l0").copy_(torch.eye(2) * 1e3)
    valid = torch.zeros(1, 200, dtype=torch.bool)
    valid[0, 0] = True
    _, h = module(torch.ones(1, 200, 2, dtype=torch.float64), mask=valid)
    h.sum().backward()
    assert all(
        parameter.grad is not None and parameter.grad.isfinite().all() for parameter in module.parameters()
    )


def test_states_of_another_shape_are_refused() -> None:
    single, both = layers.MaskedGRU(3, 4), layers.MaskedGRU(3, 4, bidirectional=True)
    for module in (single, both, layers.LoopedGRU(3, 4, activation=nn.ReLU())):
        directions = 1 + module.bidirectional
        with pytest.raises(RuntimeError, match=rf"\({directions}, 2, 4\), got \[{directions}, 2, 3\]"):
            module(torch.ones(2, 5, 3), torch.ones(directions, 2, 3))
    with pytest.raises(RuntimeError, match=r"\(2, 2, 4\), got \[1, 2, 4\]"):
        both(torch.ones(2, 5, 3), torch.ones(1, 2, 4))
    for module in (layers.MaskedLSTM(3, 4), layers.LoopedLSTM(3, 4, activation=nn.ReLU())):
        with pytest.raises(RuntimeError, match=r"\(1, 2, 4\), got \[1, 3, 4\]"):
            module(torch.ones(2, 5, 3), (torch.ones(1, 2, 4), torch.ones(1, 3, 4)))


SAMPLE = (nn.LSTM, 2, True), (nn.GRU, 1, False)
"""Of kinds, layers and directions what stays in `make test`."""


class EncoderDecoder(nn.Module):
    """The usual seq2seq: the encoder's final states start the decoder."""

    def __init__(self, kind: Any, num_layers: int, bidirectional: bool) -> None:
        super().__init__()
        settings = {"num_layers": num_layers, "batch_first": True, "bidirectional": bidirectional}
        self.encoder = kind(I, H, **settings)
        self.decoder = kind(2, H, **settings)
        self.head = nn.Linear(H * (1 + bidirectional), 3)

    def forward(self, source: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
        _, state = self.encoder(source)
        output, _ = self.decoder(target, state)
        return self.head(output)


@pytest.mark.cover(1)
@pytest.mark.parametrize(
    "kind, num_layers, bidirectional",
    [
        pytest.param(kind, count, two, marks=() if (kind, count, two) in SAMPLE else pytest.mark.sweep)
        for kind in (nn.LSTM, nn.GRU, nn.RNN)
        for count, two in ((1, False), (2, True))
    ],
)
def test_a_decoder_that_starts_from_an_encoder_is_read(
    kind: Any, num_layers: int, bidirectional: bool
) -> None:
    torch.manual_seed(0)
    module = EncoderDecoder(kind, num_layers, bidirectional).double()
    values = [Value("source", ("N", "T", I), "float64"), Value("target", ("N", "T_2", 2), "float64")]
    agrees(module, values, [(4, 5, I), (4, 3, 2)])


class Uses(nn.Module):
    """A layer of torch's own, of which ``uses`` takes what it wants."""

    def __init__(self, inner: nn.Module, uses: Any) -> None:
        super().__init__()
        self.inner = inner
        self.uses = uses

    def forward(self, x: torch.Tensor) -> Any:
        output, state = self.inner(x)
        return self.uses(output, state)


IDIOMS: dict[Any, Any] = {
    nn.GRU: lambda output, h: (output, output[:, -1], h[-1], h[-1, :, :], h),
    nn.RNN: lambda output, h: (h[-1], output, output[:, -1], h[0], h.transpose(0, 1).flatten(1)),
    nn.LSTM: lambda output, state: (state[0][-1], state[1][-1], state[0][0], (output, state)),
}


@pytest.mark.parametrize("kind", IDIOMS)
@pytest.mark.sweep
def test_what_is_used_of_a_layer_of_torch_is_read(kind: Any) -> None:
    settings = {"nonlinearity": "relu"} if kind is nn.RNN else {}
    module = Uses(kind(I, H, num_layers=2, batch_first=True, **settings), IDIOMS[kind])
    agrees(module.double(), [Value("x", ("N", "T", I), "float64")], [(4, 5, I)])


def test_what_is_not_used_is_not_asked_for() -> None:
    sequence = Uses(nn.GRU(I, H, batch_first=True), lambda output, h: output)
    last = Uses(nn.GRU(I, H, batch_first=True), lambda output, h: h[-1])
    for module, return_sequences in ((sequence, True), (last, False)):
        graph = torch_side.read(module)
        (node,) = graph.nodes
        op = node.op
        assert isinstance(op, ops.GRU)
        assert (op.return_sequences, op.return_state) == (return_sequences, False)


def test_states_of_both_directions_are_joined() -> None:
    module = Uses(
        nn.GRU(I, H, batch_first=True, bidirectional=True),
        lambda output, h: (output, torch.cat([h[-2], h[-1]], dim=-1), torch.cat([h[0], h[1]], dim=1)),
    )
    agrees(module.double(), [Value("x", ("N", "T", I), "float64")], [(4, 5, I)])


def agrees(module: nn.Module, values: list[Value], shapes: list[tuple[int, ...]]) -> None:
    graph = torch_side.read(module, values)
    rng = np.random.default_rng(5)
    arrays = [rng.normal(size=shape) for shape in shapes]
    exact = biport.reference.run(graph, arrays)
    for source in (module, torch_side.write(graph)):
        for actual, wanted in zip(torch_side.run(source, arrays), exact, strict=True):
            np.testing.assert_allclose(actual, wanted, rtol=0, atol=1e-12)


def test_initial_states_may_be_inputs() -> None:
    class Started(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.gru = nn.GRU(I, H, batch_first=True)
            self.rnn = nn.RNN(I, H, 2, bidirectional=True)

        def forward(self, x: torch.Tensor, h: torch.Tensor, states: torch.Tensor) -> Any:
            return self.gru(x, h), self.rnn(x.transpose(0, 1), states)

    values = [
        Value("x", ("N", "T", I), "float64"),
        Value("h", (1, "N", H), "float64"),
        Value("states", (4, "N", H), "float64"),
    ]
    agrees(Started().double(), values, [(3, 5, I), (1, 3, H), (4, 3, H)])


def test_a_layer_inside_of_a_container_is_read_written_and_loaded() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.rnn = nn.Module()
            self.rnn.add_module("cell_0", nn.GRU(I, H, batch_first=True))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            _, h = self.rnn.get_submodule("cell_0")(x.flip(1))
            return h[0]

    module = Model()
    x = Value("x", ("N", "T", I), "float32")
    graph = torch_side.read(module, [x])
    assert isinstance(graph["rnn.cell_0"].op, ops.GRU)
    arrays = [np.random.default_rng(3).normal(size=(4, 5, I)).astype("float32")]
    written, twin = torch_side.write(graph), Model()
    torch_side.load(twin, graph)
    for form in (module, written, twin):
        np.testing.assert_allclose(
            torch_side.run(form, arrays)[0], biport.reference.run(graph, arrays)[0], atol=1e-6
        )
