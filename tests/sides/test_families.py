"""The families of models in both frameworks: twins that compute the same from the same weights."""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import pytest
import torch

import export
import keras_side
import torch_side
from biport import ops, reference, verify
from biport.compare.cases import random_cases
from biport.compare.settings import layer_ops
from biport.compare.tolerance import Verdict
from biport.graph import Graph
from biport.rewrite.simplify import simplify
from keras_side.models.attentive_sentiment import attentive_sentiment as keras_attentive_sentiment
from keras_side.models.crnn import crnn as keras_crnn
from keras_side.models.sentiment import sentiment as keras_sentiment
from keras_side.models.seq2seq import seq2seq as keras_seq2seq
from keras_side.models.tagger import tagger as keras_tagger
from testing.models import randomize
from torch_side.models import attentive_sentiment, crnn, seq2seq, tagger

SIZES: dict[str, Any] = {"embedding_size": 5, "units": 4, "lstm_units": 3}
TAGGERS: dict[str, dict[str, Any]] = {
    "ids, concat, binary": {"vocabulary_size": 13},
    "features, one share, 3 tags": {"features": 6, "join": "learned", "tags": 3},
    "ids, a share a unit, unmasked": {
        "vocabulary_size": 13, "join": "learned", "per_unit": True, "masked": False
    },
    "features, attention, binary": {"features": 1, "join": "attention"},
}  # fmt: skip

CLASSIFIERS: dict[str, dict[str, Any]] = {
    "binary, weights": {"units": (4,), "return_weights": True},
    "two layers, 3 classes": {"units": (4, 3), "attention_units": 1, "classes": 3},
    "unmasked": {"units": (4,), "masked": False, "return_weights": True},
}
TRANSLATORS: dict[str, dict[str, Any]] = {
    "lstm, concat, dot": {"units": (4,), "return_state": True},
    "gru, two layers, dense, additive": {
        "units": (4, 3), "cell": "gru", "bridge": "dense", "decoder_units": 5, "attention": "additive"
    },
    "gru, concat, dot, unmasked": {"units": (1,), "cell": "gru", "masked": False},
    "lstm, two layers, dense, no attention": {
        "units": (2, 3), "bridge": "dense", "decoder_units": 1, "attention": None, "return_state": True
    },
}  # fmt: skip

READERS: dict[str, dict[str, Any]] = {
    "grey, two convolutions": {"classes": 5, "height": 9, "filters": (3, 4), "features": 6, "units": 2},
    "coloured, one convolution": {"classes": 4, "height": 6, "channels": 3, "filters": (2,), "units": 3},
}

Make = Callable[..., Any]


def check_twins(
    make_keras: Make, make_torch: Make, folder: Path, inputs: Sequence[np.ndarray] | None = None
) -> Graph:
    """Weights go from Keras to torch and back bit for bit, and every form computes what the oracle does."""
    model = randomize(make_keras())
    graph = keras_side.read(model)
    twin = make_torch()
    torch_side.load(twin, graph)
    found = torch_side.read(twin)
    # A Keras model is read as the layers that its operations make up.
    assert nodes(simplify(found)) == nodes(graph)
    assert found.inputs == graph.inputs

    again = make_keras()
    assert keras_side.load(again, found).summed == ()
    for one, two in zip(model.get_weights(), again.get_weights(), strict=True):
        assert one.tobytes() == two.tobytes()

    export.write(found, folder / "twin.onnx", vectors=False)
    export.write(graph, folder / "fused.onnx", vectors=False)
    forms = [model, twin, torch_side.write(graph), folder / "fused.onnx", folder / "twin.onnx"]
    report = verify(*forms, inputs=inputs or every_mask(graph), float64=True)
    assert report.verdict is Verdict.SAME, f"{graph}\n{report.table}"
    assert not any(report.weights.values())
    assert report.maximum < 1e-6
    return graph


def every_mask(graph: Graph) -> list[np.ndarray]:
    """Rows of `random_cases` with every pattern of mask as one short batch, which Keras runs in one go."""
    cases = random_cases(graph)
    rows = [cases[name] for name in ("full", "right", "left", "holes", "all padding")]
    return [np.concatenate([array[:3, :7] for array in arrays]) for arrays in zip(*rows, strict=True)]


def nodes(graph: Graph) -> dict[str, ops.Op]:
    """The ops by name; masks are called differently on either side, and make an embedding's `mask_zero`.

    What only moves numbers is a layer in Keras, and an expression in torch.
    """
    masks = ops.NotEqual, ops.FeaturesNotEqual
    every = layer_ops(graph).items()
    return {name: stateless(op) for name, op in every if not isinstance(op, masks) and not op.moves}


