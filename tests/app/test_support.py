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

import keras_side
import torch_side
from biport import ops
from biport.app.support import KERAS_OPERATIONS, SUPPORT, TORCH_OPERATIONS, support_table
from biport.errors import UnsupportedError
from keras_side.operations.refused import supported_functions
from keras_side.registry import READERS as KERAS
from keras_side.shared.cells import CELL_READERS
from keras_side.shared.tokenizers import TOKENIZERS
from torch_side.registry import ATEN

ROOT = Path(__file__).parents[2]
OLDER_NAMES = {
    *(
        f"{name}{dimensions}D"
        for name in ("AvgPool", "Convolution", "GlobalAvgPool")
        for dimensions in (1, 2, 3)
    ),
    *(f"{name}{dimensions}D" for name in ("GlobalMaxPool", "MaxPool") for dimensions in (1, 2, 3)),
    *(f"Convolution{dimensions}DTranspose" for dimensions in (1, 2, 3)),
    *("SeparableConvolution1D", "SeparableConvolution2D"),
    *("LearnedAverage", "Parameter", "Recurrence", "TensorOperation"),  # biport's own
}


def test_every_operation_of_keras_that_is_read_is_listed_and_no_other() -> None:
    assert list(KERAS_OPERATIONS) == supported_functions()


def test_every_operator_of_torch_that_is_read_is_listed_and_no_other() -> None:
    own = [name for name in ATEN if not name.startswith(("biport.", "_"))]
    read = {name.split(".")[0] for name in own if not ATEN.lookup(name, "").__name__.startswith("refuse_")}
    assert list(TORCH_OPERATIONS) == sorted(read)


def test_every_keras_layer_that_is_read_is_in_the_table_and_no_other() -> None:
    named = [name for row in SUPPORT for name in row.keras]
    assert len(named) == len(set(named))
    assert set(named) == {*KERAS, *CELL_READERS, *TOKENIZERS} - OLDER_NAMES


@pytest.mark.parametrize("row", SUPPORT, ids=lambda row: row.family)
def test_a_keras_layer_stands_in_its_family(row) -> None:
    readers = [KERAS.lookup(name, name) for name in row.keras if name in KERAS]
    assert {reader.op.__module__.rpartition(".")[2] for reader in readers} == {row.family}


def swapped(part: nn.Module, x: torch.Tensor) -> torch.Tensor:
    return part(x.transpose(1, 2))


