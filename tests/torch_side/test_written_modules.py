"""What the tools of torch do with a written module; the table in docs/torch-tools.md is kept true here."""

from __future__ import annotations

import copy
import io
import pickle
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.func import functional_call, grad, jacrev

import biport.reference
import torch_side
from biport import ops
from biport.graph import Graph, Node, Value, frozen, penalties
from testing import graphs, recurrent_graphs, scans
from testing.examples import EXAMPLES, Example
from torch_side import layers

RNG = np.random.default_rng(0)
AUTO = torch.export.Dim.AUTO
SIZES = ((3, 5), (2, 7), (1, 1))


def recurrent(kind: str, masked: bool = True, **settings) -> Graph:
    op = recurrent_graphs.cell(RNG, kind, recurrent_graphs.I, recurrent_graphs.H, **settings)
    return recurrent_graphs.graph_of(op, masked=masked)


def whole(**settings) -> dict[str, bool]:
    return {"return_sequences": True, "return_state": True} | settings


def dense_over_time() -> Graph:
    op = graphs.dense(RNG, 3, 2, "relu")
    return Graph((Value("x", ("N", "T", 3), "float32"),), (Node("y", op, ("x",)),), ("y",))


def spectrogram(recurrence: bool) -> Graph:
    """Layers over time and frequency, whose every width varies with T, and what each step says."""
    rng = np.random.default_rng(1)
    sizes = {"input_size": 1, "output_size": 4, "kernel_size": 3, "padding": "same", "strides": (2, 1)}
    conv = ops.Conv2D(**sizes, weight=graphs.normal(rng, 4, 1, 3, 3), bias=graphs.normal(rng, 4))
    mean, variance = graphs.normal(rng, 4), graphs.normal(rng, 4) ** 2 + 0.5
    layers_of: list[ops.Op] = [
        conv,
        ops.BatchNormalization(size=4, weight=None, bias=graphs.normal(rng, 4), mean=mean, variance=variance),
        ops.Activation(function="relu"),
        ops.AveragePooling2D(pool_size=(1, 2), strides=(1, 2), padding="same"),
        ops.Reshape(target_shape=(-1, 12)),
        recurrent_graphs.cell(rng, "gru", 12, 3, return_sequences=True)
        if recurrence
        else graphs.dense(rng, 12, 3),
    ]
    return chain(Value("x", ("N", "T", 5, 1), "float32"), layers_of)


def film() -> Graph:
    """A convolution of every picture."""
    rng = np.random.default_rng(2)
    conv = ops.Conv2D(
        input_size=2, output_size=3, kernel_size=(2, 2), weight=graphs.normal(rng, 3, 2, 2, 2), bias=None
    )
    pool = ops.MaxPooling2D(pool_size=(2, 2), strides=(1, 1))
    layers_of = [ops.TimeDistributed(layer=op) for op in (conv, pool, ops.GlobalAveragePooling2D())]
    return chain(Value("x", ("N", "T", 4, 4, 2), "float32"), layers_of)


def chain(x: Value, layers_of: Sequence[ops.Op]) -> Graph:
    """Each op of what the one before gives."""
    names = [x.name, *(f"layer_{number}" for number in range(len(layers_of)))]
    nodes = [
        Node(after, op, (before,)) for before, after, op in zip(names, names[1:], layers_of, strict=False)
    ]
    return Graph((x,), tuple(nodes), (names[-1],))


FAMILIES: dict[str, Graph] = {
    "no recurrence": dense_over_time(),
    "nn.LSTM": graphs.classifier(RNG, masked=False),
    "masked": graphs.classifier(RNG, "sum"),
    "two masked layers": graphs.classifier(RNG, units=(4, 3)),
    "nn.GRU": recurrent("gru", masked=False, **whole()),
    "masked GRU": recurrent("gru", **whole()),
    "masked RNN": recurrent("rnn", **whole()),
    "reset before": recurrent("gru_before", **whole()),
    "any cell": scans.graph_of(scans.nested_cells(RNG, "float32", **whole())),
    "any cell with constants": scans.graph_of(scans.attention_cell(RNG, reverse=True)),
    "feature maps": spectrogram(recurrence=False),
    "feature maps and nn.GRU": spectrogram(recurrence=True),
    "films": film(),
    "recurrent dropout": recurrent("lstm", recurrent_dropout=0.25, dropout=0.25),
}
FEW = ("masked", "reset before")


