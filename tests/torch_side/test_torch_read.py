from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from build_torch import GENERATOR, worst
from torch import nn
from torch.nn import functional
from torch.nn.utils.rnn import pack_padded_sequence

import biport.reference
import torch_side
from biport import ops
from biport.errors import GraphError, UnsupportedError, WeightError
from biport.graph import Value
from torch_side import layers

IDS = GENERATOR(1).integers(0, 20, size=(4, 6))


class Classifier(nn.Module):
    """What a person writes: an LSTM in one of many idioms, and a head."""

    def __init__(
        self, idiom: str, *, bidirectional: bool = False, num_layers: int = 1, bias: bool = True
    ) -> None:
        super().__init__()
        self.idiom = idiom
        self.table = nn.Embedding(20, 5, padding_idx=0)
        self.lstm = nn.LSTM(
            5, 4, num_layers, bias=bias, batch_first=True, bidirectional=bidirectional,
            dropout=0.25 if num_layers > 1 else 0,
        )  # fmt: skip
        self.body = nn.Sequential(nn.Dropout(0.5), nn.Linear(4 * (1 + bidirectional), 3), nn.Tanh())
        self.head = nn.Linear(3, 2)
        for parameter in self.parameters():
            nn.init.normal_(parameter, std=0.7)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        output, (h_n, _) = self.lstm(self.table(ids))
        x = {
            "h_n[-1]": lambda: h_n[-1],
            "cat": lambda: torch.cat([h_n[-2], h_n[-1]], dim=1),
            "cat -1": lambda: torch.cat((h_n[-2], h_n[-1]), -1),
            "output[:, -1]": lambda: output[:, -1],
            "output[:, -1, :]": lambda: output[:, -1, :],
            "max": lambda: output.max(dim=1).values,
            "max[0]": lambda: torch.max(output, 1)[0],
            "amax": lambda: output.amax(dim=1),
            "mean": lambda: output.mean(dim=1),
            "sequence": lambda: output,
        }[self.idiom]()
        return functional.softmax(self.head(self.body(x)), dim=-1)


def agrees(module: nn.Module, inputs: list[np.ndarray], tolerance: float = 1e-12) -> None:
    module = copy.deepcopy(module).double()
    graph = torch_side.read(module)
    assert worst(torch_side.run(module, inputs), biport.reference.run(graph, inputs)) <= tolerance
    written = torch_side.write(graph)
    assert worst(torch_side.run(written, inputs), biport.reference.run(graph, inputs)) <= tolerance
    assert torch_side.read(written) == graph


EITHER = ["max", "max[0]", "amax", "mean", "sequence"]
ONE, TWO = ["h_n[-1]", "output[:, -1]", "output[:, -1, :]"], ["cat", "cat -1"]


@pytest.mark.parametrize("num_layers", [1, 2, 3])
@pytest.mark.parametrize(
    "idiom, bidirectional",
    [*((i, False) for i in EITHER + ONE), *((i, True) for i in EITHER + TWO)],
)
def test_ordinary_modules_are_read_and_compute_the_same(idiom, bidirectional, num_layers):
    for bias in (True, False):
        agrees(Classifier(idiom, bidirectional=bidirectional, num_layers=num_layers, bias=bias), [IDS])


@pytest.mark.parametrize("idiom, bidirectional", [(i, True) for i in ONE])
def test_idioms_of_the_other_direction_are_refused(idiom, bidirectional):
    with pytest.raises(UnsupportedError) as caught:
        torch_side.read(Classifier(idiom, bidirectional=bidirectional, num_layers=2))

    assert len(caught.value.reasons()) == 1


def test_names_are_paths_and_training_settings_are_kept():
    graph = torch_side.read(Classifier("cat", bidirectional=True, num_layers=2))

    names = ["table", "lstm.l0", "lstm.dropout_l0", "lstm.l1", "body.0", "body.1", "head"]
    assert [node.name for node in graph.nodes] == names
    assert graph["lstm.dropout_l0"].op == ops.Dropout(rate=0.25)
    assert graph["body.1"].op.settings()["activation"] == "tanh"
    assert graph.inputs == (Value("ids", ("N", "T"), "int64"),)
    assert graph.origin["framework"] == "torch"


def test_reading_leaves_the_module_untouched():
    module = Classifier("max").train()
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

    graph = torch_side.read(Classifier("max"), inputs=[described])

    assert graph.inputs == (described,)
    with pytest.raises(UnsupportedError, match=r"one for each of \['ids'\]"):
        torch_side.read(Classifier("max"), inputs=[])


