# pyright: reportArgumentType=false, reportAttributeAccessIssue=false, reportIncompatibleMethodOverride=false
"""Layers that call TensorFlow: what is read of their graphs computes what they do; the rest is refused."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator
from typing import Any

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

import keras_side
import testing.frameworks  # noqa: F401
from biport import reference
from biport.errors import UnsupportedError
from biport.graph import Graph
from biport.ops import Dense, Parameter
from keras_side.legacy.messages import translated
from keras_side.recording.concrete import concrete
from testing.tensorflow_layers import CASES, Case, Layer

NEEDS = "ignore:Layer '.*' .of type .* was passed an input with a mask attached to it:UserWarning"
pytestmark = pytest.mark.filterwarnings(
    NEEDS, "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)
ALWAYS = (
    ("MaskedAttention", "float32"),
    ("LastValid", "float64"),
    ("Sizes", "float64"),
    ("FeatureMaps", "float64"),
)
"""What is more than a sweep, under a mask where it takes one."""
V, E = 9, 4


@contextlib.contextmanager
def floats(dtype: str) -> Iterator[None]:
    before = keras.config.floatx()
    keras.config.set_floatx(dtype)
    keras.config.set_dtype_policy(dtype)
    yield
    keras.config.set_floatx(before)
    keras.config.set_dtype_policy(before)


def with_layer(case: Case, masked: bool) -> tuple[keras.Model, list[str]]:
    """A model around the layer, the mask that of an embedding; and of what kind its inputs are."""
    kinds = ["steps" if features else "ids" for features in case.features]
    kinds[:1] = ["ids"] if masked else kinds[:1]
    inputs = [
        keras.Input((None,), dtype="int32") if kind == "ids" else keras.Input((None, features))
        for kind, features in zip(kinds, case.features, strict=True)
    ]
    given = [layers.Embedding(V, E, mask_zero=True)(inputs[0]), *inputs[1:]] if masked else inputs
    model = keras.Model(inputs, case.kind(name="own")(given[0] if len(given) == 1 else given))
    draw = np.random.default_rng(4)
    for variable in model.weights:
        variable.assign(draw.normal(0, 0.7, variable.shape))
    return model, kinds


def inputs_of(kinds: list[str], N: int, T: int, dtype: str) -> list[np.ndarray]:
    """Ids with padding behind, in front, in between and alone."""
    draw = np.random.default_rng(N)
    ids = draw.integers(1, V, (N, T)).astype("int32")
    ids[0, -1], ids[1, 0], ids[2, 1] = 0, 0, 0
    ids[-1] = 0 if N > 3 else ids[-1]
    return [ids if kind == "ids" else draw.normal(size=(N, T, E)).astype(dtype) for kind in kinds]


def assert_same(graph: Graph, model: keras.Model, arrays: list[np.ndarray], dtype: str) -> None:
    live = keras.tree.flatten(model(arrays if isinstance(model.input, list) else arrays[0]))
    tolerance = 1e-12 if dtype == "float64" else 3e-6
    for computed, wanted in zip(reference.run(graph, arrays, dtype), live, strict=True):
        array: Any = keras.ops.convert_to_numpy(wanted)
        np.testing.assert_allclose(computed, array, tolerance, tolerance)


def cases() -> Iterator[Any]:
    for case, dtype in itertools.product(CASES, ("float32", "float64")):
        for masked in (False, True) if case.masked and dtype == "float64" else (case.masked,):
            always = (case.name, dtype) in ALWAYS and masked == case.masked
            name = f"{case.name}-{dtype}{'-masked' if masked else ''}"
            yield pytest.param(case, masked, dtype, id=name, marks=[] if always else [pytest.mark.sweep])


@pytest.mark.parametrize(("case", "masked", "dtype"), [*cases()])
def test_a_layer_that_calls_tensorflow(case: Case, masked: bool, dtype: str) -> None:
    with floats(dtype):
        model, kinds = with_layer(case, masked)
        graph = keras_side.read(model)
        for N, T in ((4, 5), (3, 8)):
            assert_same(graph, model, inputs_of(kinds, N, T, dtype), dtype)


def case_of(name: str) -> Case:
    return next(case for case in CASES if case.name == name)


def test_a_tensordot_is_a_dense_and_names_are_paths() -> None:
    model, _ = with_layer(case_of("AdditiveAttention"), masked=False)
    graph = keras_side.read(model)
    kinds = [node.op.kind for node in graph.nodes]
    assert kinds == [
        *("Parameter", "Dense", "Activation", "MatMul", "Activation", "ExpandDims", "Elementwise"),
        "Reduction",
    ]
    own = model.get_layer("own")
    np.testing.assert_array_equal(graph["own.u"].op.weights()["value"], own.u.numpy())
    dense = next(node.op for node in graph.nodes if isinstance(node.op, Dense))
    np.testing.assert_array_equal(dense.weight, own.W.numpy().T)
    np.testing.assert_array_equal(dense.bias, own.b.numpy())


@pytest.mark.sweep
def test_layers_inside_stay_whole_and_have_the_mask() -> None:
    model, _ = with_layer(case_of("RecurrentAttention"), masked=True)
    graph = keras_side.read(model)
    encoder = graph["own.encoder"]
    (mask,) = (node for node in graph.nodes if node.op.kind == "NotEqual")
    assert encoder.op.kind == "Bidirectional"
    assert encoder.masks[0] == mask.outputs[0]
    assert graph["own.score"].op.kind == "Dense"


@pytest.mark.sweep
def test_layers_in_lists_and_of_modules() -> None:
    graph = keras_side.read(with_layer(case_of("ResidualBlocks"), masked=False)[0])
    assert {"own.blocks.0", "own.blocks.1", "own.norms.0.gamma", "own.norms.1.beta"} <= set(graph.tensors)
    graph = keras_side.read(with_layer(case_of("WithModule"), masked=False)[0])
    parameters = {node.name: node.op.trainable for node in graph.nodes if isinstance(node.op, Parameter)}
    assert parameters == {"own.module.scale": True, "own.shift": False}


class MaskGiven(Layer):
    """A mask that a layer inside hangs on what it gives is on what the layer gives."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.table = layers.Embedding(V, E, mask_zero=True)

    def build(self, shape: Any) -> None:
        self.table.build()

    def call(self, ids: Any) -> Any:
        return self.table(tf.identity(ids))