def stateless(op: ops.Op) -> ops.Op:
    """A layer of one direction that gives no states: Keras' gives them whether they are used or not."""
    return dataclasses.replace(op, return_state=False) if isinstance(op, ops.Recurrent) else op


def first_of(names: Iterable[str]) -> list[Any]:
    """The first stays in `make test`; the others are in the sweep."""
    return [pytest.param(name, marks=pytest.mark.sweep) if at else name for at, name in enumerate(names)]


@pytest.mark.sweep
@pytest.mark.parametrize("which", first_of(TAGGERS))
def test_taggers(which: str, tmp_path: Path) -> None:
    settings = SIZES | TAGGERS[which]
    graph = check_twins(
        functools.partial(keras_tagger, **settings), functools.partial(tagger, **settings), tmp_path
    )
    recurrent = [node for node in graph.nodes if isinstance(node.op, ops.Recurrent | ops.Bidirectional)]
    assert [node.name for node in recurrent] == ["bilstm", "lstm"]
    masks = {mask for node in recurrent for mask in node.masks}
    assert (masks == {None}) is ("unmasked" in which)
    assert len(masks) == 1


@pytest.mark.parametrize("which", first_of(CLASSIFIERS))
def test_attentive_classifiers(which: str, tmp_path: Path) -> None:
    settings = {"vocabulary_size": 13, "embedding_size": 5, "attention_units": 6} | CLASSIFIERS[which]
    graph = check_twins(
        functools.partial(keras_attentive_sentiment, **settings),
        functools.partial(attentive_sentiment, **settings),
        tmp_path,
    )
    assert (graph["attention_weights"].masks == (None,)) is (which == "unmasked")


def test_the_weights_are_those_of_the_words() -> None:
    ids = every_mask(torch_side.read(attentive_sentiment(13, 5, (4,))))[0]
    _, weights = torch_side.run(attentive_sentiment(13, 5, (4,), return_weights=True), [ids])
    words = ids != 0
    assert (weights[~words] == 0).all()
    assert (weights[words] > 0).all()
    np.testing.assert_allclose(weights.sum(axis=1), words.any(axis=1), atol=1e-6)


@pytest.mark.sweep
@pytest.mark.parametrize("which", first_of(TRANSLATORS))
def test_translators(which: str, tmp_path: Path) -> None:
    settings = {"source_size": 13, "target_size": 11, "embedding_size": 5} | TRANSLATORS[which]
    graph = check_twins(
        functools.partial(keras_seq2seq, **settings), functools.partial(seq2seq, **settings), tmp_path
    )
    walkers = [node for node in graph.nodes if isinstance(node.op, ops.Recurrent | ops.Bidirectional)]
    masks = [node.masks[0] for node in walkers]
    assert (masks == [None] * len(masks)) is ("unmasked" in which)
    assert len(set(masks[:-1])) == 1
    if settings.get("masked", True):
        assert masks[0] != masks[-1]
    if settings.get("attention", "dot"):
        assert graph["attention"].masks == (None, masks[0], None)


@pytest.mark.sweep
def test_source_and_target_of_unequal_lengths(tmp_path: Path) -> None:
    model = randomize(keras_seq2seq(13, 11, 5, (4,)))
    twin = seq2seq(13, 11, 5, (4,))
    torch_side.load(twin, keras_side.read(model))
    export.write(torch_side.read(twin), tmp_path / "twin.onnx")
    source, target = every_mask(keras_side.read(model))
    report = verify(model, twin, tmp_path / "twin.onnx", inputs=[source, target[:, 1:5]])
    assert report.verdict is Verdict.SAME, report.table


@pytest.mark.sweep
@pytest.mark.parametrize("which", first_of(READERS))
def test_readers_of_pictures(which: str, tmp_path: Path) -> None:
    settings = READERS[which]
    shape = 3, settings["height"], 14, settings.get("channels", 1)
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype("float32")
    graph = check_twins(
        functools.partial(keras_crnn, **settings), functools.partial(crnn, **settings), tmp_path, [pixels]
    )
    shapes = [str(graph.tensors[name]) for name in (graph.inputs[0].name, *graph.outputs)]
    assert shapes[0].startswith(f"float32 (N, {shape[1]}, ")
    assert shapes[1].endswith(f", {settings['classes']})")