def test_an_lstm_says_what_its_input_is_and_a_linear_layer_does_not():
    class Frames(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.lstm = layers.LSTM(3, 4)

        def forward(self, x, valid):
            return self.lstm(x, valid)

    assert torch_side.read(Frames()).inputs == (
        Value("x", ("N", "T", 3), "float32"),
        Value("valid", ("N", "T"), "bool"),
    )
    head = nn.Sequential(nn.Linear(3, 2), nn.ReLU())
    with pytest.raises(UnsupportedError, match="inputs="):
        torch_side.read(head)
    assert torch_side.read(head, [Value("x", ("N", 3), "float32")])["0"].op.settings()["activation"] == "relu"


class Small(nn.Module):
    """A forward of one line over named layers."""

    def __init__(self, forward, **parts: nn.Module) -> None:
        super().__init__()
        self.rule = forward
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, ids):
        return self.rule(self, ids)


def table(**settings) -> nn.Embedding:
    return nn.Embedding(20, 5, **settings)


def scores(m, ids):
    return m.fc(m.table(ids))


@pytest.mark.parametrize(
    "activate",
    [
        torch.sigmoid, functional.sigmoid, lambda z: z.sigmoid(), nn.Sigmoid(),
        torch.tanh, functional.tanh, lambda z: z.tanh(), nn.Tanh(),
        torch.relu, functional.relu, lambda z: z.relu(), nn.ReLU(), nn.ReLU(inplace=True),
        lambda z: torch.softmax(z, -1), lambda z: functional.softmax(z, dim=2), lambda z: z.softmax(dim=-1),
        nn.Softmax(dim=-1), nn.Softmax(2), lambda z: z,
        nn.CELU(), functional.celu, nn.ELU(), lambda z: functional.elu(z, alpha=1.0), nn.GELU(),
        functional.gelu, torch.exp, lambda z: z.exp(), nn.Hardshrink(), functional.hardshrink, nn.Hardswish(),
        nn.Hardsigmoid(),
        functional.hardsigmoid, functional.hardswish, nn.Hardtanh(), functional.hardtanh, nn.LeakyReLU(0.2),
        lambda z: functional.leaky_relu(z, 0.2), nn.LogSigmoid(), functional.logsigmoid, nn.LogSoftmax(-1),
        lambda z: functional.log_softmax(z, dim=-1), nn.Mish(), functional.mish, nn.ReLU6(), functional.relu6,
        nn.SELU(), functional.selu, nn.SiLU(), functional.silu, nn.Softshrink(), functional.softshrink,
        nn.Softplus(), functional.softplus, nn.Softsign(), functional.softsign, nn.Tanhshrink(),
        functional.tanhshrink,
    ],
)  # fmt: skip
def test_activations_in_every_spelling(activate):
    parts = {"act": activate} if isinstance(activate, nn.Module) else {}
    module = Small(lambda m, ids: activate(scores(m, ids)), table=table(), fc=nn.Linear(5, 3))
    module.rule = (lambda m, ids: m.act(scores(m, ids))) if parts else module.rule
    for name, part in parts.items():
        module.add_module(name, part)

    agrees(module, [IDS])


def test_masks_pooling_and_dropout_in_every_spelling():
    def forward(m, ids):
        x = functional.dropout(m.table(ids), 0.3, m.training)
        masks = [ids != 0, torch.ne(ids, 3), ids.ne(4)]
        y = m.bi(x, masks[0] | masks[1] | masks[2])
        z = m.lstm(x, mask=torch.logical_or(masks[0], masks[2]))
        return m.pool(y, masks[0]), m.top(y), z, torch.cat([z, z], dim=1), m.join(x, y)

    parts = {
        "table": layers.Embedding(20, 5), "bi": layers.Bidirectional(5, 3, return_sequences=True),
        "lstm": layers.LSTM(5, 4, reverse=True), "pool": layers.GlobalAveragePooling1D(),
        "top": layers.GlobalMaxPooling1D(), "join": layers.Concatenate(),
    }  # fmt: skip
    module = Small(forward, **parts)

    agrees(module, [IDS])
    names = [node.name for node in torch_side.read(module).nodes]
    assert names[:3] == ["table", "dropout", "not_equal"] or names[:3] == [
        "table",
        "functional_dropout",
        "not_equal",
    ]
    assert "logical_or" in names
    assert "concatenate" in names