def arrays(graph: Graph, N: int = 3, T: int = 5) -> list[Tensor]:
    rng = np.random.default_rng(N)
    graph = graph.at({"S": 6})
    return [torch.tensor(array) for array in recurrent_graphs.inputs_of(graph, rng, "holes", N, T)]


def flat(outputs: Tensor | Sequence[Tensor]) -> list[Tensor]:
    return [outputs] if isinstance(outputs, Tensor) else list(outputs)


def check_same(one, two, inputs: Sequence[Tensor], tolerance: float = 3e-6) -> None:
    with torch.no_grad():
        pairs = zip(flat(one(*inputs)), flat(two(*inputs)), strict=True)
        for mine, yours in pairs:
            torch.testing.assert_close(mine, yours, rtol=tolerance, atol=tolerance, equal_nan=True)


def saved(graph: Graph, module: nn.Module) -> None:
    for restored in (copy.deepcopy(module), pickle.loads(pickle.dumps(module))):
        check_same(restored, module, arrays(graph), 0)
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    check_same(torch.load(file, weights_only=False), module, arrays(graph), 0)


def narrow(graph: Graph, module: nn.Module) -> None:
    for dtype in (torch.float16, torch.bfloat16):
        inputs = [x.to(dtype) if x.is_floating_point() else x for x in arrays(graph)]
        for mine, yours in zip(
            flat(copy.deepcopy(module).to(dtype)(*inputs)), flat(module(*arrays(graph))), strict=True
        ):
            assert mine.dtype is dtype
            torch.testing.assert_close(mine.float(), yours, rtol=0.06, atol=0.06)


def double(graph: Graph, module: nn.Module) -> None:
    inputs = [x.double() if x.is_floating_point() else x for x in arrays(graph)]
    exact = biport.reference.run(graph, [x.numpy() for x in inputs], "float64")
    for mine, yours in zip(flat(copy.deepcopy(module).double()(*inputs)), exact, strict=True):
        np.testing.assert_allclose(mine.detach().numpy(), yours, atol=1e-12, rtol=0)


def scripted(graph: Graph, module: nn.Module) -> None:
    program = torch.jit.script(module)
    for size in SIZES:
        check_same(program, module, arrays(graph, *size))


def traced(graph: Graph, module: nn.Module) -> None:
    program = torch.jit.trace(module, tuple(arrays(graph)))
    if any(isinstance(part, layers.Recurrence) or hasattr(part, "stock") for part in module.modules()):
        check_same(program, module, arrays(graph, 2, 5))
        return
    for size in SIZES:
        check_same(program, module, arrays(graph, *size))


def exported(graph: Graph, module: nn.Module) -> None:
    rows = tuple({0: AUTO, 1: AUTO} if "T" in value.shape else {0: AUTO} for value in graph.inputs)
    program = torch.export.export(module, tuple(arrays(graph)), dynamic_shapes=rows).module()
    check_same(program, module, arrays(graph))
    check_same(program, module, arrays(graph, 2, 5))
    if any(isinstance(part, nn.RNNBase | layers.Recurrence) for part in module.modules()):
        with pytest.raises(AssertionError, match="Guard failed"):
            program(*arrays(graph, 3, 7))
    else:
        check_same(program, module, arrays(graph, 2, 7))


def compiled(graph: Graph, module: nn.Module) -> None:
    torch._dynamo.reset()
    program = torch.compile(module, backend="aot_eager")
    for size in SIZES:
        check_same(program, module, arrays(graph, *size))


def quantized(graph: Graph, module: nn.Module) -> None:
    small = torch.ao.quantization.quantize_dynamic(module, dtype=torch.qint8)
    check_same(small, module, arrays(graph), 0.2)
    stock = {name for name, part in module.named_modules() if type(part) in (nn.Linear, nn.LSTM, nn.GRU)}
    assert {name for name, part in small.named_modules() if "quantized" in type(part).__module__} >= stock


