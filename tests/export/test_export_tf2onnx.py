"""The tf2onnx route against Keras itself."""

from __future__ import annotations

import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")

import json
import logging

import numpy as np
import pytest

import export
import keras_side
from biport.errors import FileError, InputError, UnsupportedError
from testing.onnx_graphs import MASKS, H, I, V, padded_ids

keras = pytest.importorskip("keras")
pytest.importorskip("tf2onnx")
layers = keras.layers


@pytest.fixture(scope="module")
def model():
    """Two inputs and three outputs, the second named as an inner value may be; never called."""
    keras.utils.set_random_seed(9)
    ids = keras.Input((None,), dtype="int32", name="ids")
    x = keras.Input((None, I), name="features")
    table = layers.Embedding(V, I, mask_zero=True, name="table")(ids)
    both = layers.Bidirectional(layers.LSTM(H, return_sequences=True, name="both"), name="both")(table)
    last = layers.LSTM(4, name="last")(both)
    mean = layers.GlobalAveragePooling1D(name="mean")(layers.LSTM(2, return_sequences=True)(x))
    model = keras.Model([ids, x], [both, layers.Dense(1, name="label")(last), mean])
    rng = np.random.default_rng(9)
    model.set_weights([rng.normal(0, 0.5, weight.shape) for weight in model.get_weights()])
    return model


@pytest.fixture(scope="module")
def session(model, tmp_path_factory):
    path = tmp_path_factory.mktemp("tf2onnx") / "model.onnx"
    level = logging.getLogger("tf2onnx").level
    report = export.write_tf2onnx(model, path)
    assert logging.getLogger("tf2onnx").level == level
    assert report.route == "tf2onnx"
    assert os.listdir(path.parent) == ["model.onnx"]
    return export.Session(path, device="cpu", threads=1)


@pytest.mark.parametrize("kind", MASKS)
def test_equals_keras(kind, model, session):
    rng = np.random.default_rng(1)
    # Two inputs of different lengths: neither may promise the other's.
    ids, x = padded_ids(rng, kind), rng.normal(size=(6, 5, I)).astype("float32")
    wanted = model([ids, x])
    for one, two in zip(wanted, session.run([ids, x]), strict=True):
        np.testing.assert_allclose(one, two, atol=2e-6)


def test_names_axes_and_metadata(session):
    assert [(value.name, value.shape) for value in session.input_values] == [
        ("ids", ("N", "T")),
        ("features", ("N", "T_2", I)),
    ]
    assert session.output_names == ["both", "label", "mean"]
    assert session.output_values[0].shape == ("N", "T", 2 * H)
    assert session.output_values[1].shape == ("N", 1)
    assert session.metadata["biport.route"] == "tf2onnx"
    assert json.loads(session.metadata["biport.origin"])["framework"] == "keras"
    assert session.node_count > 50


@pytest.mark.parametrize("bad", [V, -1])
def test_ids_out_of_bounds(bad, session):
    with pytest.raises(InputError, match=rf"'ids': ids should be in \[0, {V}\), found {bad}"):
        session.run([np.full((2, 3), bad, "int32"), np.zeros((2, 3, I), "float32")])


def test_float_ids(session):
    with pytest.raises(InputError, match="'ids': expected integer ids"):
        session.run([np.ones((2, 3)), np.zeros((2, 3, I), "float32")])


def test_an_empty_batch_gives_empty_outputs(session):
    outputs = session.run([np.zeros((0, 7), "int32"), np.zeros((0, 7, I), "float32")])
    assert [a.shape for a in outputs] == [(0, 7, 2 * H), (0, 1), (0, 2)]


def test_no_steps_are_refused(session):
    with pytest.raises(InputError, match="over which this file is not defined"):
        session.run([np.zeros((2, 0), "int32"), np.zeros((2, 0, I), "float32")])


def test_refuses_to_overwrite(model, session):
    with pytest.raises(FileError, match="exists already"):
        export.write_tf2onnx(model, session.path)


def test_sequential_with_bounds_and_untouched_settings(tmp_path):
    layer = layers.LSTM(H)
    model = keras.Sequential([keras.Input((7,), dtype="int64", name="ids"), layers.Embedding(V, I), layer])
    export.write_tf2onnx(model, tmp_path / "model.onnx", bounds={"ids": 5})
    assert layer.use_cudnn == "auto"
    session = export.Session(tmp_path / "model.onnx", device="cpu", threads=1)
    assert session.input_values[0].shape == ("N", 7)
    with pytest.raises(InputError, match=r"\[0, 5\)"):
        session.run([np.full((2, 7), 5)])
    assert [a.shape for a in session.run([np.ones((2, 7), int)])] == [(2, H)]
    with pytest.raises(InputError, match="bounds: there is no input 'x'"):
        export.write_tf2onnx(model, tmp_path / "other.onnx", bounds={"x": 5})


