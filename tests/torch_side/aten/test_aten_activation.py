from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

import torch_side
from biport import ops
from biport.errors import UnsupportedError
from testing.expressions import SAMPLE_AND_ALL, Expressions, inputs, read_expressions, some

ONE_OP = {
    "relu": (lambda m, x, i: functional.relu(x), ops.Activation(function="relu")),
    "in place": (lambda m, x, i: x.clone().relu_(), ops.Activation(function="relu")),
    "leaky_relu": (lambda m, x, i: functional.leaky_relu(x), ops.LeakyReLU(negative_slope=0.01)),
    "Keras' leaky_relu": (lambda m, x, i: m.leaky(x), ops.Activation(function="leaky_relu")),
    "elu": (lambda m, x, i: functional.elu(x), ops.Activation(function="elu")),
    "elu of alpha": (lambda m, x, i: functional.elu(x, 0.25), ops.ELU(alpha=0.25)),
    "celu": (lambda m, x, i: functional.celu(x), ops.Activation(function="celu")),
    "selu": (lambda m, x, i: functional.selu(x), ops.Activation(function="selu")),
    "gelu": (lambda m, x, i: functional.gelu(x), ops.Activation(function="gelu")),
    "silu": (lambda m, x, i: functional.silu(x), ops.Activation(function="silu")),
    "mish": (lambda m, x, i: functional.mish(x), ops.Activation(function="mish")),
    "hardtanh": (lambda m, x, i: functional.hardtanh(x), ops.Activation(function="hard_tanh")),
    "hardtanh from zero": (lambda m, x, i: functional.hardtanh(x, 0.0, 2.0), ops.ReLU(max_value=2.0)),
    "hardtanh between": (lambda m, x, i: functional.hardtanh(x, -0.5, 0.75), ops.Clip(min=-0.5, max=0.75)),
    "relu6": (lambda m, x, i: functional.relu6(x), ops.Activation(function="relu6")),
    "hardswish": (lambda m, x, i: functional.hardswish(x), ops.Activation(function="hard_silu")),
    "hardsigmoid": (lambda m, x, i: functional.hardsigmoid(x), ops.Activation(function="hard_sigmoid")),
    "sigmoid": (lambda m, x, i: x.sigmoid(), ops.Activation(function="sigmoid")),
    "expit": (lambda m, x, i: torch.special.expit(x), ops.Activation(function="sigmoid")),
    "sigmoid of ints": (lambda m, x, i: torch.sigmoid(i), ops.Activation(function="sigmoid")),
    "tanh": (lambda m, x, i: x.tanh(), ops.Activation(function="tanh")),
    "softplus": (lambda m, x, i: functional.softplus(x), ops.Activation(function="softplus")),
    "logsigmoid": (lambda m, x, i: functional.logsigmoid(x), ops.Activation(function="log_sigmoid")),
    "softmax": (lambda m, x, i: functional.softmax(x, dim=2), ops.Activation(function="softmax")),
    "softmax over time": (lambda m, x, i: x.softmax(1), ops.Softmax(axis=1)),
    "softmax of ints": (
        lambda m, x, i: i.softmax(-1, dtype=torch.float32), ops.Activation(function="softmax")
    ),
    "softmin": (lambda m, x, i: functional.softmin(x, -1), ops.Activation(function="softmax")),
    "log_softmax": (lambda m, x, i: x.log_softmax(-1), ops.Activation(function="log_softmax")),
    "log_softmax over time": (lambda m, x, i: torch.special.log_softmax(x, 1), ops.LogSoftmax(axis=1)),
    "rrelu": (lambda m, x, i: functional.rrelu(x, 0.25, 0.75), ops.LeakyReLU(negative_slope=0.5)),
    "dropout": (lambda m, x, i: m.dropout(x), ops.Dropout(rate=0.25)),
    "functional dropout": (lambda m, x, i: functional.dropout(x, 0.5, m.training), ops.Dropout(rate=0.5)),
    "alpha dropout": (lambda m, x, i: m.alpha(x), ops.AlphaDropout(rate=0.25)),
}  # fmt: skip
COMPOSED = {
    "slope that turns": lambda m, x, i: functional.leaky_relu(x, -0.25),
    "celu of alpha": lambda m, x, i: functional.celu(x, 0.75),
    "gelu by tanh": lambda m, x, i: functional.gelu(x, approximate="tanh"),
    "softplus of beta": lambda m, x, i: functional.softplus(x, 2.0, 1.0),
    "softsign": lambda m, x, i: functional.softsign(x),
    "tanhshrink": lambda m, x, i: functional.tanhshrink(x),
    "softshrink": lambda m, x, i: functional.softshrink(x) + functional.softshrink(x, 0.25),
    "hardshrink": lambda m, x, i: functional.hardshrink(x) + functional.hardshrink(x, 0.25),
    "threshold": lambda m, x, i: functional.threshold(x, 0.125, 20.0),
    "prelu": lambda m, x, i: m.slope(x),
    "prelu of channels": lambda m, x, i: m.slopes(x.transpose(1, 2)),
    "prelu of a row": lambda m, x, i: m.slopes(x[:, 0]),
    "prelu of a computed slope": lambda m, x, i: functional.prelu(x, x.mean().reshape(1)),
    "spatial dropout": lambda m, x, i: m.spatial(x.transpose(1, 2)),
    "dropout of images": lambda m, x, i: m.image(x.transpose(1, 2)[..., None]),
    "glu": lambda m, x, i: functional.glu(x),
    "glu by channels": lambda m, x, i: functional.glu(x.transpose(1, 2), 1),
}


