"""What the README says is supported is what the readers register, and what it says is refused is."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import pytest
import torch
from keras import layers
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

import keras_side
import torch_side
from biport import ops
from biport.app.support import KERAS_OPERATIONS, SUPPORT, support_table
from biport.errors import UnsupportedError
from keras_side.operations.refused import supported_functions
from keras_side.registry import READERS as KERAS
from keras_side.shared.cells import CELL_READERS
from torch_side.registry import READERS as TORCH

ROOT = Path(__file__).parents[2]
OLDER_NAMES = {
    *("Convolution1D", "AvgPool1D", "MaxPool1D", "GlobalAvgPool1D", "GlobalMaxPool1D"),
    *("LearnedAverage", "Parameter", "TensorOperation"),  # biport's own
}


def test_every_operation_of_keras_that_is_read_is_listed_and_no_other() -> None:
    assert list(KERAS_OPERATIONS) == supported_functions()


def test_every_keras_layer_that_is_read_is_in_the_table_and_no_other() -> None:
    named = [name for row in SUPPORT for name in row.keras]
    assert len(named) == len(set(named))
    assert set(named) == {*KERAS, *CELL_READERS} - OLDER_NAMES


@pytest.mark.parametrize("row", SUPPORT, ids=lambda row: row.family)
def test_a_keras_layer_stands_in_its_family(row) -> None:
    readers = [KERAS.lookup(name, name) for name in row.keras if name in KERAS]
    assert {reader.op.__module__.rpartition(".")[2] for reader in readers} == {row.family}


def test_every_torch_module_that_is_read_is_in_the_table_and_no_other() -> None:
    named = {name.removeprefix("nn.") for row in SUPPORT for name in row.torch if name.startswith("nn.")}
    read = {
        key.__name__: TORCH.lookup(key, "").__module__
        for key in TORCH
        if isinstance(key, type) and key.__module__.startswith("torch.nn")
    }
    assert named <= set(read)
    assert {name for name, module in read.items() if not module.endswith(".activation")} <= named


def sequential(*stack: keras.Layer, features: bool = True) -> Callable[[], object]:
    given = keras.Input((5, 3)) if features else keras.Input((5,), dtype="int32")
    return lambda: keras_side.read(keras.Sequential([given, *stack]))


def module(forward: Callable, **parts: nn.Module) -> Callable[[], object]:
    kind = type("Model", (nn.Module,), {"forward": forward})
    model = kind()
    for name, part in parts.items():
        model.add_module(name, part)
    return lambda: torch_side.read(model.eval())


class OwnCell(layers.Layer):
    state_size = 3

    def call(self, x: object, states: object) -> object:
        return x, states


def one_more(x: object) -> object:
    return x


def attended(**settings: Any) -> Callable[[], object]:
    x = keras.Input((5, 4))
    y = layers.MultiHeadAttention(2, 2, **settings)(x, x)
    return lambda: keras_side.read(keras.Model(x, y))


def looking(**settings: Any) -> Callable[[], object]:
    return sequential(layers.IntegerLookup(vocabulary=[5, 3], **settings), features=False)


def calling(name: str) -> Callable:
    return lambda self, x: getattr(self, name)(x)


def masked_attention(argument: str) -> Callable[[], object]:
    def forward(self: Any, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        return self.attention(x, x, x, **{argument: mask})[0]

    return module(forward, attention=nn.MultiheadAttention(4, 2, batch_first=True))


def packed(self: Any, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
    return self.lstm(pack_padded_sequence(x, lengths, batch_first=True, enforce_sorted=False))[1][0][-1]


def steps_masked() -> Callable[[], object]:
    x, mask = keras.Input((4, 5, 3)), keras.Input((4,), dtype="bool")
    model = keras.Model([x, mask], layers.TimeDistributed(layers.LSTM(2))(x, mask=mask))
    return lambda: keras_side.read(model)


REFUSED: dict[tuple[str, str], Callable[[], Callable[[], object]]] = {
    ("recurrent", "stateful"): lambda: (
        lambda: keras_side.read(
            keras.Sequential([keras.Input((5, 3), batch_size=2), layers.LSTM(3, stateful=True)])
        )
    ),
    ("recurrent", "cells of one's own"): lambda: sequential(layers.RNN(OwnCell())),
    ("recurrent", "proj_size"): lambda: module(
        lambda self, x: self.lstm(x)[0], lstm=nn.LSTM(3, 4, proj_size=2, batch_first=True)
    ),
    ("recurrent", "packed sequences"): lambda: module(packed, lstm=nn.LSTM(3, 4, batch_first=True)),
    ("embedding", "max_norm"): lambda: module(calling("e"), e=nn.Embedding(5, 3, max_norm=1.0)),
    ("attention", "key_padding_mask"): lambda: masked_attention("key_padding_mask"),
    ("attention", "attn_mask"): lambda: masked_attention("attn_mask"),
    ("attention", "use_gate"): lambda: attended(use_gate=True),
    ("attention", "attention_axes other than time"): lambda: attended(attention_axes=(1, 2)),
    ("convolution", "padding_mode other than zeros"): lambda: module(
        lambda self, x: self.c(x.transpose(1, 2)).transpose(1, 2),
        c=nn.Conv1d(3, 4, 3, padding=1, padding_mode="circular"),
    ),
    ("pooling", "ceil_mode"): lambda: module(
        lambda self, x: self.p(x.transpose(1, 2)).transpose(1, 2), p=nn.MaxPool1d(2, ceil_mode=True)
    ),
    ("pooling", "return_indices"): lambda: module(
        lambda self, x: self.p(x.transpose(1, 2))[0].transpose(1, 2), p=nn.MaxPool1d(2, return_indices=True)
    ),
    ("normalization", "renorm"): lambda: sequential(layers.BatchNormalization(renorm=True)),
    ("normalization", "track_running_stats=False"): lambda: module(
        lambda self, x: self.n(x.transpose(1, 2)).transpose(1, 2),
        n=nn.BatchNorm1d(3, track_running_stats=False),
    ),
    ("preprocessing", "tf_idf"): lambda: looking(output_mode="tf_idf", idf_weights=[0.5, 0.3]),
    ("preprocessing", "num_oov_indices=0"): lambda: looking(num_oov_indices=0),
    ("activation", "functions of one's own"): lambda: sequential(layers.Activation(one_more)),
    ("merge", "in torch, constants (x * 0.5)"): lambda: module(lambda self, x: x * 0.5),
    ("shape", "in torch, slices (x[:, -1])"): lambda: module(lambda self, x: x[:, -1]),
    ("regularization", "noise_shape"): lambda: sequential(layers.Dropout(0.5, noise_shape=(None, 1, 3))),
    ("time_distributed", "a mask of whole steps around a layer that takes one"): lambda: steps_masked(),
}


def test_every_refusal_of_the_table_is_tried() -> None:
    assert list(REFUSED) == [(row.family, name) for row in SUPPORT for name in row.refused]


@pytest.mark.parametrize("family, name", REFUSED, ids=[name for _, name in REFUSED])
def test_it_is_refused_by_name(family: str, name: str) -> None:
    read = REFUSED[family, name]()
    with pytest.raises(UnsupportedError) as caught:
        read()
    word = {"packed sequences": "packing"}.get(name, name.split("=")[0].split(" ")[0])
    # Some are said in words, others by the name of a setting.
    if not word.endswith(("s", "around")):
        assert word in str(caught.value)


def test_the_readme_has_this_table() -> None:
    marked = re.search(
        r"<!-- support -->\n(.*?)\n<!-- /support -->", (ROOT / "README.md").read_text(), re.DOTALL
    )
    assert marked is not None
    assert marked[1] == support_table(), f"the README's support table should be:\n{support_table()}"


def test_every_tensor_operation_is_in_the_table_of_sides() -> None:
    table = (ROOT / "docs" / "operations.md").read_text()
    kinds = {op.__name__ for op in ops.op_classes() if issubclass(op, ops.TensorOperation)}
    assert kinds == set(re.findall(r"^\| `(\w+)", table, flags=re.MULTILINE))
