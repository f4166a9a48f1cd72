"""Write model files with a real, old Keras, beside its inputs and its own predictions.

Run once for each version::

    python make_files.py OUT [--package keras|tf_keras] [--path FOLDER] [--only NAME ...]

``OUT/<model>.h5`` (and ``.keras`` where that Keras has it) is the model, ``OUT/<model>.npz`` holds
``input_0``, ``input_1``... in the order of ``model.inputs`` and ``output_0``... as ``model.predict`` gave
them. A model without ``.npz`` is one that a reader is expected to refuse. ``OUT/skipped.txt`` says what this
Keras would not do.

FOLDER is an unpacked wheel or sdist, put in front of everything that is installed. Python 3.11, and:

* Keras 1.2.2, 2.0.8, 2.1.6, 2.2.4 and 2.3.1: ``tensorflow-cpu==2.12.1 numpy<1.24 keras_preprocessing
  keras_applications six pyyaml`` (the last four with ``--no-deps``), ``--path`` to that Keras, and
  ``old_keras_shim.py`` beside this script, which puts moved names back.
* Keras 2.9.0, 2.11.0: the same packages, ``--path`` to that Keras; the shim only brings back what ``inspect``
  of Python 3.11 dropped.
* Keras 2.12 to 2.15: ``tensorflow-cpu`` of the same number (2.12.1, 2.13.1, 2.14.1, 2.15.1) brings it.
* tf_keras: ``tensorflow-cpu==2.21.0 tf_keras==2.21.0``, ``--package tf_keras``.
* Keras 3: the same packages as for tf_keras, and ``dm-tree`` for 3.0, ``--path`` to that Keras.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import sys
import traceback
import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

VOCABULARY, EMBEDDING, STEPS, FEATURES = 13, 5, 7, 5
PADDING = -1.0
"""The value of a padded step of float features."""
NEVER = (99,)
MODES = {
    "Add": "sum",
    "Average": "ave",
    "Concatenate": "concat",
    "Dot": "dot",
    "Maximum": "max",
    "Multiply": "mul",
}
"""The modes of Keras 1's Merge."""

IDS = np.array(
    [
        [3, 7, 1, 12, 5, 9, 2],
        [4, 11, 6, 8, 0, 0, 0],
        [0, 0, 0, 10, 2, 5, 1],
        [9, 0, 3, 0, 0, 12, 7],
        [6, 0, 0, 0, 0, 0, 0],
        [0, 0, 0, 0, 0, 0, 0],
    ],
    np.int32,
)
"""Full, padded right, padded left, with holes, one step, none."""
OTHER_IDS = np.array(
    [
        [1, 2, 3, 4, 0, 0, 0],
        [0, 0, 5, 6, 7, 8, 9],
        [10, 11, 12, 1, 0, 2, 3],
        [4, 5, 0, 6, 0, 7, 0],
        [0, 0, 8, 0, 0, 0, 0],
        [9, 10, 11, 12, 1, 2, 3],
    ],
    np.int32,
)
"""A second input, padded in other places."""
ROWS = len(IDS)


def features(seed: int, *shape: int) -> np.ndarray:
    """Float inputs without padding."""
    return np.random.RandomState(seed).uniform(-1, 1, (ROWS, *shape)).astype(np.float32)


def padded_features() -> np.ndarray:
    """Float inputs, padded where IDS are 0."""
    values = features(3, STEPS, FEATURES)
    values[IDS == 0] = PADDING
    return values


@dataclass
class Kit:
    """One Keras and where its files go.

    Args:
        keras: the package.
        version: its version, as numbers.
        out: the folder of its files.
        skipped: models by name, with the error.
    """

    keras: Any
    version: tuple[int, ...]
    out: Path
    skipped: dict[str, str] = field(default_factory=dict)

    @property
    def standalone(self) -> bool:
        """Keras 1 and 2 before it moved into TensorFlow."""
        return self.version < (2, 4)

    @property
    def layers(self) -> Any:
        """Its layers."""
        return self.keras.layers

    def input(self, *shape: int | None, **settings: Any) -> Any:
        """A float input."""
        return self.layers.Input(shape=shape, **settings)

    def ids(self, steps: int | None = STEPS, **settings: Any) -> Any:
        """An input of ids."""
        return self.layers.Input(shape=(steps,), dtype="int32", **settings)

    def embedding(self, mask: bool = True, **settings: Any) -> Any:
        """An Embedding of the ids."""
        return self.layers.Embedding(VOCABULARY, EMBEDDING, mask_zero=mask, **settings)

    def model(self, inputs: Any, outputs: Any, **settings: Any) -> Any:
        """A functional model."""
        names = ("input", "output") if self.version < (2,) else ("inputs", "outputs")
        return self.keras.models.Model(**dict(zip(names, (inputs, outputs), strict=True)), **settings)

    def merge(self, name: str, tensors: list, **settings: Any) -> Any:
        """A merge of tensors: a layer for each kind, before Keras 2 a mode of one layer."""
        if self.version >= (2,):
            return getattr(self.layers, name)(**settings)(tensors)
        mode = MODES[name] if not settings.pop("normalize", False) else "cos"
        names = {"axes": "dot_axes", "axis": "concat_axis"}
        return self.layers.Merge(mode=mode, **{names[key]: value for key, value in settings.items()})(tensors)

    def sequential(self, *layers: Any, **settings: Any) -> Any:
        """A Sequential model."""
        model = self.keras.models.Sequential(**settings)
        for layer in layers:
            model.add(layer)
        return model

    def fill(self, model: Any, name: str, *inputs: np.ndarray) -> None:
        """Give each weight other values than it began with; what began as ones stays positive."""
        if self.version >= (2, 4) and not model.built:
            model(*inputs)
        random = np.random.RandomState(zlib.crc32(name.encode()))
        values = []
        for weight in model.get_weights():
            ones = weight.size > 0 and (weight == 1).all()
            low, high = (0.5, 1.5) if ones else (-0.8, 0.8)
            values.append(random.uniform(low, high, weight.shape).astype(weight.dtype))
        model.set_weights(values)

    def record(self, name: str, model: Any, *inputs: np.ndarray) -> None:
        """Write the inputs and what this Keras predicts for them."""
        outputs = model.predict(list(inputs) if len(inputs) > 1 else inputs[0], batch_size=ROWS, verbose=0)
        outputs = outputs if isinstance(outputs, list | tuple) else [outputs]
        arrays = {f"input_{i}": array for i, array in enumerate(inputs)}
        arrays |= {f"output_{i}": np.asarray(array, np.float32) for i, array in enumerate(outputs)}
        np.savez_compressed(self.out / f"{name}.npz", **arrays)

    def save(self, name: str, model: Any) -> None:
        """Write the model in each of the formats of this Keras."""
        for ending in ("h5", "keras") if self.version >= (2, 12) else ("h5",):
            file = self.out / f"{name}.{ending}"
            try:
                # In 2.12 the ending alone still meant HDF5.
                kind = (2, 12) <= self.version < (2, 13) and ending == "keras"
                model.save(str(file), **({"save_format": "keras_v3"} if kind else {}))
            except Exception as error:
                file.unlink(missing_ok=True)
                self.skipped[file.name] = message(error)

    def write(self, name: str, model: Any, *inputs: np.ndarray, fill: bool = True) -> None:
        """Fill the model, save it, and record its predictions."""
        if fill:
            self.fill(model, name, *inputs)
        self.save(name, model)
        self.record(name, model, *inputs)