def test_joined_masks_in_every_spelling():
    def forward(m, ids):
        a, b, c = ids != 0, ids != 3, ids != 4
        ab, bc = a & b, b | c
        both = [a & b & c, torch.logical_and(a, b), a.bitwise_and(c), ab & ab]
        either = [torch.bitwise_or(a, b), a.logical_or(c), bc | bc]
        mixed = (a | b) & c
        return *both, *either, mixed, mixed | (b & c)

    module = Small(forward)

    agrees(module, [IDS])
    graph = torch_side.read(module)
    makers = {node.outputs[0]: node for node in graph.nodes}
    nodes = [makers[name] for name in graph.outputs]
    assert [node.op.kind for node in nodes] == [
        *["LogicalAnd"] * 4,
        *["LogicalOr"] * 3,
        "LogicalAnd",
        "LogicalOr",
    ]
    assert [len(node.inputs) for node in nodes] == [3, 2, 2, 2, 2, 2, 2, 2, 2]


def test_a_layer_called_twice_is_one_op():
    module = Small(
        lambda m, ids: torch.cat([scores(m, ids), scores(m, ids)], -1), table=table(), fc=nn.Linear(5, 3)
    )

    graph = torch_side.read(module)

    assert [node.name for node in graph.nodes] == ["table", "fc", "table_1", "fc_1", "concatenate"]
    assert graph["fc"].op is graph["fc_1"].op


LSTM = nn.LSTM(5, 4, batch_first=True)
REFUSED = {
    "max_norm": (lambda m, ids: m.table(ids), {"table": table(max_norm=1.0)}),
    "batch_first": (lambda m, ids: m.l(m.table(ids))[0], {"l": nn.LSTM(5, 4)}),
    "proj_size": (lambda m, ids: m.l(m.table(ids))[0], {"l": nn.LSTM(5, 4, batch_first=True, proj_size=2)}),
    "hx": (lambda m, ids: m.l(m.table(ids), (m.h, m.h))[0], {"l": LSTM, "h": nn.Identity()}),
    "c_n": (lambda m, ids: m.l(m.table(ids))[1][1], {"l": LSTM}),
    "whole h_n": (lambda m, ids: m.l(m.table(ids))[1][0], {"l": LSTM}),
    "everything": (lambda m, ids: m.l(m.table(ids)), {"l": LSTM}),
    "both": (lambda m, ids: (lambda o, s: (o, s[0][-1]))(*m.l(m.table(ids))), {"l": LSTM}),
    "first step": (lambda m, ids: m.l(m.table(ids))[0][:, 0], {"l": LSTM}),
    "one row": (lambda m, ids: m.l(m.table(ids))[0][-1], {"l": LSTM}),
    "cell": (lambda m, ids: m.l(m.table(ids)[:, 0]), {"l": nn.GRUCell(5, 4)}),
    "addition": (lambda m, ids: m.table(ids) + 1, {}),
    "another gelu": (lambda m, ids: m.act(scores(m, ids)), {"fc": nn.Linear(5, 2), "act": nn.GELU("tanh")}),
    "softmax dtype": (
        lambda m, ids: torch.softmax(m.fc(m.table(ids)), -1, torch.float64), {"fc": nn.Linear(5, 2)}
    ),
    "always dropout": (lambda m, ids: functional.dropout(m.table(ids), 0.5), {}),
    "dropout1d": (lambda m, ids: m.l(m.table(ids)), {"l": nn.Dropout1d(0.5)}),
    "greater": (lambda m, ids: m.l(m.table(ids), ids > 0), {"l": layers.LSTM(5, 2)}),
    "not equal to itself": (lambda m, ids: m.l(m.table(ids), ids != ids), {"l": layers.LSTM(5, 2)}),
    "max over features": (lambda m, ids: m.table(ids).amax(dim=2), {}),
    "max over all": (lambda m, ids: m.table(ids).max(), {}),
    "indices": (lambda m, ids: m.table(ids).max(1)[1], {}),
    "indices by name": (lambda m, ids: m.table(ids).max(1).indices, {}),
    "max of two": (lambda m, ids: torch.max(m.table(ids), m.table(ids)), {}),
    "branch": (lambda m, ids: m.table(ids) if ids.sum() > 0 else ids, {}),
    "packing": (
        lambda m, ids: m.l(pack_padded_sequence(m.table(ids), (ids != 0).sum(1), batch_first=True))[1][0][-1],
        {"l": LSTM},
    ),
    "half": (lambda m, ids: m.fc(m.table(ids)), {"fc": nn.Linear(5, 2).half()}),
    "weight norm": (
        lambda m, ids: m.fc(m.table(ids)),
        {"fc": nn.utils.parametrizations.weight_norm(nn.Linear(5, 2))},
    ),
    "raw parameter": (lambda m, ids: m.table(ids) * m.fc.weight[0], {"fc": nn.Linear(5, 2)}),
}  # fmt: skip


