"""Custom layers read as a function says, in files without their code and in live models beside it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import testing.frameworks  # noqa: F401  # isort: skip

import keras
import numpy as np
import pytest
from keras import layers

import biport
import keras_side
import torch_side
from biport import reference
from biport.errors import BiportError, InputError, UnsupportedError, WeightError
from biport.graph import frozen
from keras_side.mapped import CLASSES
from testing.keras_models import randomize

kops: Any = keras.ops
pytestmark = pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")


@keras.saving.register_keras_serializable("mapped")
class AdditivePool(layers.Layer):
    """Weights of its own and a layer inside."""

    def __init__(self, units: int, **options: Any) -> None:
        super().__init__(**options)
        self.units = units

    def build(self, input_shape: Any) -> None:
        self.W = self.add_weight(shape=(input_shape[-1], self.units), name="W")
        self.b = self.add_weight(shape=(self.units,), name="b")
        self.scale = self.add_weight(shape=(self.units,), name="scale", trainable=False)
        self.score = layers.Dense(1, use_bias=False)
        self.score.build((*input_shape[:-1], self.units))

    def call(self, x: Any, mask: Any = None) -> Any:
        scores = self.score(kops.tanh(kops.matmul(x, self.W) + self.b) * self.scale)
        if mask is not None:
            scores = scores + (1.0 - kops.cast(mask, scores.dtype)[..., None]) * -1e9
        return kops.sum(kops.softmax(scores, axis=1) * x, axis=1)

    def get_config(self) -> dict:
        return {**super().get_config(), "units": self.units}


class Gate(layers.Layer):
    """A class that nobody registered, which hands its mask on."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.supports_masking = True

    def build(self, input_shape: Any) -> None:
        self.share = self.add_weight(shape=(input_shape[-1],), name="share")

    def call(self, x: Any) -> Any:
        return x * kops.sigmoid(self.share)

    def compute_output_shape(self, shape: Any) -> Any:
        return shape


def additive_pool(layer: keras_side.MappedLayer) -> Any:
    x = layer.input
    W, b, scale = layer.weights("W", "b", frozen=("scale",))
    score = layer.sublayer("score", "Dense", units=1, use_bias=False)
    scores = score(layer.function("tanh", x @ W + b, name="hidden") * scale)
    if x.mask is not None:
        scores = scores + (1 - x.mask.astype(x.dtype))[..., None] * -1e9
    return (layer.softmax(scores, axis=1) * x).sum(axis=1)


def gate(layer: keras_side.MappedLayer) -> Any:
    (share,) = layer.weights("share")
    return layer.masked(layer.input * layer.function("sigmoid", share), layer.input.mask)


POOL = ["W", "b", "score.kernel", "scale"]
"""As Keras lists them: what trains first."""


@pytest.fixture(autouse=True)
def said() -> Iterator[None]:
    """The two classes are said what they are; whatever a test says besides is forgotten."""
    before = dict(CLASSES)
    keras_side.reads_class("mapped>AdditivePool", weights=POOL)(additive_pool)
    keras_side.reads_class("Gate", weights=["share"])(gate)
    yield
    CLASSES.clear()
    CLASSES.update(before)


def model() -> keras.Model:
    """Layers that are called twice, inside a model, inside a TimeDistributed, and behind a mask."""
    ids = keras.Input((None,), dtype="int32", name="ids")
    x = Gate(name="gate")(layers.Embedding(9, 4, mask_zero=True)(ids))
    inner = keras.Input((None, 4))
    nested = keras.Model(inner, Gate(name="deep")(inner), name="nested")
    y = layers.LSTM(4, return_sequences=True)(nested(x))
    pool = AdditivePool(5, name="pool")
    each = layers.TimeDistributed(Gate(name="inside"), name="each")(layers.Dense(4, name="plain")(x))
    return randomize(keras.Model(ids, [layers.Concatenate()([pool(x), pool(y)]), each]))


def test_files_and_the_live_model_give_one_graph(tmp_path: Path) -> None:
    live = model()
    graph = keras_side.read(live)
    names = {node.name for node in graph.nodes}
    assert {"pool.hidden", "pool@1.hidden", "pool.score", "nested.deep.multiply"} <= names
    assert graph["pool.score"].op is graph["pool@1.score"].op
    assert "pool.scale" in {path.rpartition(".")[0] for path in frozen(graph)}
    assert "unchecked" not in graph.origin
    for suffix in (".keras", ".h5"):
        live.save(tmp_path / f"model{suffix}")
        read = keras_side.read(tmp_path / f"model{suffix}")
        assert read.digest() == graph.digest()
        assert "read as additive_pool (test_keras_mapped.py, line" in read.origin["unchecked"]
        assert any("not compared" in note for note in keras_side.inspect(tmp_path / f"model{suffix}").notes)