def test_bad_settings_of_a_translator_are_refused_by_both() -> None:
    for make in (keras_seq2seq, seq2seq):
        bad: dict[str, Any] = {"cell": "rnn", "bridge": "sum", "attention": "concat", "decoder_units": 5}
        for name, value in bad.items():
            with pytest.raises(ValueError, match=f"{name} should be .*, found {value!r}"):
                make(3, 4, **{name: value})


@pytest.mark.sweep
def test_a_twin_that_ignores_padding_computes_something_else() -> None:
    for twin in (
        tagger(**SIZES | TAGGERS["ids, concat, binary"]),
        tagger(**SIZES | TAGGERS["features, attention, binary"]),
        attentive_sentiment(13, 5, (4,)),
        seq2seq(13, 11, 5, (4,)),
    ):
        graph = torch_side.read(twin)
        inputs = every_mask(graph)
        exact = reference.run(graph, inputs)
        sound = torch_side.run(twin, inputs)
        twin.masked = False
        wrong = torch_side.run(twin, inputs)
        for one, right, other in zip(exact, sound, wrong, strict=True):
            np.testing.assert_allclose(right, one, atol=1e-6)
            assert np.abs(other - one).max() > 1e-3


def test_bad_settings_of_a_tagger_are_refused_by_both() -> None:
    for make in (keras_tagger, tagger):
        for sizes in ((None, None), (3, 2)):
            with pytest.raises(ValueError, match="vocabulary_size or features"):
                make(*sizes)
        with pytest.raises(ValueError, match="found 'sum'"):
            make(3, join="sum")


def family_models() -> dict[str, Make]:
    """The Keras models above, by name."""
    classifier = {"vocabulary_size": 13, "embedding_size": 5, "attention_units": 6}
    translator = {"source_size": 13, "target_size": 11, "embedding_size": 5}
    families: list[tuple[Make, dict[str, Any], dict[str, dict[str, Any]]]] = [
        (keras_sentiment, {"vocabulary_size": 13, "embedding_size": 5}, {"two layers": {"units": (4, 3)}}),
        (keras_tagger, SIZES, TAGGERS),
        (keras_attentive_sentiment, classifier, CLASSIFIERS),
        (keras_seq2seq, translator, TRANSLATORS),
        (keras_crnn, {}, READERS),
    ]
    return {
        f"{make.__name__}: {name}": functools.partial(make, **fixed | own)
        for make, fixed, several in families
        for name, own in several.items()
    }


def one_a_family(names: Iterable[str]) -> list[Any]:
    """The first model of each family stays in `make test`; the others are in the sweep."""
    families = itertools.groupby(names, key=lambda name: name.partition(":")[0])
    return [one for _, several in families for one in first_of(several)]


@pytest.mark.parametrize("which", one_a_family(family_models()))
def test_files_of_the_families_are_the_live_models(which: str, tmp_path: Path) -> None:
    model = randomize(family_models()[which]())
    model.save(tmp_path / "model.keras")
    assert keras_side.read(tmp_path / "model.keras") == keras_side.read(model)


TWINS: dict[str, tuple[Make, Make]] = {
    "tagger": (lambda: keras_tagger(31, units=24), lambda: tagger(31, units=24)),
    "classifier": (
        lambda: keras_attentive_sentiment(31, attention_units=300),
        lambda: attentive_sentiment(31, attention_units=300),
    ),
    "reader": (lambda: keras_crnn(21), lambda: crnn(21)),
    "lstm": (lambda: keras_seq2seq(31, 29), lambda: seq2seq(31, 29)),
    "gru": (
        lambda: keras_seq2seq(31, 29, cell="gru", bridge="dense", attention="additive"),
        lambda: seq2seq(31, 29, cell="gru", bridge="dense", attention="additive"),
    ),
}


@pytest.mark.parametrize(
    "family",
    [name if name in ("tagger", "gru") else pytest.param(name, marks=pytest.mark.sweep) for name in TWINS],
)
def test_twins_begin_with_weights_of_one_size(family: str) -> None:
    keras.utils.set_random_seed(1)
    torch.manual_seed(1)
    one, two = keras_side.read(TWINS[family][0]()), torch_side.read(TWINS[family][1]())
    for name, op in nodes(one).items():
        mine, yours = op.weights(), nodes(two)[name].weights()
        assert mine.keys() == yours.keys()
        for path, array in mine.items():
            assert array.shape == yours[path].shape
            one_size, two_size = (np.sqrt(np.mean(np.square(found))) for found in (array, yours[path]))
            np.testing.assert_allclose(two_size, one_size, rtol=0.25, err_msg=f"{name}: {path}")