ALONE = {
    "Identity": (lambda m, x: m.act(x), nn.Identity(), ops.Identity()),
    "method": (lambda m, x: x.tanh(), None, ops.Activation(function="tanh")),
    "module": (lambda m, x: m.act(x), nn.SiLU(), ops.Activation(function="silu")),
    "in place": (lambda m, x: m.act(x), nn.ReLU(inplace=True), ops.ReLU()),
    "ReLU6": (lambda m, x: m.act(x), nn.ReLU6(), ops.ReLU(max_value=6.0)),
    "LeakyReLU": (lambda m, x: m.act(x), nn.LeakyReLU(0.1), ops.LeakyReLU(negative_slope=0.1)),
    "leaky_relu": (lambda m, x: functional.leaky_relu(x, 0.1), None, ops.LeakyReLU(negative_slope=0.1)),
    "leaky_relu of Keras": (
        lambda m, x: functional.leaky_relu(x, 0.2), None, ops.Activation(function="leaky_relu")
    ),
    "elu": (lambda m, x: functional.elu(x, 0.3), None, ops.ELU(alpha=0.3)),
    "ELU": (lambda m, x: m.act(x), nn.ELU(0.3), ops.ELU(alpha=0.3)),
    "hardtanh": (lambda m, x: functional.hardtanh(x, 0.0, 2.0), None, ops.ReLU(max_value=2.0)),
    "softmax over time": (lambda m, x: x.softmax(1), None, ops.Softmax(axis=1)),
    "Softmax": (lambda m, x: m.act(x), nn.Softmax(dim=-1), ops.Softmax(axis=-1)),
    "flatten": (lambda m, x: x.flatten(1), None, ops.Flatten()),
    "Flatten": (lambda m, x: m.act(x), nn.Flatten(), ops.Flatten()),
    "permute": (lambda m, x: x.permute(0, 2, 1), None, ops.Permute(dims=(2, 1))),
    "permute by a tuple": (lambda m, x: torch.permute(x, (0, -1, 1)), None, ops.Permute(dims=(2, 1))),
    "flip": (lambda m, x: x.flip(1), None, ops.Flip()),
    "flip by a tuple": (lambda m, x: torch.flip(x, (-2,)), None, ops.Flip()),
    "AlphaDropout": (lambda m, x: m.act(x), nn.AlphaDropout(0.3), ops.AlphaDropout(rate=0.3)),
    "PReLU": (lambda m, x: m.act(x), nn.PReLU(), None),
}  # fmt: skip


@pytest.mark.parametrize("what", ALONE)
def test_activations_and_shapes_that_stand_alone(what):
    forward, part, op = ALONE[what]
    parts = {} if part is None else {"act": part}
    module = Small(lambda m, ids: forward(m, m.table(ids)), table=table(), **parts)

    agrees(module, [IDS])
    if op is not None:
        assert torch_side.read(module).nodes[-1].op == op


def _after_both_transpositions(m, x):
    y = m.norm(x.transpose(1, 2))
    return m.act(y.transpose(1, 2)), y.transpose(1, 2)


OVERWRITTEN = {
    "through dropout": lambda m, x: (m.act(m.drop(x)), x),
    "through an identity": lambda m, x: (m.act(m.same(x)), x),
    "through a view": lambda m, x: (m.act(x.flatten(1)), x),
    "through two transpositions": lambda m, x: (m.act(x.transpose(1, 2).transpose(1, 2)), x),
    "behind a layer with channels first": _after_both_transpositions,
    "step by step": lambda m, x: (m.act(m.steps(x)), x),
    "a sequence of which the last step is used": lambda m, x: (m.act((y := m.lstm(x)[0])[:, -1]), y),
    "an output that is a final state": lambda m, x: (m.act((y := m.own(x))[0]), y[1]),
}
UNNOTICED = {
    "behind a layer": lambda m, x: (m.act(m.linear(x)), x),
    "behind a normalization": lambda m, x: (m.act(m.norm(x.transpose(1, 2)).transpose(1, 2)), x),
    "behind a pooling": lambda m, x: (m.act(x.mean(dim=1)), x),
    "behind a sum": lambda m, x: (m.act(x + x), x),
    "twice": lambda m, x: (m.act(m.act(m.drop(m.linear(x)))), x),
    "behind another activation": lambda m, x: (m.act(torch.tanh(x)), x),
    "a sequence": lambda m, x: (m.act(m.lstm(x)[0]), x),
    "step by step": lambda m, x: (m.act(m.linears(x)), x),
}


