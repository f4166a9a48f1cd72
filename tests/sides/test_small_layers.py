"""Layers that are an activation, a shape, noise or a mask: the same on every side, with Keras' own masks.

Each stands between a masked embedding and an LSTM, which shows what mask comes through.
"""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import torch

import biport.bundle
import biport.reference
import export
import keras_side
import torch_side
from biport import ops, verify
from biport.errors import GraphError, InputError, UnsupportedError
from biport.graph import Graph, Node, Value
from testing.models import check_same, every_mask

layers: Any = keras.layers  # Keras annotates fewer types than it takes.

V, E, T = 11, 6, 8
PASSING: dict[str, Callable[[], list]] = {
    "activation": lambda: [layers.Activation("tanh")],
    "linear": lambda: [layers.Activation("linear")],
    "softmax as activation": lambda: [layers.Activation("softmax")],
    "relu": lambda: [layers.ReLU()],
    "relu 6": lambda: [layers.ReLU(6.0)],
    "relu 0": lambda: [layers.ReLU(0, 0.3)],
    "relu max and slope": lambda: [layers.ReLU(0.5, 0.1)],
    "relu slope": lambda: [layers.ReLU(negative_slope=0.25)],
    "relu threshold": lambda: [layers.ReLU(threshold=0.3)],
    "relu everything": lambda: [layers.ReLU(0.9, 0.2, 0.4)],
    "relu maximum under the threshold": lambda: [layers.ReLU(0.2, 0.2, 0.4)],
    "leaky relu": lambda: [layers.LeakyReLU(0.3)],
    "leaky relu as the activation has it": lambda: [layers.LeakyReLU(0.2)],
    "leaky relu 0": lambda: [layers.LeakyReLU(0.0)],
    "elu": lambda: [layers.ELU()],
    "elu 0.4": lambda: [layers.ELU(alpha=0.4)],
    "prelu a feature": lambda: [layers.PReLU(shared_axes=[1])],
    "prelu one": lambda: [layers.PReLU(shared_axes=[1, 2])],
    "noise": lambda: [layers.GaussianNoise(0.3)],
    "gaussian dropout": lambda: [layers.GaussianDropout(0.3)],
    "alpha dropout": lambda: [layers.AlphaDropout(0.3)],
    "identity": lambda: [layers.Identity()],
    "penalty": lambda: [layers.ActivityRegularization(0.1, 0.2)],
    "stacked": lambda: [layers.LSTM(3, return_sequences=True), layers.ELU(), layers.Activation("gelu")],
}
ENDING: dict[str, Callable[[], list]] = {
    "reshape to itself": lambda: [layers.Reshape((-1, E))],
    "reshape to more steps": lambda: [layers.Reshape((-1, E // 2))],
    "reshape to more dimensions": lambda: [layers.Reshape((-1, 2, E // 2)), layers.Reshape((-1, E // 2))],
    "permute nothing": lambda: [layers.Permute((1, 2))],
    "permute twice": lambda: [layers.Permute((2, 1)), layers.Activation("tanh"), layers.Permute((2, 1))],
    "padding": lambda: [layers.ZeroPadding1D((1, 2))],
    "no padding": lambda: [layers.ZeroPadding1D(0)],
    "cropping": lambda: [layers.ZeroPadding1D(3), layers.Cropping1D((2, 1))],
    "no cropping": lambda: [layers.Cropping1D((0, 0))],
    "upsampling": lambda: [layers.UpSampling1D(3)],
    "upsampling by 1": lambda: [layers.UpSampling1D(1)],
    "all lengths": lambda: [
        layers.ZeroPadding1D((2, 0)), layers.UpSampling1D(2), layers.Cropping1D((1, 0)),
        layers.ZeroPadding1D((0, 1)), layers.Reshape((-1, E // 3)),
    ],
}  # fmt: skip
FIXED: dict[str, Callable[[], list]] = {
    "prelu an element": lambda: [layers.PReLU()],
    "prelu a step": lambda: [layers.PReLU(shared_axes=[2])],
    "reshape": lambda: [layers.Reshape((4, 2 * E))],
    "reshape to fewer steps": lambda: [layers.Reshape((-1, 2 * E))],
    "flatten": lambda: [layers.Flatten(), layers.PReLU(), layers.RepeatVector(3)],
    "permute": lambda: [layers.Permute((2, 1))],
    "reshape of permuted": lambda: [layers.Permute((2, 1)), layers.Reshape((2, -1))],
    "fixed lengths": lambda: [layers.ZeroPadding1D(1), layers.Cropping1D((1, 3)), layers.UpSampling1D(2)],
    "one step": lambda: [layers.Cropping1D((3, T - 4))],
}
UNMASKED: dict[str, Callable[[], list]] = {
    "softmax": lambda: [layers.Softmax()],
    "softmax of time": lambda: [layers.Softmax(axis=1)],
    "softmax of both": lambda: [layers.Softmax(axis=(1, 2))],
    "softmax of one of several": lambda: [layers.Softmax(axis=[-1])],
}
SEEDS = {"masked": 0, "unmasked": 1}


def scaled(model: keras.Model, seed: int = 3) -> keras.Model:
    rng = np.random.default_rng(seed)
    model.set_weights([(rng.normal(size=a.shape) * 0.7).astype("float32") for a in model.get_weights()])
    return model


def tagger(between: list, steps: int | None = None, masked: bool = True, functional: bool = True):
    """ids -> embedding -> ``between`` -> LSTM, with every step's output."""
    parts = [layers.Embedding(V, E, mask_zero=masked), *between, layers.LSTM(2, return_sequences=True)]
    start = keras.Input((steps,), dtype="int32", name="ids")
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not support masking.*")
        if not functional:
            return scaled(keras.Sequential([start, *parts]))
        x = start
        for part in parts:
            x = part(x)
        return scaled(keras.Model(start, x))


def same_everywhere(model: keras.Model, folder: Path, tf2onnx: bool = False) -> Graph:
    """Read, written, read back and run in every form."""
    graph = keras_side.read(model)
    model.save(folder / "model.keras")
    assert keras_side.read(folder / "model.keras") == graph
    module = torch_side.write(graph)
    assert torch_side.read(module) == graph
    biport.bundle.write(graph, folder / "bundle", overwrite=True)
    assert biport.bundle.read(folder / "bundle") == graph
    export.write(graph, folder / "model.onnx", overwrite=True, vectors=False)
    written = keras_side.write(graph)
    again = keras_side.read(written)
    assert {type(node.op) for node in again.nodes} >= {type(node.op) for node in graph.nodes}
    forms = [module, folder / "model.onnx", again]
    if tf2onnx:
        export.write_tf2onnx(model, folder / "tf2onnx.onnx", overwrite=True)
        forms.append(folder / "tf2onnx.onnx")
    check_same(graph, [model, written], forms)
    return graph


def side_by_side(kinds: dict[str, Callable[[], list]], steps: int | None, masked: bool = True):
    """One model with all of them behind the embedding; a mean over the steps of each shows its mask."""
    start = keras.Input((steps,), dtype="int32", name="ids")
    table = layers.Embedding(V, E, mask_zero=masked)(start)
    outputs = []
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not support masking.*")
        for number, make in enumerate(kinds.values()):
            x = table
            for part in make():
                x = part(x)
            outputs += [x, layers.GlobalAveragePooling1D(name=f"behind_{number}")(x)]
        return scaled(keras.Model(start, outputs))


@pytest.mark.parametrize(
    ("kinds", "passes"), [(PASSING, True), (ENDING, False)], ids=["the mask passes", "the mask ends"]
)
def test_side_by_side(kinds, passes, tmp_path):
    graph = same_everywhere(side_by_side(kinds, None), tmp_path)
    behind = [graph[f"behind_{number}"] for number in range(len(kinds))]
    assert all((node.masks != (None,)) is passes for node in behind)
    assert all(graph.tensors[name].shape[0] == "N" for name in graph.outputs)


@pytest.mark.parametrize(
    ("kinds", "steps"), [(FIXED, T), (UNMASKED, None)], ids=["fixed lengths", "softmax over any axis"]
)
def test_side_by_side_of_a_length_or_without_a_mask(kinds, steps, tmp_path):
    same_everywhere(side_by_side(kinds, steps, kinds is FIXED), tmp_path)


def one_alone(chosen: str, kinds: dict[str, Any]) -> list[Any]:
    """All of them are in `make test` side by side, one is alone too; the others are so in the sweep."""
    return [name if name == chosen else pytest.param(name, marks=pytest.mark.sweep) for name in kinds]


def in_turn(name: str, kinds: dict[str, Any]) -> bool:
    """Whether the model is a functional one: every other one is."""
    return [*kinds].index(name) % 2 == 1


@pytest.mark.parametrize("name", one_alone("elu", PASSING))
def test_the_mask_passes(name, tmp_path):
    model = tagger(PASSING[name](), functional=in_turn(name, PASSING))
    graph = same_everywhere(model, tmp_path, name == "elu")
    assert graph.nodes[-1].masks != (None,)


@pytest.mark.parametrize("name", one_alone("upsampling", ENDING))
def test_the_mask_ends(name, tmp_path):
    model = tagger(ENDING[name](), functional=in_turn(name, ENDING))
    graph = same_everywhere(model, tmp_path, name == "upsampling")
    assert graph.nodes[-1].masks == (None,)
    assert graph.tensors[graph.outputs[0]].shape[0] == "N"


@pytest.mark.sweep
@pytest.mark.parametrize("name", FIXED)
def test_fixed_lengths(name, tmp_path):
    same_everywhere(tagger(FIXED[name](), T), tmp_path)


@pytest.mark.sweep
def test_more_of_them_by_tf2onnx(tmp_path):
    same_everywhere(tagger(PASSING["relu 6"]()), tmp_path, tf2onnx=True)
    same_everywhere(tagger(FIXED["flatten"](), T), tmp_path, tf2onnx=True)


@pytest.mark.sweep
@pytest.mark.parametrize("name", UNMASKED)
def test_softmax_over_any_axis(name, tmp_path):
    same_everywhere(tagger(UNMASKED[name](), None, masked=False), tmp_path)


@pytest.mark.parametrize("functional", [True, False], ids=["functional", "sequential"])
@pytest.mark.parametrize("name", UNMASKED)
def test_softmax_under_a_mask_it_cannot_take_is_refused(name, functional):
    # Keras fails in the middle of such a model, or not at all where sizes happen to fit.
    model = tagger(UNMASKED[name](), None, masked=False, functional=functional)
    start = keras.Input((None,), dtype="int32")
    try:
        x = layers.Softmax()(layers.Embedding(V, E, mask_zero=True)(start))
    except ValueError:
        pass
    else:
        with pytest.raises(UnsupportedError, match="mask"):
            keras_side.read(keras.Model(start, x))
    graph = keras_side.read(model)
    nodes = [
        Node(n.name, n.op, n.inputs, n.outputs, ("mask",)) if isinstance(n.op, ops.Softmax) else n
        for n in graph.nodes
    ]
    with pytest.raises(UnsupportedError, match=r"softmax.*mask"):
        Graph(graph.inputs, (Node("mask", ops.NotEqual(), ("ids",)), *nodes), graph.outputs)


def test_softmax_of_scores_under_their_mask(tmp_path):
    ids = keras.Input((None,), dtype="int32", name="ids")
    embedding = layers.Embedding(V, E, mask_zero=True, name="table")
    x = embedding(ids)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*does not support masking.*")
        scores = layers.Reshape((-1,), name="scores")(layers.Dense(1, name="score")(x))
    weights = layers.Softmax(name="weights")(scores, mask=embedding.compute_mask(ids))
    model = scaled(keras.Model(ids, weights))
    graph = same_everywhere(model, tmp_path)
    assert graph["weights"].masks != (None,)
    found = keras_side.run(model, [np.array([[0, 3, 0], [0, 0, 0]], "int32")])[0]
    np.testing.assert_array_equal(found, [[0, 1, 0], [0, 0, 0]])


def masked_features(value, functional: bool) -> keras.Model:
    start = keras.Input((None, 3), name="x")
    parts = [
        layers.Masking(value, name="masking"),
        layers.Bidirectional(layers.LSTM(2, return_sequences=True), name="bi"),
    ]
    parts += [layers.LSTM(3, name="last"), layers.Dense(2, name="head")]
    if not functional:
        return scaled(keras.Sequential([start, *parts]))
    x = start
    for part in parts:
        x = part(x)
    return scaled(keras.Model(start, x))


@pytest.mark.parametrize(
    ("value", "functional"),
    [(-1.0, False), *(pytest.param(v, True, marks=pytest.mark.sweep) for v in (0.0, 0, 2.5, -1e9))],
)
def test_masking_starts_a_mask(value, functional, tmp_path):
    model = masked_features(value, functional)
    graph = same_everywhere(model, tmp_path)
    assert [type(node.op) for node in graph.nodes].count(ops.FeaturesNotEqual) == 1
    rng = np.random.default_rng(1)
    x = rng.normal(size=(6, 7, 3)).astype("float32")
    for row, steps in enumerate([[], [5, 6], [0, 1], [1, 3, 6], range(7), range(6)]):
        x[row, list(steps)] = value
    x[0, 2, :2] = value
    module = torch_side.write(graph)
    export.write(graph, tmp_path / "model.onnx", overwrite=True)
    assert verify(model, module, tmp_path / "model.onnx", inputs=[x], float64=True).ok
    other = torch_side.write(keras_side.read(masked_features(7.0, functional)))
    other.load_state_dict(module.state_dict())
    assert verify(model, other, inputs=[x]).at_fault == ["torch"]


def test_masking_replaces_the_mask_before_it(tmp_path):
    model = tagger([layers.Masking(0.0), layers.Activation("tanh")])
    graph = same_everywhere(model, tmp_path)
    (mask,) = graph.nodes[-1].masks
    assert mask is not None
    assert isinstance(graph[mask].op, ops.FeaturesNotEqual)


def test_masks_of_features_are_joined(tmp_path):
    a, b = keras.Input((None, 2), name="a"), keras.Input((None, 3), name="b")
    x = layers.Concatenate()([layers.Masking(1.0)(a), layers.Masking(2.0)(b)])
    model = scaled(keras.Model([a, b], layers.LSTM(2)(x)))
    graph = same_everywhere(model, tmp_path)
    rng = np.random.default_rng(1)
    one, two = (rng.integers(0, 3, (9, 5, n)).astype("float32") for n in (2, 3))
    one[:4, 2:], two[2:6, 1:4] = 1, 2
    assert verify(model, graph, torch_side.write(graph), inputs=[one, two], float64=True).ok


EMPTY = """
import sys
import numpy as np
import export
for path in sys.argv[1:]:
    session = export.Session(path, device="cpu", threads=1)
    for size in ((0, 8), (3, 0), (0, 0), (1, 1), (2, 3)):
        try:
            (found,) = session.run([np.ones(size, "int32")])
            print(*found.shape)
        except export_errors.InputError as error:
            print("refused")
""".replace("import export\n", "import export\nimport biport.errors as export_errors\n")


def chained(kinds: dict[str, Callable[[], list]]) -> list:
    """The layers of all kinds, one after the other."""
    return [layer for make in kinds.values() for layer in make()]


def shape_of(run, ids):
    """The shape that a form gives, in words."""
    try:
        return " ".join(map(str, run([ids])[0].shape))
    except InputError:
        return "refused"


def test_nothing_at_all_gives_what_the_oracle_gives(tmp_path):
    kinds = {**ENDING, "passing": lambda: chained(PASSING), "unmasked": lambda: chained(UNMASKED)}
    wanted = []
    for place, (name, between) in enumerate(kinds.items()):
        graph = keras_side.read(tagger(between(), None, masked=name != "unmasked"))
        export.write(graph, tmp_path / f"{place}.onnx", vectors=False)
        module = torch_side.write(graph)
        for size in ((0, 8), (3, 0), (0, 0), (1, 1), (2, 3)):
            ids = np.ones(size, "int32")
            wanted.append(shape_of(lambda x: biport.reference.run(graph, x), ids))  # noqa: B023  (at once)
            mine = shape_of(lambda x: torch_side.run(module, x), ids)  # noqa: B023
            # Torch's LSTM takes a step or more.
            assert mine == wanted[-1] or (mine, size[1]) == ("refused", 0), name
    paths = [str(tmp_path / f"{place}.onnx") for place in range(len(kinds))]
    root = Path(__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", EMPTY, *paths], capture_output=True, text=True, cwd=root)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == wanted


def test_a_maximum_over_what_was_cropped_away_is_refused(tmp_path):
    nodes = (
        Node("pad", ops.ZeroPadding1D(padding=((0, 1),)), ("x",)),
        Node("crop", ops.Cropping1D(cropping=((2, 1),)), ("pad",)),
        Node("more", ops.UpSampling1D(size=(2,)), ("crop",)),
        Node("top", ops.GlobalMaxPooling1D(), ("more",)),
    )
    graph = Graph((Value("x", ("N", "T", 3), "float32"),), nodes, ("top",))
    export.write(graph, tmp_path / "m.onnx")
    session, module = export.Session(tmp_path / "m.onnx", device="cpu"), torch_side.write(graph)
    for steps in range(6):
        x = np.random.default_rng(steps).normal(size=(2, steps, 3)).astype("float32")
        if steps < 3:
            for run in (
                session.run,
                lambda a: torch_side.run(module, a),
                lambda a: biport.reference.run(graph, a),
            ):
                with pytest.raises(InputError, match=rf"T = (0|{steps})\b|over 0 steps"):
                    run([x])
        else:
            (exact,) = biport.reference.run(graph, [x])
            np.testing.assert_array_equal(session.run([x])[0], exact.astype("float32"))


def test_rows_that_do_not_go_into_a_shape_are_refused(tmp_path):
    model = tagger([layers.Reshape((-1, 2 * E))])
    graph = keras_side.read(model)
    assert graph.tensors["reshape" if "reshape" in graph.tensors else graph.nodes[1].name].shape == (
        "N",
        "T/2",
        2 * E,
    )
    export.write(graph, tmp_path / "m.onnx")
    session, module = export.Session(tmp_path / "m.onnx", device="cpu"), torch_side.write(graph)
    ids = np.arange(1, 9, dtype="int32").reshape(1, 8)
    assert verify(model, module, graph, session, inputs=[ids], float64=True).ok
    for run in (session.run, lambda a: torch_side.run(module, a), lambda a: biport.reference.run(graph, a)):
        with pytest.raises(InputError):
            run([ids[:, :7]])


FAULTS: dict[str, tuple[Callable[[], list], Callable[[], list]]] = {
    "activation": (lambda: [layers.Activation("elu")], lambda: [layers.Activation("selu")]),
    "slope": (lambda: [layers.LeakyReLU(0.3)], lambda: [layers.LeakyReLU(0.31)]),
    "threshold": (lambda: [layers.ReLU(1.0, 0.1, 0.2)], lambda: [layers.ReLU(1.0, 0.1, 0.3)]),
    "axis": (lambda: [layers.Softmax(1)], lambda: [layers.Softmax(2)]),
    "order": (
        lambda: [layers.Reshape((-1, E))],
        lambda: [layers.Reshape((-1, 2, 3)), layers.Permute((1, 3, 2)), layers.Reshape((-1, E))],
    ),
    "padding": (lambda: [layers.ZeroPadding1D((1, 0))], lambda: [layers.ZeroPadding1D((0, 1))]),
    "cropping": (
        lambda: [layers.ZeroPadding1D(2), layers.Cropping1D((1, 2))],
        lambda: [layers.ZeroPadding1D(2), layers.Cropping1D((2, 1))],
    ),
    "upsampling": (lambda: [layers.UpSampling1D(2)], lambda: [layers.UpSampling1D(3)]),
    "mask": (lambda: [layers.Identity()], lambda: [layers.Reshape((-1, E))]),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_fault_is_found(name):
    masked = name == "mask"
    right, wrong = (tagger(make(), None, masked) for make in FAULTS[name])
    wrong.set_weights(right.get_weights())
    inputs = every_mask(keras_side.read(right))
    report = verify(right, torch_side.write(keras_side.read(wrong)), inputs=inputs)
    assert report.at_fault == ["torch"]


def test_slopes_swapped_are_found():
    model = tagger(PASSING["prelu a feature"]())
    module = torch_side.write(keras_side.read(model))
    with torch.no_grad():
        slopes = next(p for name, p in module.named_parameters() if "re_lu" in name)
        slopes.copy_(slopes.flip(-1))
    report = verify(model, module)
    assert report.at_fault == ["torch"]
    assert report.weights["torch"]


REFUSED = {
    "mask_value": lambda: [layers.Masking(0.1)],
    "noise_shape": lambda: [layers.AlphaDropout(0.1, noise_shape=(None, 1, E))],
    "activation": lambda: [layers.Activation("sparsemax")],
}


@pytest.mark.parametrize("setting", REFUSED)
def test_refused_by_name(setting):
    (layer,) = REFUSED[setting]()
    with pytest.raises(UnsupportedError, match=rf"'{layer.name}'.*{setting}"):
        keras_side.read(tagger([layer], T))


BAD = {
    "function": lambda: ops.Activation(function="sparsemax"),
    "max_value": lambda: ops.ReLU(max_value=-1.0),
    "slope": lambda: ops.LeakyReLU(negative_slope=float("nan")),
    "axis": lambda: ops.Softmax(axis=()),
    "two -1": lambda: ops.Reshape(target_shape=(-1, -1)),
    "size 0": lambda: ops.Reshape(target_shape=(0, 3)),
    "dims": lambda: ops.Permute(dims=(0, 1)),
    "n": lambda: ops.RepeatVector(n=0),
    "padding": lambda: ops.ZeroPadding1D(padding=((1, -1),)),
    "cropping": lambda: ops.Cropping1D(cropping=(1,)),  # type: ignore[arg-type]
    "mask value": lambda: ops.Masking(mask_value=0.1),
    "value": lambda: ops.FeaturesNotEqual(value=float("inf")),
    "rate": lambda: ops.GaussianDropout(rate=2.0),
    "stddev": lambda: ops.GaussianNoise(stddev=-0.1),
}


@pytest.mark.parametrize("what", BAD)
def test_bad_settings_are_no_ops(what):
    with pytest.raises(GraphError):
        BAD[what]()


def test_sizes_that_vary_have_letters_that_say_how():
    x = ops.Tensor(("N", "T", 6), "float32")
    chain = [
        ops.ZeroPadding1D(padding=((1, 1),)),
        ops.UpSampling1D(size=(3,)),
        ops.Reshape(target_shape=(-1, 4)),
        ops.Flatten(),
    ]
    found = []
    for op in chain:
        (x,) = op.infer([x])
        found.append(x.shape)
    assert found == [
        ("N", "T+2", 6),
        ("N", "(T+2)*3", 6),
        ("N", "((T+2)*3)*3/2", 4),
        ("N", "(((T+2)*3)*3/2)*4"),
    ]
    same = ops.Reshape(target_shape=(-1, 2, 3)).infer([ops.Tensor(("N", "T", 6), "int32")])
    assert same == (ops.Tensor(("N", "T", 2, 3), "int32"),)
    with pytest.raises(GraphError):
        ops.Reshape(target_shape=(4, -1)).infer([ops.Tensor(("N", 3, 5), "float32")])
    with pytest.raises(GraphError):
        ops.Reshape(target_shape=(4, 4)).infer([ops.Tensor(("N", 3, 5), "float32")])