def functional(graph: Graph, module: nn.Module) -> None:
    inputs = arrays(graph)
    other = {name: 1.5 * parameter.detach() for name, parameter in module.named_parameters()}
    changed = copy.deepcopy(module)
    changed.load_state_dict(other, strict=False)
    check_same(lambda *x: functional_call(module, other, x), changed, inputs)

    def loss(parameters: dict[str, Tensor]) -> Tensor:
        return torch.stack(
            [y.square().sum() for y in flat(functional_call(module, parameters, tuple(inputs)))]
        ).sum()

    loss(dict(changed.named_parameters())).backward()
    for name, gradient in grad(loss)(other).items():
        wanted = changed.get_parameter(name)
        if wanted.requires_grad:
            torch.testing.assert_close(gradient, wanted.grad, rtol=1e-4, atol=1e-4)
    if inputs[0].is_floating_point():
        slopes = jacrev(lambda x: flat(module(x, *inputs[1:]))[0])(inputs[0])
        assert slopes.shape[-inputs[0].dim() :] == inputs[0].shape


def parallel(graph: Graph, module: nn.Module) -> None:
    check_same(nn.DataParallel(module), module, arrays(graph), 0)


def trained(graph: Graph, module: nn.Module) -> None:
    module = copy.deepcopy(module).train()
    parameters = [one for one in module.parameters() if one.requires_grad]
    before = [one.detach().clone() for one in parameters]
    optimizer = torch.optim.Adam(parameters)
    torch.stack([y.square().sum() for y in flat(module(*arrays(graph)))]).sum().backward()
    optimizer.step()
    assert not any(torch.equal(one, two) for one, two in zip(before, parameters, strict=True))
    pickle.loads(pickle.dumps(module))


TOOLS: Sequence[Callable[[Graph, nn.Module], None]] = (
    *(saved, narrow, double, scripted, traced, exported, compiled, quantized),
    *(functional, parallel, trained),
)
CHEAP = (saved, narrow, double, scripted, traced, quantized, functional, parallel, trained)


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("family", FEW)
def test_a_written_module_is_one_like_any_other(family):
    graph = FAMILIES[family]
    for tool in CHEAP:
        tool(graph, torch_side.write(graph))


@pytest.mark.sweep
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("tool", TOOLS, ids=lambda tool: tool.__name__)
@pytest.mark.parametrize("family", FAMILIES)
def test_every_tool_of_torch_takes_every_family(family, tool):
    graph = FAMILIES[family]
    tool(graph, torch_side.write(graph))


@pytest.mark.sweep
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", sorted({example.op.kind for example in EXAMPLES}))
def test_every_op_can_be_compiled_by_torchscript(kind):
    """Two in three of its examples, with masks and without."""
    examples = [example for example in EXAMPLES if example.op.kind == kind]
    for example in (example for at, example in enumerate(examples) if at % 3 != 2):
        graph, inputs = of_example(example)
        module = torch_side.write(graph)
        check_same(torch.jit.script(module), module, inputs, 1e-12)


def of_example(example: Example) -> tuple[Graph, list[Tensor]]:
    names = [f"x{position}" for position in range(len(example.inputs))]
    masks = [None if mask is None else f"mask{at}" for at, mask in enumerate(example.masks)]
    given = [*zip(names, example.inputs, strict=True)]
    given += [
        (name, mask) for name, mask in zip(masks, example.masks, strict=True) if name and mask is not None
    ]
    values = [Value(name, array.shape, array.dtype.name) for name, array in given]
    count = example.op.output_count
    outputs = ("y",) if count == 1 else tuple(f"y{number}" for number in range(count))
    node = Node("y", example.op, tuple(names), outputs, tuple(masks))
    return Graph(tuple(values), (node,), outputs), [torch.tensor(array) for _, array in given]