@dataclass(frozen=True)
class Recipe:
    """How to make the files of one name, and the versions that can."""

    make: Callable[[Kit], None]
    since: tuple[int, ...]
    until: tuple[int, ...]


RECIPES: list[Recipe] = []


def recipe(since: tuple[int, ...] = (2,), until: tuple[int, ...] = NEVER) -> Callable:
    """Register a function for the versions from ``since`` to before ``until``."""

    def register(make: Callable[[Kit], None]) -> Callable[[Kit], None]:
        RECIPES.append(Recipe(make, since, until))
        return make

    return register


def message(error: Exception) -> str:
    """The class of an error and its first line."""
    return f"{type(error).__name__}: {str(error).strip().splitlines()[0] if str(error).strip() else ''}"[:300]


# ----------------------------------------------------------------------------------------------------
# Stacks


@recipe(since=(1,))
def sentiment(kit: Kit) -> None:
    """Two bidirectional layers, trained for two batches; also as weights beside JSON."""
    L = kit.layers
    length = {} if kit.version >= (3,) else {"input_length": STEPS}
    model = kit.sequential(
        kit.embedding(**length),
        L.Bidirectional(L.LSTM(4, return_sequences=True)),
        L.Bidirectional(L.LSTM(3), merge_mode="sum"),
        L.Dropout(0.3),
        L.Dense(1, activation="sigmoid"),
    )
    kit.fill(model, "sentiment", IDS)
    model.compile(optimizer=kit.keras.optimizers.Adam(), loss="binary_crossentropy", metrics=["accuracy"])
    epochs = {"epochs" if kit.version >= (2,) else "nb_epoch": 1}
    targets = np.arange(ROWS).reshape(-1, 1) % 2
    model.fit(IDS, targets, batch_size=ROWS // 2, verbose=0, shuffle=False, **epochs)
    kit.write("sentiment", model, IDS, fill=False)
    if (2, 4) <= kit.version < (2, 13):
        # This ending meant HDF5.
        model.save(str(kit.out / "sentiment_hdf5.keras"))
    weights_and_json(kit, "sentiment", model)


def weights_and_json(kit: Kit, name: str, model: Any) -> None:
    """The weights alone, in each layout, and the model alone as JSON."""
    model.save_weights(str(kit.out / f"{name}.weights.h5"))
    if (2, 12) <= kit.version < (3,):
        # Without ".weights" these write the older layout, that of load_weights by name.
        model.save_weights(str(kit.out / f"{name}_weights.h5"))
    (kit.out / f"{name}.json").write_text(model.to_json())


@recipe(since=(1,))
def tagger(kit: Kit) -> None:
    """A label for each step, of a masked LSTM."""
    L = kit.layers
    model = kit.sequential(
        kit.embedding(input_shape=(None,)) if kit.version < (3,) else kit.embedding(),
        L.LSTM(6, return_sequences=True),
        L.TimeDistributed(L.Dense(3, activation="softmax")),
    )
    kit.write("tagger", model, IDS)


@recipe(since=(1,))
def tagger_bi(kit: Kit) -> None:
    """A masked Bidirectional, its sequence, and labels of it."""
    L = kit.layers
    ids = kit.ids()
    sequence = L.Bidirectional(L.LSTM(4, return_sequences=True))(kit.embedding()(ids))
    kit.write("tagger_bi", kit.model(ids, [sequence, step_dense(kit, 3)(sequence)]), IDS)


@recipe(since=(1,))
def bi_modes(kit: Kit) -> None:
    """The other merge modes of a masked Bidirectional: None, ave, mul, sum; and GRUs."""
    L = kit.layers
    ids = kit.ids()
    embedded = kit.embedding()(ids)
    outputs = list(L.Bidirectional(L.LSTM(3, return_sequences=True), merge_mode=None)(embedded))
    outputs += [
        L.Bidirectional(L.GRU(3, return_sequences=True), merge_mode="ave")(embedded),
        L.Bidirectional(L.SimpleRNN(3, return_sequences=True), merge_mode="mul")(embedded),
        L.Bidirectional(L.LSTM(3, return_sequences=True), merge_mode="sum")(embedded),
    ]
    kit.write("bi_modes", kit.model(ids, outputs), IDS)


@recipe(since=(1,))
def gru(kit: Kit) -> None:
    """A masked GRU as this version makes it, and one that runs backwards."""
    gru_stack(kit, "gru")


@recipe(since=(2, 1))
def gru_after(kit: Kit) -> None:
    """The same with each kind of reset, said."""
    gru_stack(kit, "gru_after", reset_after=True)
    gru_stack(kit, "gru_before", reset_after=False)


def gru_stack(kit: Kit, name: str, **settings: Any) -> None:
    """A masked GRU before one that runs backwards."""
    L = kit.layers
    model = kit.sequential(
        kit.embedding(input_shape=(STEPS,)) if kit.version < (3,) else kit.embedding(),
        L.GRU(6, return_sequences=True, **settings),
        L.GRU(4, go_backwards=True, **settings),
        L.Dense(3),
    )
    kit.write(name, model, IDS)


@recipe(since=(1,))
def rnn(kit: Kit) -> None:
    """SimpleRNNs, masked, one of them with another activation."""
    L = kit.layers
    ids = kit.ids()
    sequence = L.SimpleRNN(6, return_sequences=True)(kit.embedding()(ids))
    outputs = [sequence, L.SimpleRNN(4, activation="relu")(sequence)]
    kit.write("rnn", kit.model(ids, outputs), IDS)


@recipe(since=(1,))
def backwards(kit: Kit) -> None:
    """Masked layers that run backwards and give their sequence, which is in their own order."""
    L = kit.layers
    ids = kit.ids()
    embedded = kit.embedding()(ids)
    outputs = [
        L.LSTM(4, return_sequences=True, go_backwards=True)(embedded),
        L.GRU(3, return_sequences=True, go_backwards=True)(embedded),
    ]
    kit.write("backwards", kit.model(ids, outputs), IDS)


@recipe()
def settings(kit: Kit) -> None:
    """Activations, no bias, no forget bias, dropout, implementation, unroll."""
    L = kit.layers
    ids = kit.ids()
    embedded = kit.embedding()(ids)
    second = {"implementation": 2} if kit.version < (3,) else {}
    outputs = [
        L.LSTM(3, activation="softsign", recurrent_activation="sigmoid", use_bias=False)(embedded),
        L.LSTM(3, recurrent_activation="hard_sigmoid", unit_forget_bias=False, dropout=0.2)(embedded),
        L.GRU(3, recurrent_activation="hard_sigmoid", recurrent_dropout=0.2, **second)(embedded),
        L.GRU(3, activation="relu", use_bias=False)(embedded),
        L.LSTM(3, return_sequences=True, unroll=True)(embedded),
    ]
    kit.write("settings", kit.model(ids, outputs), IDS)


@recipe(since=(2, 1))
def cells(kit: Kit) -> None:
    """RNN around a cell, masked, and around a list of cells, without a mask."""
    L = kit.layers
    ids = kit.ids()
    outputs = [
        L.RNN(L.LSTMCell(4), return_sequences=True)(kit.embedding()(ids)),
        L.RNN([L.LSTMCell(4), L.GRUCell(3), L.SimpleRNNCell(6)], return_sequences=True)(
            kit.embedding(mask=False)(ids)
        ),
    ]
    kit.write("cells", kit.model(ids, outputs), IDS)


@recipe(since=(2, 1))
def cells_masked(kit: Kit) -> None:
    """A list of cells of one size, masked: its masked steps."""
    L = kit.layers
    ids = kit.ids()
    sequence = L.RNN([L.LSTMCell(4), L.LSTMCell(4)], return_sequences=True)(kit.embedding()(ids))
    kit.write("cells_masked", kit.model(ids, sequence), IDS)


@recipe(since=(2, 1))
def cells_states(kit: Kit) -> None:
    """The states of a list of cells, without a mask."""
    L = kit.layers
    values = kit.input(STEPS, FEATURES)
    outputs = []
    for output in L.RNN([L.LSTMCell(4), L.GRUCell(3)], return_state=True)(values):
        outputs += output if isinstance(output, list | tuple) else [output]
    kit.write("cells_states", kit.model(values, outputs), features(18, STEPS, FEATURES))


@recipe(since=(1,))
def stateful(kit: Kit) -> None:
    """A stateful LSTM with a fixed batch; the predictions are those of the first batch."""
    L = kit.layers
    values = kit.layers.Input(batch_shape=(ROWS, STEPS, FEATURES))
    model = kit.model(values, L.LSTM(4, stateful=True, return_sequences=True)(values))
    kit.write("stateful", model, features(4, STEPS, FEATURES))


# ----------------------------------------------------------------------------------------------------
# Convolutions and shapes


@recipe(since=(1,))
def conv(kit: Kit) -> None:
    """Convolution, batch normalisation and pooling around an LSTM."""
    L = kit.layers
    padding = {"padding" if kit.version >= (2,) else "border_mode": "same"}
    model = kit.sequential(
        kit.embedding(mask=False, **({"input_length": STEPS} if kit.version < (3,) else {})),
        L.SpatialDropout1D(0.2),
        L.Convolution1D(6, 3, activation="relu", **padding),
        L.BatchNormalization(),
        L.MaxPooling1D(2),
        L.LSTM(4, return_sequences=True),
        L.GlobalMaxPooling1D(),
        L.Dense(3),
    )
    kit.write("conv", model, IDS)


@recipe(since=(2, 4))
def conv_masked(kit: Kit) -> None:
    """A mask that ends at a convolution."""
    L = kit.layers
    model = kit.sequential(
        kit.embedding(**({"input_length": STEPS} if kit.version < (3,) else {})),
        L.Conv1D(6, 3, padding="causal"),
        L.LSTM(4, return_sequences=True),
    )
    kit.write("conv_masked", model, IDS)


@recipe(since=(1,))
def flat(kit: Kit) -> None:
    """Flatten, Reshape, Permute and RepeatVector between recurrent layers."""
    L = kit.layers
    model = kit.sequential(
        kit.embedding(mask=False, **({"input_length": STEPS} if kit.version < (3,) else {})),
        L.LSTM(4, return_sequences=True),
        L.Flatten(),
        L.Reshape((STEPS * 2, 2)),
        L.Permute((2, 1)),
        L.LSTM(3),
        L.RepeatVector(3),
        L.LSTM(4, return_sequences=True),
        L.Activation("tanh"),
    )
    kit.write("flat", model, IDS)


@recipe()
def average_pool(kit: Kit) -> None:
    """The mean of a masked sequence; no row is all padding."""
    L = kit.layers
    ids = kit.ids()
    sequence = L.LSTM(4, return_sequences=True)(kit.embedding()(ids))
    model = kit.model(ids, L.Dense(3)(L.GlobalAveragePooling1D()(sequence)))
    kit.write("average_pool", model, OTHER_IDS)


# ----------------------------------------------------------------------------------------------------
# Encoders and decoders


@recipe()
def seq2seq(kit: Kit) -> None:
    """The well-known example: a model to train, and two of its layers to decode with."""
    L = kit.layers
    encoder_inputs, decoder_inputs = kit.input(None, FEATURES), kit.input(None, 4)
    _, h, c = L.LSTM(6, return_state=True)(encoder_inputs)
    decoder = L.LSTM(6, return_sequences=True, return_state=True)
    sequence, _, _ = decoder(decoder_inputs, initial_state=[h, c])
    dense = L.Dense(4, activation="softmax")
    source, target = features(5, STEPS, FEATURES), features(6, 4, 4)
    kit.write("seq2seq", kit.model([encoder_inputs, decoder_inputs], dense(sequence)), source, target)
    kit.write("seq2seq_encoder", kit.model(encoder_inputs, [h, c]), source, fill=False)
    states = [kit.input(6), kit.input(6)]
    sequence, h, c = decoder(decoder_inputs, initial_state=states)
    model = kit.model([decoder_inputs, *states], [dense(sequence), h, c])
    kit.write("seq2seq_decoder", model, target[:, :1], features(7, 6), features(8, 6), fill=False)


@recipe()
def seq2seq_masked(kit: Kit) -> None:
    """The same of ids, both sides masked, of any length."""
    L = kit.layers
    encoder_inputs, decoder_inputs = kit.ids(None), kit.ids(None)
    _, h, c = L.LSTM(6, return_state=True)(kit.embedding()(encoder_inputs))
    sequence, *_ = L.LSTM(6, return_sequences=True, return_state=True)(
        kit.embedding()(decoder_inputs), initial_state=[h, c]
    )
    outputs = [L.Dense(4, activation="softmax")(sequence), sequence]
    kit.write("seq2seq_masked", kit.model([encoder_inputs, decoder_inputs], outputs), IDS, OTHER_IDS)


@recipe()
def seq2seq_gru(kit: Kit) -> None:
    """The same of GRUs; the encoder of both directions, its states joined."""
    L = kit.layers
    encoder_inputs, decoder_inputs = kit.ids(None), kit.ids(None)
    _, forward, back = L.Bidirectional(L.GRU(3, return_state=True))(kit.embedding()(encoder_inputs))
    state = L.Concatenate()([forward, back])
    sequence = L.GRU(6, return_sequences=True)(kit.embedding()(decoder_inputs), initial_state=state)
    model = kit.model([encoder_inputs, decoder_inputs], L.Dense(4)(sequence))
    kit.write("seq2seq_gru", model, IDS, OTHER_IDS)


# ----------------------------------------------------------------------------------------------------
# Merges of masks


def step_dense(kit: Kit, units: int) -> Any:
    """A Dense for each step: that of Keras 1 takes vectors only."""
    dense = kit.layers.Dense(units)
    return dense if kit.version >= (2,) else kit.layers.TimeDistributed(dense)


@recipe(since=(1,))
def merge_concat_one_masked(kit: Kit) -> None:
    """A masked sequence beside features without a mask, both ways round."""
    L = kit.layers
    ids, values = kit.ids(), kit.input(STEPS, FEATURES)
    embedded, dense = kit.embedding()(ids), step_dense(kit, 3)(values)
    outputs = [
        L.LSTM(4, return_sequences=True)(kit.merge("Concatenate", [embedded, dense])),
        L.LSTM(3, return_sequences=True)(kit.merge("Concatenate", [dense, embedded])),
    ]
    kit.write("merge_concat_one_masked", kit.model([ids, values], outputs), IDS, features(9, STEPS, FEATURES))


@recipe(since=(1,))
def merge_add_one_masked(kit: Kit) -> None:
    """A masked sequence added to features without a mask."""
    L = kit.layers
    ids, values = kit.ids(), kit.input(STEPS, FEATURES)
    added = kit.merge("Add", [kit.embedding()(ids), step_dense(kit, EMBEDDING)(values)])
    model = kit.model([ids, values], L.LSTM(4, return_sequences=True)(added))
    kit.write("merge_add_one_masked", model, IDS, features(9, STEPS, FEATURES))


def merges(*names: str) -> None:
    """Register, for each kind of merge, one of two sequences padded in different places."""
    for name in names:

        def make(kit: Kit, name: str = name) -> None:
            L = kit.layers
            a, b = kit.ids(), kit.ids()
            merged = kit.merge(name, [kit.embedding()(a), kit.embedding()(b)])
            model = kit.model([a, b], L.LSTM(4, return_sequences=True)(merged))
            short = {"Concatenate": "concat"}.get(name, name.lower())
            kit.write(f"merge_{short}_two_masks", model, IDS, OTHER_IDS)

        make.__name__ = f"merge_{name.lower()}"
        recipe(since=(1,))(make)


merges("Concatenate", "Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum")


@recipe(since=(1,))
def merge_concat_time(kit: Kit) -> None:
    """Two masked sequences one after the other."""
    L = kit.layers
    a, b = kit.ids(), kit.ids()
    joined = kit.merge("Concatenate", [kit.embedding()(a), kit.embedding()(b)], axis=1)
    model = kit.model([a, b], L.LSTM(4, return_sequences=True)(joined))
    kit.write("merge_concat_time", model, IDS, OTHER_IDS)


@recipe(since=(1,))
def merge_dot(kit: Kit) -> None:
    """A product of two sequences, and of two vectors, without masks."""
    L = kit.layers
    a, b = kit.input(STEPS, FEATURES), kit.input(STEPS, FEATURES)
    x, y = L.LSTM(4, return_sequences=True)(a), L.LSTM(4, return_sequences=True)(b)
    product = kit.merge("Dot", [x, y], axes=(2, 2))
    cosine = kit.merge("Dot", [L.LSTM(3)(x), L.LSTM(3)(y)], axes=1, normalize=True)
    model = kit.model([a, b], [product, cosine])
    kit.write("merge_dot", model, features(10, STEPS, FEATURES), features(11, STEPS, FEATURES))


# ----------------------------------------------------------------------------------------------------
# Models as layers


@recipe(since=(1,))
def nested(kit: Kit) -> None:
    """A model as a layer, called twice, partly frozen; and a layer called twice."""
    L = kit.layers
    frozen = L.Dense(4, name="frozen")
    frozen.trainable = False
    inner = kit.input(6)
    head = kit.model(inner, L.Dense(3)(L.BatchNormalization()(inner)), name="head")
    tower_input = kit.input(FEATURES)
    hidden = L.BatchNormalization()(L.Dense(6, activation="relu")(tower_input))
    tower = kit.model(tower_input, [frozen(hidden), head(hidden)], name="tower")
    a, b = kit.input(FEATURES), kit.input(FEATURES)
    shared = L.Dense(2, name="shared")
    outputs = [shared(kit.merge("Concatenate", list(tower(value)))) for value in (a, b)]
    model = kit.model([a, b], [kit.merge("Add", outputs), *outputs])
    kit.write("nested", model, features(12, FEATURES), features(13, FEATURES))
    weights_and_json(kit, "nested", model)


@recipe(since=(1,))
def nested_sequential(kit: Kit) -> None:
    """Sequentials inside a Sequential, with batch normalisation and a frozen layer."""
    L = kit.layers
    first = {"input_shape": (STEPS, FEATURES)} if kit.version < (3,) else {}
    frozen = L.Dense(4)
    frozen.trainable = False
    dense = [L.Dense(6, **first)]
    if kit.version < (2,):
        dense = [L.TimeDistributed(L.Dense(6), **first)]
    inner = kit.sequential(
        *([] if first else [kit.input(STEPS, FEATURES)]),
        *dense,
        L.BatchNormalization(),
        frozen if kit.version >= (2,) else L.TimeDistributed(frozen),
        L.LSTM(3, return_sequences=True),
    )
    model = kit.sequential(inner, L.GRU(4), L.BatchNormalization(), L.Dense(2))
    kit.write("nested_sequential", model, features(14, STEPS, FEATURES))


@recipe(since=(1,))
def siamese(kit: Kit) -> None:
    """A masked recurrent model called with two inputs."""
    L = kit.layers
    first = {"input_shape": (STEPS,)} if kit.version < (3,) else {}
    tower = kit.sequential(
        *([] if first else [kit.ids()]),
        kit.embedding(**first),
        L.Bidirectional(L.LSTM(3, return_sequences=True)),
        L.LSTM(4),
    )
    a, b = kit.ids(), kit.ids()
    x, y = tower(a), tower(b)
    joined = kit.merge("Concatenate", [x, y, kit.merge("Multiply", [x, y])])
    model = kit.model([a, b], L.Dense(1, activation="sigmoid")(joined))
    kit.write("siamese", model, IDS, OTHER_IDS)


@recipe(since=(1,))
def nested_masked(kit: Kit) -> None:
    """A mask that comes into a model from outside, and one that leaves it."""
    L = kit.layers
    inner = kit.input(STEPS, EMBEDDING)
    encoder = kit.model(inner, L.LSTM(4, return_sequences=True)(inner))
    ids = kit.ids()
    model = kit.model(ids, L.LSTM(3, return_sequences=True)(encoder(kit.embedding()(ids))))
    kit.write("nested_masked", model, IDS)


@recipe(since=(1,))
def nested_time(kit: Kit) -> None:
    """A model for each step: words of sentences of a text, without masks."""
    L = kit.layers
    words = kit.ids()
    sentence = kit.model(words, L.LSTM(4)(kit.embedding(mask=False)(words)))
    text = kit.ids(STEPS * 3)
    sentences = L.Reshape((3, STEPS))(text)
    model = kit.model(text, L.GRU(3)(L.TimeDistributed(sentence)(sentences)))
    kit.write("nested_time", model, np.concatenate([IDS, OTHER_IDS, IDS], 1))


# ----------------------------------------------------------------------------------------------------
# Calls


@recipe(since=(1,))
def masking(kit: Kit) -> None:
    """Float features, masked where all of them have one value."""
    L = kit.layers
    values = kit.input(STEPS, FEATURES)
    masked = L.Masking(mask_value=PADDING)(values)
    outputs = [
        masked,
        L.LSTM(4, return_sequences=True)(masked),
        L.Bidirectional(L.LSTM(3, return_sequences=True))(L.Dropout(0.2)(masked)),
    ]
    kit.write("masking", kit.model(values, outputs), padded_features())


@recipe()
def calls_states(kit: Kit) -> None:
    """Masked layers that give their sequence and their states."""
    L = kit.layers
    ids = kit.ids()
    embedded = kit.embedding()(ids)
    outputs = list(L.LSTM(4, return_sequences=True, return_state=True)(embedded))
    outputs += L.GRU(3, return_state=True)(embedded)
    kit.write("calls_states", kit.model(ids, outputs), IDS)


@recipe()
def calls_initial(kit: Kit) -> None:
    """Masked layers with initial states: steps before the first unmasked one."""
    L = kit.layers
    ids, values = kit.ids(), kit.input(FEATURES)
    embedded = kit.embedding()(ids)
    h, c = L.Dense(4)(values), L.Dense(4)(values)
    outputs = [
        L.LSTM(4, return_sequences=True)(embedded, initial_state=[h, c]),
        L.GRU(4, return_sequences=True)(embedded, initial_state=h),
    ]
    kit.write("calls_initial", kit.model([ids, values], outputs), IDS, features(15, FEATURES))


@recipe(since=(2, 2))
def calls_initial_bi(kit: Kit) -> None:
    """A masked Bidirectional with initial states, its sequence and states."""
    L = kit.layers
    ids, values = kit.ids(), kit.input(FEATURES)
    states = [L.Dense(3)(values) for _ in range(4)]
    layer = L.Bidirectional(L.LSTM(3, return_sequences=True, return_state=True))
    outputs = list(layer(kit.embedding()(ids), initial_state=states))
    kit.write("calls_initial_bi", kit.model([ids, values], outputs), IDS, features(15, FEATURES))


@recipe(since=(2, 4))
def calls_mask(kit: Kit) -> None:
    """A mask as an argument, computed by a comparison."""
    L = kit.layers
    ids = kit.ids()
    if kit.version >= (3,):
        mask = kit.keras.ops.not_equal(ids, 0)
    else:
        mask = importlib.import_module("tensorflow").not_equal(ids, 0)
    embedded = kit.embedding(mask=False)(ids)
    outputs = [
        L.LSTM(4, return_sequences=True)(embedded, mask=mask),
        L.Bidirectional(L.LSTM(3, return_sequences=True))(embedded, mask=mask),
    ]
    kit.write("calls_mask", kit.model(ids, outputs), IDS)


@recipe(since=(2, 4))
def calls_mask_embedding(kit: Kit) -> None:
    """A mask as an argument, from the Embedding or the Masking itself."""
    L = kit.layers
    ids, values = kit.ids(), kit.input(STEPS, FEATURES)
    embedding = kit.embedding()
    outputs = [
        L.LSTM(4, return_sequences=True)(values, mask=embedding.compute_mask(ids)),
        L.GRU(3, return_sequences=True)(embedding(ids), mask=L.Masking(PADDING).compute_mask(values)),
    ]
    kit.write("calls_mask_embedding", kit.model([ids, values], outputs), OTHER_IDS, padded_features())


@recipe(since=(2, 4))
def calls_ops(kit: Kit) -> None:
    """Arithmetic between layers, written as a layer for each operation."""
    L = kit.layers
    values = kit.input(STEPS, FEATURES)
    x = L.LSTM(4, return_sequences=True)(values)
    y = L.LSTM(4, return_sequences=True)(values * 2.0)
    kit.write("calls_ops", kit.model(values, [x + y, x[:, -1], 1.0 - x * y]), features(16, STEPS, FEATURES))


# ----------------------------------------------------------------------------------------------------
# CuDNN, Lambda


@recipe(since=(2, 1), until=(3,))
def cudnn(kit: Kit) -> None:
    """CuDNN layers, which need a GPU: the predictions are of plain layers with the weights of the file."""
    L = kit.layers
    if kit.standalone:
        lstm, gru = L.CuDNNLSTM, L.CuDNNGRU
    else:
        old = importlib.import_module("tensorflow").compat.v1.keras.layers
        if kit.keras.__name__ != "keras":
            old = importlib.import_module("tf_keras.api._v1.keras.layers")
        lstm, gru = old.CuDNNLSTM, old.CuDNNGRU

    def plain_lstm(units: int, **settings: Any) -> Any:
        return L.LSTM(units, recurrent_activation="sigmoid", **settings)

    def plain_gru(units: int, **settings: Any) -> Any:
        return L.GRU(units, recurrent_activation="sigmoid", reset_after=True, **settings)

    def make(layer: Callable, bidirectional: bool) -> Any:
        values = kit.input(STEPS, FEATURES)
        wrap = L.Bidirectional if bidirectional else lambda inner: inner
        return kit.model(values, L.Dense(3)(wrap(layer(4))(wrap(layer(4, return_sequences=True))(values))))

    kinds = {"lstm": (lstm, plain_lstm), "gru": (gru, plain_gru)}
    for kind, (layer, plain) in kinds.items():
        for bidirectional in (False, True):
            name = f"cudnn_{kind}" + ("_bi" if bidirectional else "")
            kit.keras.backend.clear_session()
            model = make(layer, bidirectional)
            kit.fill(model, name)
            kit.save(name, model)
            kit.keras.backend.clear_session()
            model = make(plain, bidirectional)
            model.load_weights(str(kit.out / f"{name}.h5"))
            kit.record(name, model, features(17, STEPS, FEATURES))


@recipe(since=(1,), until=(3,))
def feature_maps(kit: Kit) -> None:
    """Convolutions over two axes and three, and what is around them; the features last, and first.

    Its files are those of ``feature_maps``: ``--only feature_maps``.
    """
    L, old = kit.layers, kit.version < (2,)
    word = "dim_ordering" if old else "data_format"
    for order in ("tf", "th") if old else ("channels_last", "channels_first"):
        first = order in ("th", "channels_first")
        where: dict[str, Any] = {word: order}

        def shape(*sizes: int, first: bool = first, where: dict[str, Any] = where) -> dict[str, Any]:
            return {**where, "input_shape": (sizes[-1], *sizes[:-1]) if first else sizes}

        stacks = (_stacks_1 if old else _stacks_2)(L, shape, where, first)
        for name, layers in stacks.items():
            sizes = layers[0].batch_input_shape[1:] if kit.standalone else layers[0]._batch_input_shape[1:]
            kit.write(f"{name}_{order}", kit.sequential(*layers), features(len(name), *sizes))
    steps = {"input_shape": (4, 9, 8, 3)}
    conv = L.Convolution2D(4, 3, 3, activation="relu") if old else L.Conv2D(4, 3, activation="relu")
    layers = [
        L.TimeDistributed(conv, **steps),
        *map(L.TimeDistributed, (L.MaxPooling2D((2, 2)), L.Flatten())),
    ]
    kit.write("every_step", kit.sequential(*layers, L.LSTM(3)), features(5, 4, 9, 8, 3))


def _stacks_1(L: Any, shape: Callable, where: dict[str, Any], first: bool) -> dict[str, list[Any]]:
    axis, made = (1, (None, 5, 9, 8)) if first else (-1, (None, 9, 8, 5))
    same = {"border_mode": "same", **where}
    return {
        "plain": [
            L.Convolution2D(6, 3, 2, activation="relu", border_mode="same", **shape(9, 8, 3)),
            L.MaxPooling2D((2, 2), **where),
            L.BatchNormalization(axis=axis),
            L.AveragePooling2D((2, 1), strides=(1, 1), **same),
            L.ZeroPadding2D((1, 2), **where),
            L.Flatten(),
            L.Dense(3),
        ],
        "around": [
            L.Convolution2D(4, 2, 3, subsample=(2, 1), bias=False, **shape(9, 8, 3)),
            L.SpatialDropout2D(0.1, **where),
            L.UpSampling2D((2, 1), **where),
            L.Cropping2D(((1, 0), (1, 1)), **where),
            L.GlobalMaxPooling2D(**where),
        ],
        "apart": [
            L.ZeroPadding2D((1, 0, 2, 1), **shape(9, 8, 3)),
            L.AtrousConvolution2D(4, 2, 2, atrous_rate=(2, 2), **where),
            L.GlobalAveragePooling2D(**where),
        ],
        "back": [L.Deconvolution2D(5, 3, 3, output_shape=made, border_mode="same", **shape(9, 8, 3))],
        "separable": [L.SeparableConvolution2D(5, 3, 3, depth_multiplier=2, **shape(9, 8, 3))],
        "volume": [
            L.Convolution3D(3, 2, 3, 2, **shape(5, 6, 7, 2)),
            L.MaxPooling3D((2, 1, 2), **where),
            L.UpSampling3D((1, 2, 1), **where),
        ],
    }


def _stacks_2(L: Any, shape: Callable, where: dict[str, Any], first: bool) -> dict[str, list[Any]]:
    same = {"padding": "same", **where}
    return {
        "plain": [
            L.Conv2D(6, (3, 2), activation="relu", padding="same", **shape(9, 8, 3)),
            L.MaxPooling2D((2, 2), **where),
            L.BatchNormalization(axis=1 if first else -1),
            L.AveragePooling2D((2, 1), strides=(1, 1), **same),
            L.ZeroPadding2D((1, 2), **where),
            L.Flatten(**where),
            L.Dense(3),
        ],
        "separable": [
            L.SeparableConv2D(4, (2, 3), depth_multiplier=2, **shape(9, 8, 3)),
            L.SpatialDropout2D(0.1, **where),
            L.UpSampling2D((2, 1), **where),
            L.DepthwiseConv2D(2, depth_multiplier=2, **where),
            L.GlobalMaxPooling2D(**where),
        ],
        "back": [
            L.Conv2DTranspose(5, 3, strides=2, padding="same", output_padding=1, **shape(9, 8, 3)),
            L.Cropping2D(((1, 0), (1, 1)), **where),
        ],
        "volume": [L.Conv3D(3, (2, 3, 2), **shape(5, 6, 7, 2)), L.MaxPooling3D((2, 1, 2), **where)],
    }


@recipe(since=(2, 2), until=(3,))
def chunked(kit: Kit) -> None:
    """Names too long for one attribute: layer_names0, layer_names1... and weight_names0..."""
    L = kit.layers
    first, named = L.Dense(3, input_shape=(FEATURES,)), L.Dense(4, name="n" * 9000)
    inner = kit.sequential(first, named, L.Dense(3), L.Dense(2))
    layers = [L.Dense(2, activation="tanh", name=f"layer_{i}") for i in range(6)]
    model = kit.sequential(inner, *layers, L.Dense(3, name="m" * 9000))
    kit.fill(model, "chunked")
    model.save(str(kit.out / "chunked.h5"))
    kit.record("chunked", model, features(19, FEATURES))


@recipe(since=(1,))
def refused(kit: Kit) -> None:
    """A Lambda, and a layer of one's own: no predictions, as these need code."""
    L = kit.layers

    class Scale(L.Layer):
        """A layer that a file cannot describe."""

        def call(self, inputs: Any, mask: Any = None) -> Any:
            return inputs * 2.0

    ids = kit.ids()
    sequence = L.LSTM(4, return_sequences=True)(kit.embedding(mask=False)(ids))
    for name, layer in {"lambda": L.Lambda(lambda x: x * 2.0), "custom": Scale()}.items():
        model = kit.model(ids, L.Dense(3)(layer(sequence)))
        kit.fill(model, name)
        kit.save(name, model)


# ----------------------------------------------------------------------------------------------------


def numbers(version: str) -> tuple[int, ...]:
    """The first three numbers of a version."""
    return tuple(int(part) for part in version.split(".")[:3])


def package_version(name: str, path: str | None) -> str:
    """The version of a package that is not imported yet."""
    from importlib.metadata import version

    for root in [path] if path else []:
        for found in [*Path(root).glob("*.dist-info/METADATA"), *Path(root).glob("*.egg-info/PKG-INFO")]:
            lines = found.read_text(errors="replace").splitlines()
            return next(line.split(":")[1].strip() for line in lines if line.startswith("Version:"))
    return version(name)


def check(kit: Kit) -> None:
    """Load each file with the Keras that wrote it, and compare its predictions with the recorded ones."""
    whole = {"compile": False} if kit.version >= (2,) else {}
    for recorded in sorted(kit.out.glob("*.npz")):
        with np.load(recorded) as arrays:
            inputs = [arrays[key] for key in sorted(arrays) if key.startswith("input")]
            outputs = [arrays[key] for key in sorted(arrays) if key.startswith("output")]
        for file in [recorded.with_suffix(".h5"), recorded.with_suffix(".keras")]:
            if not file.exists() or file.name.startswith("cudnn"):
                continue
            kit.keras.backend.clear_session()
            try:
                model = kit.keras.models.load_model(str(file), **whole)
                found = model.predict(inputs if len(inputs) > 1 else inputs[0], batch_size=ROWS, verbose=0)
                found = found if isinstance(found, list | tuple) else [found]
                worst = max(float(np.abs(a - b).max()) for a, b in zip(found, outputs, strict=True))
                if not worst < 1e-5:
                    print(f"{file.name}: predictions differ by {worst}")
            except Exception as error:
                print(f"{file.name}: {message(error)}")


def main() -> None:
    """Write the files of one Keras."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, help="folder of the files")
    parser.add_argument("--package", default="keras", help="keras or tf_keras")
    parser.add_argument("--path", help="folder that holds an unpacked Keras")
    parser.add_argument("--only", nargs="*", help="names of functions of this script")
    parser.add_argument("--check", action="store_true", help="load the files in OUT instead of writing them")
    arguments = parser.parse_args()
    os.environ |= {"TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "", "TF_ENABLE_ONEDNN_OPTS": "0"}
    version = numbers(package_version(arguments.package, arguments.path))
    if (2, 4) <= version < (2, 12):
        # Their generated code is older than protobuf 4.
        os.environ["PROTOCOL_BUFFERS_PYTHON_IMPLEMENTATION"] = "python"
    if version < (2, 12):
        import old_keras_shim

        (old_keras_shim.install if version < (2, 4) else old_keras_shim.inspections)()
    if arguments.path:
        sys.path.insert(0, arguments.path)
    keras = importlib.import_module(arguments.package)
    if numbers(keras.__version__) != version:
        raise SystemExit(f"{keras.__version__} was imported, not {version}")
    arguments.out.mkdir(parents=True, exist_ok=True)
    kit = Kit(keras, version, arguments.out)
    if arguments.check:
        check(kit)
        return
    for recipe in RECIPES:
        name = recipe.make.__name__
        if not recipe.since <= version < recipe.until or (arguments.only and name not in arguments.only):
            continue
        keras.backend.clear_session()
        np.random.seed(0)
        try:
            recipe.make(kit)
        except Exception as error:
            traceback.print_exc(limit=-3)
            kit.skipped[name] = message(error)
    report = "".join(f"{name}: {why}\n" for name, why in kit.skipped.items())
    if not arguments.only:
        (arguments.out / "skipped.txt").write_text(report)
    print(json.dumps({"keras": keras.__version__, "files": len(list(arguments.out.iterdir()))}))
    print(report)


if __name__ == "__main__":
    main()