def test_a_mask_from_inside_goes_on() -> None:
    ids = keras.Input((None,), dtype="int32")
    model = keras.Model(ids, layers.GRU(3)(MaskGiven(name="own")(ids)))
    graph = keras_side.read(model)
    (layer,) = (node for node in graph.nodes if node.op.kind == "GRU")
    assert layer.masks[0] is not None
    assert_same(graph, model, inputs_of(["ids"], 4, 5, "float32"), "float32")


class Noise(Layer):
    def call(self, x: Any) -> Any:
        return x + tf.random.normal(tf.shape(x))


class Branches(Layer):
    def call(self, x: Any) -> Any:
        return tf.cond(tf.reduce_sum(x) > 0, lambda: x, lambda: -x)


class Loop(Layer):
    def call(self, x: Any) -> Any:
        return tf.scan(lambda before, step: before + step, tf.transpose(x, [1, 0, 2]))


class Counter(Layer):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.module = tf.Module()
        self.module.count = tf.Variable(0.0)

    def call(self, x: Any) -> Any:
        self.module.count.assign_add(1.0)
        return tf.tanh(x)


class Inverse(Layer):
    def call(self, x: Any) -> Any:
        return tf.linalg.inv(tf.matmul(x, x, transpose_a=True))


class Selected(Layer):
    def call(self, x: Any) -> Any:
        return tf.boolean_mask(x, x[:, :, 0] > 0)