def test_attention_and_softmax_in_half_precision_have_no_nan_where_nothing_counts():
    layer = layers.Attention().half()
    x = torch.ones(2, 3, 4, dtype=torch.float16)
    output, weights = layer(x, x, value_mask=torch.zeros(2, 3, dtype=torch.bool))
    assert torch.allclose(weights, torch.full_like(weights, 1 / 3), atol=1e-3)
    assert output.isfinite().all()
    softmax = layers.Softmax()
    assert softmax(x, x > 2).eq(0).all()


@pytest.mark.parametrize("name", ["penalty", "paths", "id_bounds", "needs_steps"])
def test_a_node_may_be_called_what_the_module_calls_its_own(name):
    graph = Graph((Value("x", ("N", 3), "float32"),), (Node(name, graphs.dense(RNG, 3, 2), ("x",)),), (name,))
    module = torch_side.write(graph)
    assert list(module.paths.values()) == [f"{name}_"]
    assert torch_side.read(module) == graph


def learning(frozen_fields: Sequence[str], **given: ops.Penalty) -> ops.Learning:
    return ops.Learning(frozen=frozenset(frozen_fields), penalties=given)


def frozen_graph() -> Graph:
    """A layer of which one direction is frozen, and what is added to the loss for the rest."""
    l1, l2 = ops.Penalty(l1=0.5), ops.Penalty(l2=0.25)
    one = graphs.bidirectional(RNG, 3, 2)
    both = one.with_learning(
        {
            "forward": learning(["weight_ih", "bias_ih"], weight_ih=l1, weight_hh=l2),
            "backward": learning([], bias_ih=ops.Penalty(l1=1.0, l2=2.0)),
        }
    )
    head = graphs.dense(RNG, 4, 2).with_learning({"": learning(["bias"], weight=l1)})
    nodes = Node("both", both, ("x",)), Node("head", head, ("both",))
    return Graph((Value("x", ("N", "T", 3), "float32"),), nodes, ("head",))


@pytest.mark.parametrize("biases", ["one", "two"])
def test_frozen_weights_are_not_trained_and_come_back(biases):
    graph = frozen_graph()
    module = torch_side.write(graph, biases=biases)

    stay = {name for name, one in module.named_parameters() if not one.requires_grad}
    second = {"both.bias_hh_l0"} | ({"both.bias_hh_l0_reverse"} if biases == "one" else set())
    assert stay == {"both.weight_ih_l0", "both.bias_ih_l0", "head.bias"} | second
    back = torch_side.read(module)
    assert back == graph
    assert frozen(back) == frozen(graph)
    assert penalties(back) == penalties(graph)
    module.get_parameter("head.bias").requires_grad_(True)
    assert frozen(torch_side.read(module)) == frozen(graph) - {"head.bias"}


def test_a_penalty_is_that_of_the_weights_which_have_one():
    graph = frozen_graph()
    module = torch_side.write(graph)
    both, head = graph.nodes[0].op.weights(), graph.nodes[1].op.weights()
    wanted = 0.25 * sum(
        (array**2).sum() for path, array in both.items() if path.startswith("forward.weight_hh")
    )
    wanted += sum(
        abs(array).sum() + 2 * (array**2).sum()
        for path, array in both.items()
        if path.startswith("backward.bias_ih")
    )
    wanted += 0.5 * abs(head["weight"]).sum()
    np.testing.assert_allclose(module.penalty().item(), wanted, rtol=1e-6)
    assert copy.deepcopy(module).penalty().item() == module.penalty().item()


def test_a_layer_of_ones_own_that_is_frozen_is_read_so():
    module = nn.Sequential(nn.Linear(2, 3), layers.PReLU((1, 3)))
    module[1].requires_grad_(False)
    x = Value("x", ("N", "T", 2), "float32")
    graph = torch_side.read(module, x)
    assert len(frozen(graph)) == 1
    assert next(iter(frozen(graph))).endswith("alpha")


def test_the_table_names_every_tool():
    text = (Path(__file__).parents[2] / "docs" / "torch-tools.md").read_text(encoding="utf-8")
    named = re.findall(r"^\|.*\| `(\w+)` \|", text, flags=re.MULTILINE)
    assert named == [tool.__name__ for tool in TOOLS]