@pytest.mark.sweep
def test_forms_of_it_agree_with_keras_under_every_mask() -> None:
    live = model()
    report = biport.verify(live, torch_side.write(keras_side.read(live)), float64=True)
    assert report.ok, report.table


def test_a_reader_that_is_wrong_is_found_beside_the_live_model() -> None:
    keras_side.reads_class("Gate")(lambda layer: gate(layer) * 1.5)
    x = keras.Input((None, 3))
    with pytest.raises(UnsupportedError, match=r"output gate.* over .*off by"):
        keras_side.read(randomize(keras.Model(x, Gate(name="gate")(x))))


def with_gate(tmp_path: Path, suffix: str = ".keras") -> Path:
    x = keras.Input((None, 3))
    randomize(keras.Model(x, layers.Dense(2)(Gate(name="gate")(x)))).save(tmp_path / f"gate{suffix}")
    return tmp_path / f"gate{suffix}"


def fails(layer: Any) -> Any:
    layer.weights("share")
    raise KeyError("units")


WRONG: dict[str, tuple[Any, type[BiportError], str]] = {
    "fails": (
        fails,
        InputError,
        r"fails \(test_keras_mapped.py, line \d+\), which reads it, fails: KeyError: 'units'",
    ),
    "too many weights": (lambda layer: layer.weights("a", "b")[0], WeightError, "lambda.*a.*b"),
    "weights left out": (lambda layer: layer.input, WeightError, "reads 0 of the 3 numbers of its weights"),
    "nothing": (lambda layer: layer.weights("share") and None, BiportError, "symbolic values; found None"),
    "sizes": (lambda layer: layer.input @ np.ones((2, 2)) + layer.weights("share")[0], BiportError, "MatMul"),
    "a layer nobody knows": (
        lambda layer: layer.sublayer("share", "Denser", units=2)(layer.input),
        UnsupportedError,
        "'gate'.*share.*Denser",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_what_is_wrong_with_a_reader_names_it_and_the_layer(case: str, tmp_path: Path) -> None:
    function, kind, words = WRONG[case]
    keras_side.reads_class("Gate")(function)
    with pytest.raises(kind, match=words) as raised:
        keras_side.read(with_gate(tmp_path))
    assert "layer 'gate' (Gate)" in str(raised.value)


@pytest.mark.parametrize("suffix", ["live", ".h5"])
def test_weights_in_another_order_than_they_are_known_in_are_refused(suffix: str, tmp_path: Path) -> None:
    def swapped(layer: Any) -> Any:
        W, scale = layer.weights("W", "scale")
        return layer.input * W + scale

    class Affine(layers.Layer):
        def build(self, input_shape: Any) -> None:
            self.scale = self.add_weight(shape=(input_shape[-1],), name="scale")
            self.W = self.add_weight(shape=(input_shape[-1],), name="W")

        def call(self, x: Any) -> Any:
            return x * self.W + self.scale

    keras_side.reads_class("Affine")(swapped)
    x = keras.Input((3,))
    source: Any = randomize(keras.Model(x, Affine()(x)))
    if suffix != "live":
        source.save(tmp_path / f"model{suffix}")
        source = tmp_path / f"model{suffix}"
    with pytest.raises(WeightError, match=r"\['scale', 'W'\] in this order, read as \['W', 'scale'\]"):
        keras_side.read(source)


def test_layers_inside_need_weights_said_where_hdf5_keeps_one_list(tmp_path: Path) -> None:
    keras_side.reads_class("mapped>AdditivePool")(additive_pool)
    x = keras.Input((None, 3))
    randomize(keras.Model(x, AdditivePool(2, name="pool")(x))).save(tmp_path / "pool.h5")
    with pytest.raises(WeightError, match=r"pool.*weights=|pool.*in this order"):
        keras_side.read(tmp_path / "pool.h5")


def test_one_lambda_by_the_name_of_its_layer(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="told of which layer"):
        keras_side.reads_class("Lambda")

    @keras_side.reads_class("Lambda", layer="mean")
    def mean(layer: keras_side.MappedLayer) -> Any:
        return layer.input.mean(axis=layer.config["arguments"]["axis"])

    x = keras.Input((None, 3))
    own = layers.Lambda(lambda t, axis: kops.mean(t, axis), (3,), arguments={"axis": 1}, name="mean")
    keras.Model(x, layers.Dense(2)(own(x))).save(tmp_path / "lambda.keras")
    graph = keras_side.read(tmp_path / "lambda.keras")
    assert any(node.op.kind in ("Reduction", "GlobalAveragePooling1D") for node in graph.nodes)


def test_keras_own_layers_are_not_somebody_elses(tmp_path: Path) -> None:
    """Where a file says whose a class is."""
    keras_side.reads_class("Dense")(fails)
    x = keras.Input((3,))
    live = keras.Model(x, layers.Dense(2)(x))
    live.save(tmp_path / "dense.keras")
    assert keras_side.read(tmp_path / "dense.keras").digest() == keras_side.read(live).digest()


@pytest.mark.sweep
@pytest.mark.parametrize("suffix", [".h5", ".keras"])
def test_files_of_keras_2(suffix: str, tmp_path: Path) -> None:
    tf_keras = pytest.importorskip("tf_keras")

    class Gate2(tf_keras.layers.Layer):
        def build(self, input_shape: Any) -> None:
            self.share = self.add_weight(name="share", shape=(input_shape[-1],))

        def call(self, x: Any) -> Any:
            return x * self.share

    @keras_side.reads_class("Gate2")
    def gate2(layer: keras_side.MappedLayer) -> Any:
        return layer.input * layer.weights("share")[0]

    x = tf_keras.layers.Input((None, 3))
    old = tf_keras.Model(x, tf_keras.layers.LSTM(2)(Gate2(name="gate")(x)))
    old.save(tmp_path / f"old{suffix}")
    graph = keras_side.read(tmp_path / f"old{suffix}")
    data = np.random.default_rng(0).normal(size=(2, 5, 3)).astype("float32")
    np.testing.assert_allclose(reference.run(graph, [data])[0], np.asarray(old(data)), atol=1e-6)


@keras.saving.register_keras_serializable("mapped")
class Peeking(layers.Layer):
    """A cell of two states."""

    def __init__(self, units: int, **options: Any) -> None:
        super().__init__(**options)
        self.units = units
        self.state_size = [units, units]

    def build(self, input_shape: Any) -> None:
        self.w = self.add_weight(shape=(input_shape[-1], self.units), name="w")
        self.u = self.add_weight(shape=(self.units, self.units), name="u")

    def call(self, x: Any, states: Any) -> Any:
        h, c = states
        c = kops.tanh(kops.matmul(x, self.w) + kops.matmul(h, self.u)) + 0.5 * c
        h = kops.sigmoid(c)
        return h - x[:, :1], [h, c]

    def get_config(self) -> dict:
        return {**super().get_config(), "units": self.units}


def peeking(cell: keras_side.MappedLayer) -> Any:
    x, h, c = cell.inputs
    w, u = cell.weights("w", "u")
    c = cell.function("tanh", x @ w + h @ u, name="peek") + 0.5 * c
    h = cell.function("sigmoid", c)
    return h - x[:, :1], h, c


def test_a_cell_is_one_step_of_a_recurrence(tmp_path: Path) -> None:
    say = keras_side.reads_class(
        "mapped>Peeking", weights=["w", "u"], states=lambda config: [config["units"]] * 2
    )
    say(peeking)
    ids = keras.Input((None,), dtype="int32")
    x = layers.Embedding(9, 4, mask_zero=True)(ids)
    y = layers.RNN(Peeking(3), return_sequences=True, name="first")(x)
    live = randomize(keras.Model(ids, layers.RNN(Peeking(5), go_backwards=True, name="last")(y)))
    graph = keras_side.read(live)
    assert [node.op.kind for node in graph.nodes][-2:] == ["Scan", "Scan"]
    for suffix in (".keras", ".h5"):
        live.save(tmp_path / f"cell{suffix}")
        read = keras_side.read(tmp_path / f"cell{suffix}")
        assert read.digest() == graph.digest()
        assert "layer 'first' (RNN), layer 'last' (RNN): read as peeking" in read.origin["unchecked"]
    keras_side.reads_class("mapped>Peeking")(peeking)
    with pytest.raises(UnsupportedError, match=r"'first'.*cell \(Peeking\): states=None.*states=lambda"):
        keras_side.read(tmp_path / "cell.keras")