def in_place(forward) -> Small:
    parts = {
        "table": table(),
        "drop": nn.Dropout(0.1),
        "same": nn.Identity(),
        "linear": nn.Linear(5, 5),
        "norm": nn.BatchNorm1d(5).eval(),
        "lstm": nn.LSTM(5, 4, batch_first=True),
        "own": layers.LSTM(5, 4, return_state=True),
        "steps": layers.TimeDistributed(nn.Identity()),
        "linears": layers.TimeDistributed(nn.Linear(5, 3)),
        "act": nn.ReLU(inplace=True),
    }
    return Small(lambda m, ids: forward(m, m.table(ids)), **parts)


@pytest.mark.parametrize("what", OVERWRITTEN)
def test_what_several_use_is_not_written_over(what):
    with pytest.raises(UnsupportedError, match="inplace"):
        torch_side.read(in_place(OVERWRITTEN[what]))


@pytest.mark.parametrize("what", UNNOTICED)
def test_what_nobody_else_sees_may_be_written_over(what):
    agrees(in_place(UNNOTICED[what]), [IDS])


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_not_supported_is_refused_by_a_typed_error(what):
    forward, parts = REFUSED[what]

    with pytest.raises(UnsupportedError, match="Small"):
        torch_side.read(Small(forward, **{"table": table(), **parts}))


def test_all_problems_are_named_at_once():
    def forward(m, ids):
        x, _ = m.lstm(m.table(ids))
        return m.gru(x)[0].tanh(), ids > 0

    parts = {"table": table(max_norm=2.0), "lstm": nn.LSTM(5, 4, proj_size=2), "gru": nn.GRU(2, 3)}

    with pytest.raises(UnsupportedError) as caught:
        torch_side.read(Small(forward, **parts))

    reasons = [(reason["owner"], reason["setting"]) for reason in caught.value.reasons()]
    assert reasons == [
        ("Small: table (Embedding)", "max_norm"),
        ("Small: lstm (LSTM)", "batch_first"),
        ("Small: lstm (LSTM)", "proj_size"),
        ("Small: gru (GRU)", "batch_first"),
        ("Small: gt in forward", "operation"),
    ]


def test_modules_in_disguise_are_refused():
    hooked, replaced = nn.Linear(5, 2), nn.Linear(5, 2)
    hooked.register_forward_hook(lambda module, args, output: args[0])
    replaced.forward = lambda input: input

    for fc, what in ((hooked, "forward hooks"), (replaced, "its own forward")):
        with pytest.raises(UnsupportedError, match=rf"fc \(Linear\): {what}"):
            torch_side.read(Small(scores, table=table(), fc=fc))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("path", ["table.weight", "lstm.bias_hh_l0", "body.1.weight"])
def test_weights_that_are_not_finite_are_refused_by_path(path, bad):
    module = Classifier("max")
    with torch.no_grad():
        module.get_parameter(path).view(-1)[-1] = bad

    with pytest.raises(WeightError, match=rf"Classifier: {path.rpartition('.')[0]} \(.*NaN"):
        torch_side.read(module)


def test_layers_that_do_not_suit_each_other_are_named():
    with pytest.raises(GraphError, match=r"fc \(Linear\).*last dimension of 4"):
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
            self.both = layers.Bidirectional(2, 3, return_sequences=True, return_state=True, merge=None)
            self.gru = layers.GRU(3, 3, return_state=True)

        def forward(self, x):
            forward, backward, h, *_ = self.both(x)
            last, *states = self.gru(forward + backward, states=[h])
            return last, *states

    module = Model()
    graph = torch_side.read(module)
    assert [len(node.outputs) for node in graph.nodes] == [6, 1, 2]
    x = GENERATOR(3).normal(size=(2, 4, 2)).astype("float32")
    assert worst(torch_side.run(module, [x]), biport.reference.run(graph, [x])) <= 1e-6
    module.gru.return_state = False
    with pytest.raises(UnsupportedError, match="cannot be iterated"):
        torch_side.read(module)