MODULES: dict[str, tuple[nn.Module, Callable]] = {
    "nn.LSTM": (nn.LSTM(4, 3, batch_first=True), lambda part, x, ids: part(x)[0]),
    "nn.GRU": (nn.GRU(4, 3), lambda part, x, ids: part(x)[0]),
    "nn.RNN": (nn.RNN(4, 3), lambda part, x, ids: part(x)[0]),
    "nn.LSTMCell": (nn.LSTMCell(4, 3), lambda part, x, ids: part(x[:, 0])[0]),
    "nn.GRUCell": (nn.GRUCell(4, 3), lambda part, x, ids: part(x[:, 0])),
    "nn.RNNCell": (nn.RNNCell(4, 3), lambda part, x, ids: part(x[:, 0])),
    "nn.Embedding": (nn.Embedding(9, 3), lambda part, x, ids: part(ids)),
    "nn.EmbeddingBag": (nn.EmbeddingBag(9, 3), lambda part, x, ids: part(ids)),
    "nn.Linear": (nn.Linear(4, 3), lambda part, x, ids: part(x)),
    "nn.Bilinear": (nn.Bilinear(4, 4, 3), lambda part, x, ids: part(x, x)),
    "nn.MultiheadAttention": (nn.MultiheadAttention(4, 2), lambda part, x, ids: part(x, x, x)[0]),
    "nn.TransformerEncoderLayer": (nn.TransformerEncoderLayer(4, 2, 8), lambda part, x, ids: part(x)),
    "nn.Conv1d": (nn.Conv1d(4, 3, 2), lambda part, x, ids: swapped(part, x)),
    "nn.Conv2d": (nn.Conv2d(1, 2, 2), lambda part, x, ids: part(x.unsqueeze(1))),
    "nn.Conv3d": (nn.Conv3d(1, 2, 1), lambda part, x, ids: part(x.unsqueeze(1).unsqueeze(1))),
    "nn.ConvTranspose1d": (nn.ConvTranspose1d(4, 3, 2), lambda part, x, ids: swapped(part, x)),
    "nn.ConvTranspose2d": (nn.ConvTranspose2d(1, 2, 2), lambda part, x, ids: part(x.unsqueeze(1))),
    "nn.MaxPool1d": (nn.MaxPool1d(2), lambda part, x, ids: swapped(part, x)),
    "nn.MaxPool2d": (nn.MaxPool2d(2), lambda part, x, ids: part(x.unsqueeze(1))),
    "nn.AvgPool1d": (nn.AvgPool1d(2), lambda part, x, ids: swapped(part, x)),
    "nn.AvgPool2d": (nn.AvgPool2d(2), lambda part, x, ids: part(x.unsqueeze(1))),
    "nn.AdaptiveMaxPool1d": (nn.AdaptiveMaxPool1d(1), lambda part, x, ids: swapped(part, x)),
    "nn.AdaptiveAvgPool2d": (nn.AdaptiveAvgPool2d((1, 2)), lambda part, x, ids: part(x.unsqueeze(1))),
    "nn.BatchNorm1d": (nn.BatchNorm1d(4), lambda part, x, ids: swapped(part, x)),
    "nn.BatchNorm2d": (nn.BatchNorm2d(1), lambda part, x, ids: part(x.unsqueeze(1))),
    "nn.LayerNorm": (nn.LayerNorm(4), lambda part, x, ids: part(x)),
    "nn.RMSNorm": (nn.RMSNorm(4), lambda part, x, ids: part(x)),
    "nn.GroupNorm": (nn.GroupNorm(2, 4), lambda part, x, ids: swapped(part, x)),
    "nn.InstanceNorm1d": (nn.InstanceNorm1d(4), lambda part, x, ids: swapped(part, x)),
    "nn.ReLU": (nn.ReLU(), lambda part, x, ids: part(x)),
    "nn.PReLU": (nn.PReLU(), lambda part, x, ids: part(x)),
    "nn.Softmax": (nn.Softmax(-1), lambda part, x, ids: part(x)),
    "nn.GLU": (nn.GLU(), lambda part, x, ids: part(x)),
    "nn.Flatten": (nn.Flatten(), lambda part, x, ids: part(x[:, 0])),
    "nn.Unflatten": (nn.Unflatten(2, (2, 2)), lambda part, x, ids: part(x)),
    "nn.Upsample": (nn.Upsample(scale_factor=2), lambda part, x, ids: part(x.unsqueeze(1))),
    "nn.Dropout": (nn.Dropout(), lambda part, x, ids: part(x)),
    "nn.AlphaDropout": (nn.AlphaDropout(), lambda part, x, ids: part(x)),
    "nn.Identity": (nn.Identity(), lambda part, x, ids: part(x)),
}