def parts() -> dict[str, nn.Module]:
    parts = {
        "leaky": nn.LeakyReLU(0.2), "dropout": nn.Dropout(0.25), "alpha": nn.AlphaDropout(0.25),
        "spatial": nn.Dropout1d(0.25), "image": nn.Dropout2d(0.25), "slope": nn.PReLU(),
        "slopes": nn.PReLU(4),
    }  # fmt: skip
    nn.init.normal_(parts["slopes"].weight)
    return parts


@pytest.mark.parametrize("every", SAMPLE_AND_ALL)
def test_activations_that_are_one_op(every):
    table = some(ONE_OP, every)

    _, nodes = read_expressions(Expressions({k: rule for k, (rule, _) in table.items()}, **parts()), (4, 3))

    assert {name: node.op for name, node in nodes.items()} == {name: op for name, (_, op) in table.items()}


@pytest.mark.parametrize("every", SAMPLE_AND_ALL)
def test_activations_of_several_operations(every):
    read_expressions(Expressions(some(COMPOSED, every), **parts()), (4, 3), (1, 1))


@pytest.mark.sweep
def test_layers_take_along_what_is_done_with_them_alone():
    class Heads(nn.Module):
        def __init__(self):
            super().__init__()
            self.drop = nn.Dropout1d(0.25)
            self.front = nn.Sequential(
                nn.Conv1d(4, 3, 3, padding=1), nn.ReLU(), nn.Conv1d(3, 4, 1), nn.Tanh()
            )
            self.body = nn.Sequential(nn.Linear(4, 3), nn.Tanh(), nn.Linear(3, 2), nn.Softmax(-1))
            self.twice, self.seen = nn.Linear(2, 2), nn.Linear(2, 2)

        def forward(self, x):
            y = self.body(self.front(self.drop(x.transpose(1, 2))).transpose(1, 2))
            seen = self.seen(y)
            return torch.tanh(self.twice(y)) + self.twice(y), seen.clone().relu() * seen

    graph = torch_side.read(Heads().eval(), torch.ones(3, 5, 4))

    assert graph["drop"].op == ops.SpatialDropout1D(rate=0.25)
    assert graph["drop"].inputs == ("x",)
    assert "PermuteDims" not in {node.op.kind for node in graph.nodes}
    dense = {node.name: node.op for node in graph.nodes if isinstance(node.op, ops.Dense | ops.Conv1D)}
    activations = {name: op.activation for name, op in dense.items()}
    alone, others = (
        {"front.0": "relu", "front.2": "tanh", "body.0": "tanh", "body.2": "softmax"},
        ("twice", "twice_1", "seen"),
    )
    assert activations == alone | dict.fromkeys(others, "linear")
    assert dense["twice"] is dense["twice_1"]


def test_dropout_that_is_always_on_is_refused():
    module = Expressions(
        {
            "always": lambda m, x, i: functional.dropout(x, 0.5),
            "of features": lambda m, x, i: functional.dropout1d(x, 0.5),
            "of selu's features": lambda m, x, i: functional.feature_alpha_dropout(x, 0.5, training=False),
        }
    )

    with pytest.raises(UnsupportedError) as caught:
        torch_side.read(module, tuple(inputs(3, 5, 4)))

    reasons = [(reason["setting"], reason["value"]) for reason in caught.value.reasons()]
    assert reasons == [
        ("dropout", "'always on'"),
        ("feature_dropout", "'always on'"),
        ("feature_alpha_dropout", "'over 3 dimensions'"),
    ]