def test_two_outputs_of_one_layer(tmp_path):
    x = keras.Input((4, I), name="x")
    one, two = layers.Bidirectional(layers.LSTM(H), merge_mode=None, name="two")(x)
    model = keras.Model([x], [two, one])
    export.write_tf2onnx(model, tmp_path / "model.onnx")
    session = export.Session(tmp_path / "model.onnx", device="cpu", threads=1)
    assert session.output_names == ["two:1", "two:0"]
    values = np.random.default_rng(2).normal(size=(3, 4, I)).astype("float32")
    for wanted, output in zip(model([values]), session.run([values]), strict=True):
        np.testing.assert_allclose(wanted, output, atol=1e-6)


@pytest.mark.cover(1)
@pytest.mark.parametrize("sequences", [True, False])
@pytest.mark.parametrize("merge", ["concat", None])
def test_directions_of_unequal_size_of_which_keras_tells_the_wrong_shape(merge, sequences, tmp_path):
    x = keras.Input((None, I), name="x")
    one = layers.LSTM(3, return_sequences=sequences)
    two = layers.GRU(2, return_sequences=sequences, go_backwards=True)
    model = keras.Model(x, layers.Bidirectional(one, backward_layer=two, merge_mode=merge)(x))
    export.write_tf2onnx(model, tmp_path / "model.onnx")
    values = np.random.default_rng(2).normal(size=(3, 4, I)).astype("float32")
    outputs = export.Session(tmp_path / "model.onnx", "cpu").run([values])
    for wanted, output in zip(keras.tree.flatten(model(values)), outputs, strict=True):
        np.testing.assert_allclose(wanted, output, atol=1e-6)


def test_axes_of_outputs_are_the_inputs_they_are_as_long_as(tmp_path):
    x, y = keras.Input((None, I), name="x"), keras.Input((None, I), name="y")
    outputs = [
        layers.LSTM(H, return_sequences=True, name="a")(y),
        layers.Concatenate(axis=1, name="b")([x, y]),
        layers.Concatenate(axis=1, name="c")([x, x]),
    ]
    model = keras.Model({"x": x, "y": y}, outputs)
    export.write_tf2onnx(model, tmp_path / "model.onnx")
    session = export.Session(tmp_path / "model.onnx", device="cpu", threads=1)
    lengths = [value.shape[1] for value in session.output_values]
    assert lengths == ["T_2", "out_1_1", "out_2_1"]
    rng = np.random.default_rng(3)
    x, y = (rng.normal(size=(2, T, I)).astype("float32") for T in (3, 4))
    for wanted, output in zip(model({"x": x, "y": y}), session.run([x, y]), strict=True):
        np.testing.assert_allclose(wanted, output, atol=1e-6)


def test_models_it_cannot_write(tmp_path):
    class Own(keras.Model):
        pass

    for model, message in ((Own(), "inputs=None"), (object(), "live Keras models")):
        with pytest.raises(UnsupportedError, match=message):
            export.write_tf2onnx(model, tmp_path / "model.onnx")
    x = keras.Input((4,), name="x")
    with pytest.raises(UnsupportedError, match="outputs='x'"):
        export.write_tf2onnx(keras.Model([x], [x]), tmp_path / "model.onnx")
    assert os.listdir(tmp_path) == []


def same_as_keras(model, path, *inputs):
    """The model written without any knowledge of recurrent layers gives what Keras gives."""
    export.write_tf2onnx(model, path, overwrite=True)
    arrays = list(inputs)
    wanted = model(arrays if len(arrays) > 1 else arrays[0], training=False)
    outputs = export.Session(path, device="cpu", threads=1).run(arrays)
    for one, two in zip(keras.tree.flatten(wanted), outputs, strict=True):
        np.testing.assert_allclose(np.asarray(one), two, atol=2e-6)


def test_constants_that_layers_hold_outside_of_variables(tmp_path):
    rng = np.random.default_rng(0)
    norm = layers.Normalization()
    norm.adapt(rng.normal(3, 2, (50, I)))
    x = keras.Input((None, I))
    model = keras.Model(x, layers.LSTM(2)(norm(x)))
    same_as_keras(model, tmp_path / "model.onnx", rng.normal(size=(3, 4, I)).astype("float32"))