class Window(Layer):
    def build(self, shape: Any) -> None:
        self.kernel = self.weight("kernel", 3, shape[-1], 2)

    def call(self, x: Any) -> Any:
        return tf.nn.convolution(x, self.kernel, 1, "SAME", dilations=2)


class Table(Layer):
    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        pairs = tf.lookup.KeyValueTensorInitializer([1, 2], [3.0, 4.0])
        self.table = tf.lookup.StaticHashTable(pairs, 0.0)

    def call(self, x: Any) -> Any:
        return self.table.lookup(tf.cast(x, tf.int32))


class Written(Layer):
    def call(self, x: Any) -> Any:
        return tf.TensorArray(x.dtype, size=1).write(0, x[:, 0]).stack()


class Backwards(Layer):
    """A bound that is counted from the end in short sequences alone."""

    def call(self, x: Any) -> Any:
        return x[:, : tf.shape(x)[1] - 3]


class Sampled(Layer):
    """Random numbers of Keras, whose generator keeps a state."""

    def call(self, x: Any) -> Any:
        return x + keras.random.normal(tf.shape(x))


class Halved(Layer):
    """Numbers of another dtype, which is seen when the recorded operations are read."""

    def call(self, x: Any) -> Any:
        return tf.cast(tf.cast(x, tf.float16) * 2, tf.float32)


REFUSED: dict[type[layers.Layer], str] = {
    Noise: r"layer 'own' \(Noise\): .*RandomStandardNormal in test_.*py, line \d+: return x \+ tf.*Dropout",
    Branches: r"StatelessIf in .*line \d+: return tf.cond.*where, of both results",
    Loop: r"TensorList.*RNN around a cell",
    Counter: r"AssignAddVariableOp in .*line \d+: self.module.count.assign_add.*leave the variables",
    Inverse: "MatrixInverse in ",
    Selected: "Where in .*where with three arguments",
    Window: "SpaceToBatchND in .*with a dilation_rate",
    Table: "LookupTable.*StringLookup and IntegerLookup",
    Written: "TensorListReserve in ",
    Sampled: r"StatelessRandom.*line \d+: return x \+ keras.random.normal.*Dropout",
    Halved: r"operation 'own.cast' \(Cast\) in test_.*py, line \d+: return tf.cast.*dtype='float16'",
    Backwards: r"bounds='T\+-3'.*numbers, such as -3",
}


@pytest.mark.parametrize(
    "kind", [pytest.param(one, marks=[] if one is Counter else pytest.mark.sweep) for one in REFUSED]
)
def test_what_no_graph_computes_is_refused_by_its_line(kind: type[layers.Layer]) -> None:
    x = keras.Input((None, E))
    model = keras.Model(x, kind(name="own")(x))
    with pytest.raises(UnsupportedError, match=REFUSED[kind]):
        keras_side.read(model)


class Eager(Layer):
    def call(self, x: Any) -> Any:
        return x if tf.reduce_sum(x) > 0 else -x


def test_code_that_fails_on_symbolic_tensors_is_refused_by_its_line() -> None:
    layer = Eager(name="own")
    x = keras.KerasTensor((None, E))
    with pytest.raises(UnsupportedError, match=r"call='Operator.*line \d+: return x if tf.reduce_sum"):
        concrete("layer 'own'", layer, [x], {})


def test_a_bias_of_channels_in_front_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="data_format='NCHW'"):
        translated("it", "BiasAdd", {"data_format": "NCHW"}, ["x", "b"])


def test_another_backend_has_no_graphs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keras.backend, "backend", lambda: "torch")
    with pytest.raises(UnsupportedError, match=r"backend='torch'.*KERAS_BACKEND=tensorflow"):
        concrete("layer 'own'", Eager(name="own"), [keras.KerasTensor((None, E))], {})
