"""Modules as people write them: many idioms in one module, since each is traced anew."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import biport.reference
import torch_side
from biport import ops
from biport.errors import BiportError, InputError, UnsupportedError, WeightError
from biport.graph import Graph, Value
from testing.torch_graphs import GENERATOR, worst
from torch_side import layers

IDS = GENERATOR(1).integers(0, 20, size=(4, 6))
Forward = Callable[..., Any]


class Small(nn.Module):
    """A ``forward`` of one line over named layers, with random weights."""

    def __init__(self, forward: Forward, **parts: nn.Module) -> None:
        super().__init__()
        self.rule = forward
        for name, part in parts.items():
            self.add_module(name, part)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.7)

    def forward(self, ids):
        return self.rule(self, ids)


def table(**settings: Any) -> nn.Embedding:
    return nn.Embedding(20, 5, **settings)


def scores(m: Any, ids: Tensor) -> Tensor:
    return m.fc(m.table(ids))


def agrees(module: nn.Module, arrays: list[np.ndarray], example: Any = None) -> Graph:
    """The graph, when the module, the graph and what is written of it compute the same; it is read back."""
    module = torch_side.double(module)
    graph = torch_side.read(module, example)
    exact = biport.reference.run(graph, arrays)
    written = torch_side.write(graph)
    assert worst(torch_side.run(module, arrays, example), exact) <= 1e-12
    assert worst(torch_side.run(written, arrays), exact) <= 1e-12
    assert torch_side.read(written) == graph
    return graph


class Classifier(nn.Module):
    """An LSTM, what people take of it, and a head."""

    def __init__(self, bidirectional: bool = False, num_layers: int = 1, bias: bool = True) -> None:
        super().__init__()
        self.directions = 1 + bidirectional
        self.table = nn.Embedding(20, 5, padding_idx=0)
        self.lstm = nn.LSTM(
            5, 4, num_layers, bias=bias, batch_first=True, bidirectional=bidirectional,
            dropout=0.25 if num_layers > 1 else 0,
        )  # fmt: skip
        self.body = nn.Sequential(nn.Dropout(0.5), nn.Linear(4 * self.directions, 3), nn.Tanh())
        self.head = nn.Linear(3, 2)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.7)

    def forward(self, ids):
        output, (h_n, c_n) = self.lstm(self.table(ids))
        by_layer = h_n.view(-1, self.directions, ids.shape[0], 4)
        taken = (
            output,
            output[:, -1],
            output[:, -1, :],
            output[:, 0],
            output.max(dim=1).values,
            torch.max(output, 1)[0],
            output.amax(dim=1),
            output.mean(dim=1),
            torch.cat([h_n[-self.directions], h_n[-1]][: self.directions], dim=1),
            torch.cat([h_n[-self.directions, :, :], h_n[-1, :, :]][: self.directions], -1),
            by_layer[-1].transpose(0, 1).reshape(ids.shape[0], -1),
        )
        scored = [functional.softmax(self.head(self.body(x)), dim=-1) for x in taken]
        return (*scored, h_n, c_n.permute(1, 0, 2), output[..., :4], output[-1])


@pytest.mark.parametrize(
    "bidirectional, num_layers, bias",
    [
        (True, 2, False),
        *(
            pytest.param(two, count, two is (count == 2), marks=pytest.mark.sweep)
            for two in (False, True)
            for count in (1, 2, 3)
        ),
    ],
)
def test_what_is_taken_of_an_lstm_in_every_spelling(bidirectional, num_layers, bias):
    graph = agrees(Classifier(bidirectional, num_layers, bias), [IDS])

    recurrent = [node for node in graph.nodes if isinstance(node.op, ops.LSTM | ops.Bidirectional)]
    assert len(recurrent) == num_layers
    assert len(graph.outputs) == 15


class Last(Classifier):
    def forward(self, ids):
        _, (h_n, _) = self.lstm(self.table(ids))
        return self.head(self.body(torch.cat([h_n[-2], h_n[-1]], dim=1)))


def test_names_are_paths_and_training_settings_are_kept():
    graph = torch_side.read(Last(bidirectional=True, num_layers=2))

    names = ["table", "lstm.l0", "lstm.dropout_l0", "lstm.l1", "body.0", "body.1", "head"]
    assert [node.name for node in graph.nodes] == names
    assert graph["lstm.dropout_l0"].op == ops.Dropout(rate=0.25)
    assert graph["body.0"].op == ops.Dropout(rate=0.5)
    assert graph["body.1"].op.settings()["activation"] == "tanh"
    assert graph.inputs == (Value("ids", ("N", "T"), "int64"),)
    assert graph.origin["framework"] == "torch"


def test_reading_leaves_the_module_untouched():
    module = Last(bidirectional=True).train()
    module.lstm.eval()
    state, random = copy.deepcopy(module.state_dict()), torch.get_rng_state()

    graph = torch_side.read(module)
    for array in (array for weights in graph.weights().values() for array in weights.values()):
        array[...] = 0

    assert module.training
    assert not module.lstm.training
    assert all(torch.equal(state[key], value) for key, value in module.state_dict().items())
    assert torch.equal(torch.get_rng_state(), random)


def test_inputs_can_be_described():
    described = Value("tokens", ("N", 6), "int32")

    graph = torch_side.read(Small(lambda m, ids: m.table(ids).amax(dim=1), table=table()), described)

    assert graph.inputs == (described,)
    with pytest.raises(InputError, match=r"Small\.forward takes \(ids\)"):
        torch_side.read(Small(scores), (described, described))


def test_a_list_is_a_tuple_of_arguments_and_a_mapping_names_them():
    class Two(nn.Module):
        def forward(self, x, y=None, *, scale=2.0):
            return (x if y is None else x - y) * scale

    x, y = Value("x", ("N", "T", 3), "float32"), Value("y", ("N", 1, 3), "float32")
    graphs = [
        torch_side.read(Two(), example)
        for example in ([x, y], (x, y), {"y": y, "x": x}, ([x, y][0], {"y": y}))
    ]
    assert len({str(graph) for graph in graphs}) == 2
    assert [value.name for value in graphs[2].inputs] == ["y", "x"]
    assert torch_side.read(Two(), [x]).inputs == torch_side.read(Two(), x).inputs == (x,)
    arrays = [GENERATOR(0).normal(size=shape).astype("float32") for shape in ((2, 4, 3), (2, 1, 3))]
    (right,) = torch_side.run(Two(), arrays, [x, y])
    assert worst(biport.reference.run(graphs[0], arrays), [right]) <= 1e-6
    assert worst(torch_side.run(Two(), arrays[::-1], {"y": y, "x": x}), [right]) == 0


def test_an_lstm_says_what_its_input_is_and_a_linear_layer_does_not():
    class Frames(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = layers.MaskedLSTM(3, 4)

        def forward(self, x, valid):
            return self.lstm(x, mask=valid)[0]

    assert torch_side.read(Frames()).inputs == (
        Value("x", ("N", "T", 3), "float32"),
        Value("valid", ("N", "T"), "bool"),
    )
    head = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
    with pytest.raises(InputError, match="example="):
        torch_side.read(head)
    assert torch_side.read(head, Value("x", ("N", 3), "float32"))["0"].op.settings()["activation"] == "relu"


SPELLINGS: dict[str, list[Any]] = {
    "sigmoid": [torch.sigmoid, functional.sigmoid, lambda z: z.sigmoid(), nn.Sigmoid()],
    "tanh": [torch.tanh, functional.tanh, lambda z: z.tanh(), nn.Tanh()],
    "relu": [torch.relu, functional.relu, lambda z: z.relu(), nn.ReLU(), nn.ReLU(inplace=True)],
    "softmax": [
        *(lambda z: torch.softmax(z, -1), lambda z: functional.softmax(z, 2), lambda z: z.softmax(dim=-1)),
        *(nn.Softmax(dim=-1), nn.Softmax(2)),
    ],
    "log_softmax": [nn.LogSoftmax(-1), lambda z: functional.log_softmax(z, dim=-1)],
    "celu": [nn.CELU(), functional.celu],
    "elu": [nn.ELU(), lambda z: functional.elu(z, alpha=1.0)],
    "gelu": [nn.GELU(), functional.gelu, nn.GELU("tanh")],
    "exp": [torch.exp, lambda z: z.exp()],
    "hard": [
        *(nn.Hardshrink(), functional.hardshrink, nn.Hardswish(), nn.Hardsigmoid(), functional.hardsigmoid),
        *(functional.hardswish, nn.Hardtanh(), functional.hardtanh, nn.Hardtanh(0.0, 2.0)),
    ],
    "leaky": [
        *(nn.LeakyReLU(0.2), lambda z: functional.leaky_relu(z, 0.2), nn.PReLU(), nn.ReLU6()),
        *(functional.relu6, nn.SELU(), functional.selu),
    ],
    "log": [nn.LogSigmoid(), functional.logsigmoid, nn.Mish(), functional.mish, nn.SiLU(), functional.silu],
    "soft": [
        *(nn.Softshrink(), functional.softshrink, nn.Softplus(), functional.softplus, nn.Softsign()),
        *(functional.softsign, nn.Tanhshrink(), functional.tanhshrink, nn.Identity()),
    ],
}  # fmt: skip


@pytest.mark.sweep
def test_activations_in_every_spelling():
    spelled = [activate for group in SPELLINGS.values() for activate in group]

    def forward(m, ids):
        z = scores(m, ids)
        own = [getattr(m, f"act{at}", act) for at, act in enumerate(spelled)]
        return [act(z.clone()) for act in own]

    parts = {f"act{at}": act for at, act in enumerate(spelled) if isinstance(act, nn.Module)}
    graph = agrees(Small(forward, table=table(), fc=nn.Linear(5, 3), **parts), [IDS])

    assert len(graph.outputs) == len(spelled)
    makers = {name: node.op for node in graph.nodes for name in node.outputs}
    of_output = dict(zip(spelled, (makers[name] for name in graph.outputs), strict=True))
    for name in ("sigmoid", "tanh", "softmax"):
        assert all(of_output[act] == ops.Activation(function=name) for act in SPELLINGS[name])


def test_an_activation_behind_a_layer_is_the_layers():
    def forward(m, ids):
        return torch.tanh(m.one(m.table(ids))), m.act(m.two(m.table(ids)))

    parts = {"one": nn.Linear(5, 3), "two": nn.Linear(5, 2), "act": nn.ReLU(inplace=True)}
    graph = torch_side.read(Small(forward, table=table(), **parts))
    assert [graph[name].op.settings()["activation"] for name in ("one", "two")] == ["tanh", "relu"]


SHAPES: dict[str, tuple[Forward, ops.Op]] = {
    "softmax over time": (lambda m, x: x.softmax(1), ops.Softmax(axis=1)),
    "leaky": (lambda m, x: functional.leaky_relu(x, 0.1), ops.LeakyReLU(negative_slope=0.1)),
    "leaky of Keras": (lambda m, x: functional.leaky_relu(x, 0.2), ops.Activation(function="leaky_relu")),
    "elu": (lambda m, x: functional.elu(x, 0.3), ops.ELU(alpha=0.3)),
    "relu6": (lambda m, x: functional.relu6(x), ops.Activation(function="relu6")),
    "flatten": (lambda m, x: x[:, :2].flatten(1), ops.Flatten()),
    "Flatten": (lambda m, x: m.flat(x[:, 1:4]), ops.Flatten()),
    "flip": (lambda m, x: x.flip(1), ops.Flip()),
    "flip by a tuple": (lambda m, x: torch.flip(x[..., 1:], (-2,)), ops.Flip()),
    "AlphaDropout": (lambda m, x: m.drop(x), ops.AlphaDropout(rate=0.3)),
}  # fmt: skip


def test_what_is_read_as_a_layer_of_its_own():
    def forward(m, ids):
        x = m.table(ids)
        return [rule(m, x) for rule, _ in SHAPES.values()], x.permute(0, 2, 1), torch.permute(x, (0, -1, 1))

    graph = agrees(Small(forward, table=table(), flat=nn.Flatten(), drop=nn.AlphaDropout(0.3)), [IDS])
    makers = {name: node.op for node in graph.nodes for name in node.outputs}
    assert [makers[name] for name in graph.outputs[: len(SHAPES)]] == [op for _, op in SHAPES.values()]


def test_masks_pooling_and_dropout_in_every_spelling():
    def forward(m, ids):
        x = functional.dropout(m.table(ids), 0.3, m.training)
        masks = [ids != 0, torch.ne(ids, 3), ids.ne(4)]
        y = m.bi(x, mask=masks[0] | masks[1] | masks[2])[0]
        z = m.lstm(x, mask=torch.logical_or(masks[0], masks[2]))[1][0][0]
        return m.pool(y, masks[0]), y.amax(dim=1), z, torch.cat([z, z], dim=1), m.join([x, y])

    parts = {
        "table": table(), "bi": layers.MaskedLSTM(5, 3, bidirectional=True),
        "lstm": layers.MaskedLSTM(5, 4), "pool": layers.GlobalAveragePooling1D(),
        "join": layers.Concatenate(),
    }  # fmt: skip
    graph = agrees(Small(forward, **parts), [IDS])

    kinds = {node.name: node.op.kind for node in graph.nodes}
    named = {
        "table",
        "dropout",
        "not_equal",
        "logical_or",
        "bi",
        "lstm",
        "pool",
        "global_max_pooling1d",
        "concatenate",
        "join",
    }
    assert named <= kinds.keys()
    assert graph["dropout"].op == ops.Dropout(rate=0.3)
    assert graph["not_equal"].op == ops.NotEqual()


def test_joined_masks_in_every_spelling():
    def forward(m, ids):
        a, b, c = ids != 0, ids != 3, ids != 4
        ab, bc = a & b, b | c
        both = [a & b & c, torch.logical_and(a, b), a.bitwise_and(c), ab & ab]
        either = [torch.bitwise_or(a, b), a.logical_or(c), bc | bc]
        mixed = (a | b) & c
        return *both, *either, mixed, mixed | (b & c)

    graph = agrees(Small(forward), [IDS], Value("ids", ("N", "T"), "int64"))
    makers = {node.outputs[0]: node for node in graph.nodes}
    kinds = [makers[name].op.kind for name in graph.outputs]
    assert kinds == [*["LogicalAnd"] * 4, *["LogicalOr"] * 3, "LogicalAnd", "LogicalOr"]


def test_a_layer_called_twice_is_one_op():
    module = Small(
        lambda m, ids: torch.cat([scores(m, ids), scores(m, ids.flip(1))], -1),
        table=table(),
        fc=nn.Linear(5, 3),
    )

    graph = torch_side.read(module)

    assert [node.name for node in graph.nodes] == ["table", "fc", "flip", "table_1", "fc_1", "concatenate"]
    assert graph["fc"].op is graph["fc_1"].op
    assert graph["table"].op is graph["table_1"].op


def summed(y: Tensor, other: Tensor) -> Tensor:
    y += other
    return y


def assigned(x: Tensor) -> Tensor:
    x[:, 1:, 0] = x[:, :-1, 0] * 3
    return x[..., 0]


WRITTEN_OVER: dict[str, Forward] = {
    "through an identity": lambda m, x: (m.act(m.same(x)), x),
    "through a view": lambda m, x: (m.act(x.flatten(1)), x),
    "through two transpositions": lambda m, x: (m.act(x.transpose(1, 2).transpose(1, 2)), x),
    "step by step": lambda m, x: (m.act(x.flatten(0, 1)).unflatten(0, x.shape[:2]), x),
    "the last step of a sequence": lambda m, x: (m.act((y := m.lstm(x)[0])[:, -1]), y),
    "behind a layer": lambda m, x: (m.act(m.linear(x)), x),
    "behind a normalization": lambda m, x: (m.act(m.norm(x.transpose(1, 2)).transpose(1, 2)), x),
    "behind a sum": lambda m, x: (m.act(x + x), x),
    "twice": lambda m, x: (m.act(m.act(m.drop(m.linear(x)))), x),
    "a residual, and a view of it": lambda m, x: (
        (y := m.lstm(x)[0]).transpose(1, 2), skip := y, summed(y, m.linear(x)[..., :4]) + skip
    ),
    "a slice": lambda m, x: (x[:, 0].mul_(2.0), x),
    "a masked fill": lambda m, x: (x.masked_fill_(x > 0.5, -1.0), x),
    "an assignment": lambda m, x: (assigned(x), x),
}  # fmt: skip


def test_what_is_written_over_is_seen_by_whoever_has_it():
    def forward(m, ids):
        return [rule(m, m.table(ids) * 1.0) for rule in WRITTEN_OVER.values()]

    parts = {
        "table": table(),
        "drop": nn.Dropout(0.1),
        "same": nn.Identity(),
        "linear": nn.Linear(5, 5),
        "norm": nn.BatchNorm1d(5).eval(),
        "lstm": nn.LSTM(5, 4, batch_first=True),
        "act": nn.ReLU(inplace=True),
    }
    agrees(Small(forward, **parts), [IDS])


def test_what_was_an_idiom_of_its_own_is_read_like_anything_else():
    def forward(m, ids):
        x = m.table(ids)
        rows = ids.shape[0]
        zeros = x.new_zeros(1, rows, 4)
        y, (h, c) = m.time_first(x.transpose(0, 1), (zeros, torch.ones(1, rows, 4, dtype=x.dtype)))
        steps, state = [], torch.zeros(rows, 4, dtype=x.dtype)
        for step in range(3):
            state = m.cell(x[:, step], state)
            steps.append(state)
        lengths = (ids != 0).sum(1).clamp(min=1)
        last = x.gather(1, (lengths - 1).view(-1, 1, 1).expand(-1, 1, 5)).squeeze(1)
        return {
            "sequence": y,
            "states": (h[-1, :, :], c[0]),
            "cells": torch.stack(steps, 1),
            "raw": x * m.fc.weight[0] + 1,
            "normed": m.normed(x),
            "over features": x.amax(dim=2),
            "over all": x.max(),
            "where": (x.max(1)[1], x.max(1).indices),
            "of two": torch.max(x, x.flip(1)),
            "compared": (ids > 0, ids != ids.flip(1)),
            "last": last,
            "nothing": None,
        }

    parts = {
        "time_first": nn.LSTM(5, 4), "cell": nn.GRUCell(5, 4), "fc": nn.Linear(5, 2),
        "normed": nn.utils.parametrizations.weight_norm(nn.Linear(5, 2)),
    }  # fmt: skip
    graph = agrees(Small(forward, table=table(), **parts), [IDS])
    assert [*graph.outputs][:2] == ["sequence", "states_0"]
    assert {"cells", "raw", "where_0", "where_1", "last"} <= {*graph.outputs}


def always_dropped(m: Any, ids: Tensor) -> Tensor:
    return functional.dropout(m.table(ids), 0.5)


REFUSED: dict[str, tuple[Forward, dict[str, nn.Module], str]] = {
    "max_norm": (lambda m, ids: m.table(ids), {"table": table(max_norm=1.0)}, "max_norm"),
    "always dropout": (always_dropped, {}, "always on"),
    "written over through dropout": (
        lambda m, x: (m.act(m.drop(y := m.table(x))), y),
        {"drop": nn.Dropout(0.1), "act": nn.ReLU(inplace=True)},
        "off by",
    ),
    "branch": (lambda m, ids: m.table(ids) if ids.sum() > 0 else ids, {}, "branch"),
    "half": (lambda m, ids: m.fc(m.table(ids).half()), {"fc": nn.Linear(5, 2).half()}, "float16"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_not_supported_is_refused_by_a_typed_error(what):
    forward, parts, said = REFUSED[what]

    with pytest.raises(UnsupportedError, match="Small") as caught:
        torch_side.read(Small(forward, **{"table": table(), **parts}))
    assert said in str(caught.value)


def test_all_problems_are_named_at_once():
    def forward(m, ids):
        x = torch.special.gammaln(m.table(ids))
        return torch.special.bessel_j0(m.fc(x)), m.proj(x)[0]

    parts = {"fc": nn.Linear(5, 5), "proj": nn.LSTM(5, 4, proj_size=2)}
    with pytest.raises(UnsupportedError) as caught:
        torch_side.read(Small(forward, table=table(), **parts))
    assert len(caught.value.reasons()) >= 2
    assert "bessel_j0" in str(caught.value)
    assert "lgamma" in str(caught.value) or "gammaln" in str(caught.value)


def test_a_hook_and_a_forward_of_its_own_are_what_they_compute():
    hooked, replaced = nn.Linear(5, 2), nn.Linear(5, 5)
    hooked.register_forward_hook(lambda module, args, output: args[0] + 1.0)
    replaced.forward = lambda input: input * 2.0

    graph = torch_side.read(
        Small(
            lambda m, ids: (m.one(m.table(ids)), m.two(m.table(ids))), table=table(), one=hooked, two=replaced
        )
    )
    x = graph.weights()["table"]["weight"][IDS]
    for given, right in zip(biport.reference.run(graph, [IDS], "float32"), (x + 1, x * 2), strict=True):
        np.testing.assert_array_equal(given, right)


@pytest.mark.parametrize(
    "path, bad", [("table.weight", "nan"), ("lstm.bias_hh_l0", "inf"), ("body.1.weight", "nan")]
)
def test_weights_that_are_not_finite_are_refused_by_path(path, bad):
    module = Last(bidirectional=True)
    with torch.no_grad():
        module.get_parameter(path).view(-1)[-1] = float(bad)

    with pytest.raises(WeightError, match=rf"Last: {path.rpartition('.')[0]} \(.*NaN"):
        torch_side.read(module)


def test_layers_that_do_not_suit_each_other_are_named():
    with pytest.raises(BiportError, match=r"example|mat1"):
        torch_side.read(Small(scores, table=table(), fc=nn.Linear(4, 2)))


def test_an_optional_argument_nobody_uses_is_no_input():
    class Optional(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.table = table()

        def forward(self, ids, mask=None):
            return self.table(ids)

    assert [value.name for value in torch_side.read(Optional()).inputs] == ["ids"]


def test_the_rest_of_what_a_layer_gives_is_unpacked():
    class Model(nn.Module):
        def __init__(self):
            super().__init__()
            self.both = layers.MaskedLSTM(2, 3, bidirectional=True)
            self.gru = layers.MaskedGRU(3, 3)

        def forward(self, x):
            outputs, (h, *_) = self.both(x)
            forward, backward = outputs.chunk(2, dim=-1)
            outputs, *states = self.gru(forward + backward, h[:1])
            return outputs[:, -1], *states

    module = Model()
    graph = torch_side.read(module)
    assert [len(node.outputs) for node in graph.nodes] == [5, 2, 1]
    x = GENERATOR(3).normal(size=(2, 4, 2)).astype("float32")
    assert worst(torch_side.run(module, [x]), biport.reference.run(graph, [x])) <= 1e-6