def test_layers_over_each_of_unknown_steps(tmp_path):
    """In a graph Keras runs TimeDistributed over N steps in place of T."""
    x = keras.Input((None, 6, 1))
    inner = keras.Sequential([keras.Input((6, 1)), layers.Conv1D(3, 3, activation="gelu"), layers.Flatten()])
    model = keras.Model(x, layers.TimeDistributed(inner)(x))
    values = np.random.default_rng(0).normal(size=(2, 5, 6, 1)).astype("float32")
    same_as_keras(model, tmp_path / "model.onnx", values)
    same_as_keras(model, tmp_path / "model.onnx", np.repeat(values, 4, axis=0))


def test_numbers_of_a_dropout_that_is_not_at_work(tmp_path):
    """Keras draws them at inference too, and no output hangs on them."""
    x = keras.Input((None, I))
    layer = layers.GRU(2, activation=keras.ops.sin, dropout=0.5, recurrent_dropout=0.5)
    values = np.random.default_rng(0).normal(size=(2, 4, I)).astype("float32")
    same_as_keras(keras.Model(x, layer(x)), tmp_path / "model.onnx", values)


STATEFUL = {
    "a layer": ((3, I), lambda: layers.SimpleRNN(2, stateful=True, name="it")),
    "both directions": ((3, I), lambda: layers.Bidirectional(layers.GRU(2, stateful=True), name="it")),
    "a cell": ((3, I), lambda: layers.RNN(layers.LSTMCell(2), stateful=True, name="it")),
    "each step": ((4, 3, I), lambda: layers.TimeDistributed(layers.LSTM(2, stateful=True), name="it")),
    "a model inside": (
        (3, I),
        lambda: keras.Sequential(
            [keras.Input(batch_shape=(2, 3, I)), layers.LSTM(2, stateful=True, name="it")]
        ),
    ),
    "images": ((3, 4, 4, 1), lambda: layers.ConvLSTM2D(2, 1, stateful=True, name="it")),
    "a layer of one's own": ((3, I), lambda: Around(name="it")),
}


class Around(layers.Layer):
    """Hides a stateful layer."""

    def build(self, shape):
        self.inner = layers.LSTM(2, stateful=True)
        self.inner.build(shape)

    def call(self, x):
        return self.inner(x)

    def compute_output_shape(self, shape):
        return shape[0], 2


@pytest.mark.parametrize(("shape", "layer"), STATEFUL.values(), ids=STATEFUL)
def test_no_state_is_forgotten(shape, layer, tmp_path):
    x = keras.Input(batch_shape=(2, *shape))
    model = keras.Model(x, layer()(x))
    for op_of in (None, keras_side.recurrent_op):
        with pytest.raises(UnsupportedError, match=r"layer 'it' .*stateful=True"):
            export.write_tf2onnx(model, tmp_path / "model.onnx", op_of=op_of)
    assert os.listdir(tmp_path) == []


def test_rows_of_keras_2_that_are_not_of_one_length(tmp_path):
    """A dense file would take what fills up the shorter ones for steps."""
    tf_keras = pytest.importorskip("tf_keras")
    x = tf_keras.layers.Input((None, 4), ragged=True, name="it")
    with pytest.raises(UnsupportedError, match=r"layer 'it' .*ragged=True"):
        export.write_tf2onnx(tf_keras.Model(x, tf_keras.layers.Dense(2)(x)), tmp_path / "model.onnx")


def test_no_state_of_keras_2_is_forgotten(tmp_path):
    tf_keras = pytest.importorskip("tf_keras")
    x = tf_keras.layers.Input(batch_shape=(2, 3, I))
    layer = tf_keras.layers.LSTM(2, stateful=True)
    model = tf_keras.Model(x, tf_keras.layers.Bidirectional(layer, name="it")(x))
    with pytest.raises(UnsupportedError, match=r"layer 'it' \(Bidirectional\): stateful=True"):
        export.write_tf2onnx(model, tmp_path / "model.onnx")


class Counter(layers.Layer):
    """Its state is nobody's but its own."""

    def build(self, shape):
        self.count = self.add_weight(shape=(), initializer="zeros", trainable=False)

    def call(self, x):
        self.count.assign(self.count + 1.0)
        return x * self.count


def noise(x):
    import tensorflow as tf

    return x + tf.random.normal(tf.shape(x))


def erfinv(x):
    return keras.ops.erfinv(keras.ops.tanh(x))