class EveryModule(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.parts = nn.ModuleList(part for part, _ in MODULES.values())

    def forward(self, x: torch.Tensor, ids: torch.Tensor) -> list[torch.Tensor]:
        calls = (call for _, call in MODULES.values())
        return [call(part, x, ids) for part, call in zip(self.parts, calls, strict=True)]


def test_every_module_of_torch_in_the_table_is_read() -> None:
    assert list(MODULES) == [name for row in SUPPORT for name in row.torch if name.startswith("nn.")]
    x, ids = torch.randn(3, 5, 4), torch.tensor([[1, 2, 3, 4, 5]] * 3)
    assert len(torch_side.read(EveryModule(), (x, ids)).outputs) == len(MODULES)


def sequential(*stack: keras.Layer, features: bool = True) -> Callable[[], object]:
    given = keras.Input((5, 3)) if features else keras.Input((5,), dtype="int32")
    return lambda: keras_side.read(keras.Sequential([given, *stack]))


def module(forward: Callable, example: Any = None, **parts: nn.Module) -> Callable[[], object]:
    kind = type("Model", (nn.Module,), {"forward": forward})
    model = kind()
    for name, part in parts.items():
        model.add_module(name, part)
    return lambda: torch_side.read(model.eval(), (torch.randn(3, 5, 3) if example is None else example,))


class FromOnes(layers.SimpleRNNCell):
    def __init__(self) -> None:
        super().__init__(3)

    def get_initial_state(self, batch_size: int | None = None) -> list[Any]:
        return [keras.ops.ones((batch_size, 3))]


def attended(**settings: Any) -> Callable[[], object]:
    x = keras.Input((5, 4))
    y = layers.MultiHeadAttention(2, 2, **settings)(x, x)
    return lambda: keras_side.read(keras.Model(x, y))


def of_texts(layer: keras.Layer) -> Callable[[], object]:
    return lambda: keras_side.read(keras.Sequential([keras.Input((1,), dtype="string"), layer]))


def crossed() -> Callable[[], object]:
    pair = keras.Input((1,), dtype="int32"), keras.Input((1,), dtype="int32")
    return lambda: keras_side.read(keras.Model(pair, layers.HashedCrossing(5)(pair)))


def looking(**settings: Any) -> Callable[[], object]:
    return sequential(layers.IntegerLookup(vocabulary=[5, 3], **settings), features=False)


def calling(name: str) -> Callable:
    return lambda self, x: getattr(self, name)(x)


def counted(self: Any, x: torch.Tensor) -> torch.Tensor:
    x, self.state = self.gru(x, getattr(self, "state", None))
    return x


def steps_masked() -> Callable[[], object]:
    x, mask = keras.Input((4, 5, 3)), keras.Input((4,), dtype="bool")
    model = keras.Model([x, mask], layers.TimeDistributed(layers.LSTM(2))(x, mask=mask))
    return lambda: keras_side.read(model)


REFUSED: dict[tuple[str, str], Callable[[], Callable[[], object]]] = {
    ("recurrent", "stateful in both directions, with states that go in and out"): lambda: (
        lambda: keras_side.read(
            keras.Sequential(
                [keras.Input((5, 3), batch_size=2), layers.Bidirectional(layers.LSTM(3, stateful=True))]
            ),
            states="explicit",
        )
    ),
    ("recurrent", "cells that begin with other numbers than zeros"): lambda: sequential(
        layers.RNN(FromOnes())
    ),
    ("recurrent", "state kept on the module"): lambda: module(counted, gru=nn.GRU(3, 4, batch_first=True)),
    ("embedding", "max_norm"): lambda: module(
        calling("e"), torch.tensor([[1, 2, 3]]), e=nn.Embedding(5, 3, max_norm=1.0)
    ),
    ("attention", "use_gate"): lambda: attended(use_gate=True),
    ("attention", "attention_axes other than time"): lambda: attended(attention_axes=(1, 2)),
    ("pooling", "return_indices"): lambda: module(
        lambda self, x: self.p(x.transpose(1, 2))[1], p=nn.MaxPool1d(2, return_indices=True)
    ),
    ("normalization", "renorm"): lambda: sequential(layers.BatchNormalization(renorm=True)),
    ("normalization", "track_running_stats=False"): lambda: module(
        lambda self, x: self.n(x.transpose(1, 2)).transpose(1, 2),
        n=nn.BatchNorm1d(3, track_running_stats=False),
    ),
    ("preprocessing", "num_oov_indices=0"): lambda: looking(num_oov_indices=0),
    ("preprocessing", "ragged"): lambda: of_texts(layers.TextVectorization(vocabulary=["a"], ragged=True)),
    ("preprocessing", "invert"): lambda: looking(invert=True),
    ("preprocessing", "Hashing"): lambda: of_texts(layers.Hashing(5)),
    ("preprocessing", "HashedCrossing"): lambda: crossed(),
    ("activation", "sparsemax"): lambda: sequential(layers.Activation("sparsemax")),
    ("shape", "interpolation=bicubic"): lambda: sequential(
        layers.Reshape((5, 1, 3)), layers.UpSampling2D(2, interpolation="bicubic")
    ),
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