@pytest.mark.parametrize(
    ("layer", "reason"),
    [
        (lambda: Counter(name="it"), "state='other in every call'"),
        (lambda: layers.Lambda(noise, name="it"), "state='other in every call'"),
        # By the names of TensorFlow's scopes it would be the first of the two.
        (lambda: keras.Sequential([layers.Identity(name="i"), layers.Lambda(erfinv, name="it")]), "'Erfinv'"),
        (lambda: layers.Discretization([0.0], name="it"), "operator='Bucketize'"),
        (lambda: layers.Lambda(lambda x: x if x[0, 0] > 0 else -x, (4,), name="it"), "trace='Operator"),
    ],
)
def test_refusals_name_the_layer(layer, reason, tmp_path):
    x = keras.Input((4,))
    with pytest.raises(UnsupportedError, match=rf"layer 'it' .*{reason}") as refused:
        export.write_tf2onnx(keras.Model(x, layer()(x)), tmp_path / "model.onnx")
    assert {row["layer"] for row in refused.value.reasons()} == {"it"}
    assert os.listdir(tmp_path) == []


def test_strings_are_refused_by_the_layer_that_takes_them(tmp_path):
    text = layers.TextVectorization(vocabulary=["a", "b"], output_sequence_length=3, name="text")
    x = keras.Input((1,), dtype="string")
    with pytest.raises(UnsupportedError, match="layer 'text'") as refused:
        export.write_tf2onnx(keras.Model(x, text(x)), tmp_path / "model.onnx")
    assert len(refused.value.reasons()) > 1


def test_what_tf2onnx_makes_that_is_no_onnx_is_not_called_ours(tmp_path, monkeypatch):
    def spoilt(context, node, name, _):
        node.type = "Concat"

    monkeypatch.setattr("export.tf2onnx.conversion.handlers", lambda: {"Sin": (spoilt, [])})
    x = keras.Input((4,))
    model = keras.Model(x, layers.Lambda(keras.ops.sin, name="it")(x))
    with pytest.raises(UnsupportedError, match=r"layer 'it' .*the ONNX that tf2onnx makes of it") as refused:
        export.write_tf2onnx(model, tmp_path / "model.onnx")
    assert "biport made" not in str(refused.value)


def test_the_program_in_float64(tmp_path):
    """What TensorFlow traced, every number of it made wider, is the reference in float64."""
    from biport import reference
    from export.tf2onnx.float64 import Program
    from export.tf2onnx.live_model import live_model

    ids = keras.Input((None,), dtype="int32")
    y = layers.Bidirectional(layers.GRU(3, return_sequences=True))(
        layers.Embedding(V, I, mask_zero=True)(ids)
    )
    model = keras.Model(ids, layers.Dense(2, "softmax")(layers.LSTM(3)(y)))
    rng = np.random.default_rng(3)
    model.set_weights([rng.normal(0, 0.5, weight.shape) for weight in model.get_weights()])
    rows = padded_ids(rng, "holes")
    program = Program(live_model(model))
    exact, narrow = program.exact([rows])
    truth = reference.run(keras_side.read(model).astype("float64"), [rows])[0]
    assert narrow == []
    assert np.abs(exact([rows])[0] - truth).max() < 1e-14
    assert 1e-9 < np.abs(program.rounded([rows])[0] - truth).max() < 1e-6


def test_operators_without_float64_stand_between_casts():
    from export.tf2onnx.float64 import Program
    from export.tf2onnx.live_model import live_model

    x = keras.Input((4, 4, 1))
    model = keras.Model(
        x, layers.Dense(2)(layers.Flatten()(layers.Resizing(3, 5)(layers.Rescaling(1 / 3)(x))))
    )
    values = np.random.default_rng(0).normal(size=(2, 4, 4, 1)).astype("float32")
    program = Program(live_model(model))
    exact, narrow = program.exact([values])
    assert narrow == ["ResizeBilinear"]
    assert exact([values])[0].dtype == "float64"
    assert np.abs(exact([values])[0] - program.rounded([values])[0]).max() < 1e-6


def test_integers_below_zero(tmp_path):
    """TensorFlow divides towards minus infinity and has no class for them; tf2onnx has it otherwise."""
    ids = keras.Input((None,), dtype="int32", name="ids")
    shifted, function = ids - 4, keras.ops
    outputs = [
        *(function.floor_divide(shifted, 3), function.floor_divide(shifted, -3)),
        *(function.mod(shifted, 3), function.mod(shifted, -3)),
        function.floor_divide(function.cast(shifted, "float32"), -1.5),
        function.mod(function.cast(shifted, "float32"), 1.5),
        *(function.one_hot(shifted, 3), function.one_hot(shifted, 3, axis=1)),
        function.one_hot(shifted, 3, axis=0, dtype="int32"),
    ]
    model = keras.Model(ids, outputs)
    export.write_tf2onnx(model, tmp_path / "model.onnx")
    given = np.random.default_rng(0).integers(0, 10, (3, 6)).astype("int32")
    session = export.Session(tmp_path / "model.onnx", device="cpu", threads=1)
    for wanted, array in zip(model(given), session.run([given]), strict=True):
        np.testing.assert_array_equal(array, np.asarray(wanted))
