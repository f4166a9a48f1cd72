"""Training in both frameworks: in float64 the same losses and weights, step by step."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import keras_side
from biport.data import pad
from biport.errors import WeightError
from biport.training import SGD, Adam, Batch, RMSprop, Trainer
from biport.training.data import next_token
from biport.training.exact import exact_matches
from biport.training.optimizers import Optimizer, rate_at
from keras_side import train as in_keras
from torch_side import train as in_torch

V, C = 13, 11
STEPS = 5
CLASSIFIER: dict[str, Any] = {"vocabulary_size": V, "embedding_size": 5, "dropout": 0.0}
TRANSLATOR: dict[str, Any] = {"source_size": V, "target_size": C, "embedding_size": 5}
CASES: dict[str, tuple[str, dict[str, Any], Optimizer, float | None]] = {
    "plain SGD": ("sentiment", CLASSIFIER | {"units": (4, 3)}, SGD(), None),
    "Adam, clipped": ("sentiment", CLASSIFIER | {"units": (3,), "merge": "sum"}, Adam(0.8, 0.95, 1e-4), 0.2),
    "RMSprop, 3 classes": (
        "attentive_sentiment",
        CLASSIFIER | {"units": (4,), "attention_units": 6, "classes": 3},
        RMSprop(0.8, 1e-4),
        None,
    ),
    "Nesterov, clipped, features": (
        "tagger",
        {"features": 6, "units": 4, "lstm_units": 3, "join": "learned", "dropout": 0.0},
        SGD(0.7, nesterov=True),
        0.5,
    ),
    "Adam, LSTM with attention": ("seq2seq", TRANSLATOR | {"units": (4,)}, Adam(), None),
    "RMSprop, clipped, GRU with attention": (
        "seq2seq",
        TRANSLATOR
        | {"units": (4,), "cell": "gru", "bridge": "dense", "attention": "additive", "decoder_units": 5},
        RMSprop(),
        0.3,
    ),
}


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Two threads wait for each other longer than models of this size compute."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def ids(rng: np.random.Generator, mask: np.ndarray, size: int) -> np.ndarray:
    """Few different ones, so that most occur more than once."""
    return (rng.integers(1, size, mask.shape) * mask).astype(np.int32)


def draw(rng: np.random.Generator, family: str, settings: dict[str, Any]) -> Batch:
    """A batch with holes and padding on both sides; of all but translators a row of only that too."""
    N, T, S = rng.integers((2, 3, 2), (6, 9, 7))
    mask = rng.random((N, T)) < 0.7
    empty = family != "seq2seq"
    mask[0] = not empty
    # In float64 TensorFlow weighs the source steps of a row of padding otherwise.
    mask[:, -1] |= ~mask.any(axis=1) & (np.arange(N) > 0)
    if family == "seq2seq":
        steps = rng.random((N, S)) < 0.8
        truth = rng.integers(0, C, (N, S)).astype(np.int32)
        return Batch((ids(rng, mask, V), ids(rng, steps, C)), truth, steps.astype(np.float32))
    if family == "tagger":
        features = settings.get("features")
        x = ids(rng, mask, V)
        if features:
            x = (rng.normal(size=(N, T, features)) * mask[..., None]).astype(np.float32)
        truth = rng.integers(0, max(2, settings.get("tags", 1)), (N, T)).astype(np.int32)
        return Batch((x,), truth, mask.astype(np.float32))
    truth = rng.integers(0, max(2, settings.get("classes", 1)), N).astype(np.int32)
    return Batch((ids(rng, mask, V),), truth, np.ones(N, np.float32))


def randomized(trainer: in_torch.Trainer, seed: int) -> in_torch.Trainer:
    """With weights and biases of a trained size, the second biases too."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for parameter in trainer.model.parameters():
            parameter.normal_(std=0.4, generator=generator)
    return trainer


@functools.cache
def followed(which: str) -> tuple[list[tuple[Any, Any]], Any, Any]:
    """Sums of some steps on either side, then the trainers."""
    family, settings, optimizer, clip_norm = CASES[which]
    model = in_torch.build(family, settings, "float64", 1)
    two = randomized(in_torch.Trainer(model, optimizer, clip_norm), 2)
    graph = two.graph()
    one = in_keras.Trainer(in_keras.build(family, settings, "float64", 3), optimizer, clip_norm)
    one.load(graph)
    two.load(graph)
    rng = np.random.default_rng(4)
    batches = [draw(rng, family, settings) for _ in range(STEPS)]
    pairs = []
    for step, batch in enumerate(batches):
        rate = rate_at(step, STEPS, 0.05, "cosine")
        pairs.append((one.step(batch, rate), two.step(batch, rate)))
    pairs.append((one.evaluate(batches[0]), two.evaluate(batches[0])))
    return pairs, one, two


@pytest.mark.sweep  # `test_training_on` has one of them in `make test`
@pytest.mark.parametrize("which", CASES)
def test_some_steps_are_the_same(which: str) -> None:
    pairs, one, two = followed(which)
    for mine, yours in pairs:
        assert abs(mine.mean_loss - yours.mean_loss) < 1e-10
        assert (mine.right, mine.count) == (yours.right, yours.count)
    assert pairs[0][0].mean_loss != pairs[-1][0].mean_loss

    family, settings, *_ = CASES[which]
    twin = in_keras.build(family, settings, "float64", 5)
    assert keras_side.load(twin, two.graph()).summed == ()
    for variable, expected in zip(twin.weights, one.model.weights, strict=True):
        np.testing.assert_allclose(
            variable.numpy(), expected.numpy(), rtol=0, atol=1e-10, err_msg=variable.path
        )


def test_both_read_as_one_graph() -> None:
    _, one, two = followed("Nesterov, clipped, features")
    mine, yours = one.graph().weights(), two.graph().weights()
    assert mine.keys() == yours.keys()
    for name, arrays in mine.items():
        for path, array in arrays.items():
            np.testing.assert_allclose(yours[name][path], array, rtol=0, atol=1e-10)


@pytest.mark.sweep
def test_a_second_bias_that_trains_is_found() -> None:
    """What `torch_side.train` freezes would take a step of its own."""
    family, settings, optimizer, clip_norm = CASES["plain SGD"]
    _, _, frozen = followed("plain SGD")
    assert all(
        not parameter.requires_grad and not parameter.any()
        for name, parameter in frozen.model.named_parameters()
        if "bias_hh" in name
    )
    free = in_torch.Trainer(in_torch.build(family, settings, "float64", 1), optimizer, clip_norm)
    tied = in_torch.Trainer(in_torch.build(family, settings, "float64", 1), optimizer, clip_norm)
    for parameter in free.model.parameters():
        parameter.requires_grad_(True)
    free.parameters = list(free.model.parameters())
    free.descent = type(free.descent)(optimizer, free.parameters)
    batch = draw(np.random.default_rng(0), family, settings)
    free.step(batch, 0.5)
    tied.step(batch, 0.5)
    moved, right = (trainer.predict(batch.inputs) for trainer in (free, tied))
    assert np.abs(moved - right).max() > 1e-4


def test_a_gru_keeps_both_biases() -> None:
    family, settings, optimizer, clip_norm = CASES["RMSprop, clipped, GRU with attention"]
    two = randomized(
        in_torch.Trainer(in_torch.build(family, settings, "float64", 1), optimizer, clip_norm), 2
    )
    second = {name: p for name, p in two.model.named_parameters() if "bias_hh" in name}
    before = {name: p.detach().clone() for name, p in second.items()}
    two.step(draw(np.random.default_rng(4), family, settings), 0.05)
    assert second
    assert all((p != before[name]).any() for name, p in second.items())


SIDES: dict[str, Any] = {"keras": in_keras, "torch": in_torch}
NOISY = CLASSIFIER | {"units": (3,), "dropout": 0.4}


def noisy(side: Any, seed: int = 7) -> Trainer:
    """A trainer with dropout, in float32."""
    return side.Trainer(side.build("sentiment", NOISY, "float32", seed), Adam(), 0.5)


@pytest.mark.sweep
@pytest.mark.parametrize("side", SIDES)
def test_a_state_that_is_restored_goes_on_bit_for_bit(side: str) -> None:
    make: Callable[..., Trainer] = functools.partial(noisy, SIDES[side])
    rng = np.random.default_rng(8)
    batches = [draw(rng, "sentiment", NOISY) for _ in range(6)]
    whole, other = make(), make(9)
    for batch in batches[:3]:
        whole.step(batch, 0.01)
    stored = whole.state()
    expected = [whole.step(batch, 0.01) for batch in batches[3:]]
    end = whole.state()

    # The other one has been elsewhere: its weights, slots and generators are all put back.
    other.step(batches[5], 0.1)
    other.restore(stored)
    assert [other.step(batch, 0.01) for batch in batches[3:]] == expected
    found = other.state()
    assert found.keys() == end.keys()
    for name, array in end.items():
        assert found[name].tobytes() == array.tobytes(), name
    np.testing.assert_array_equal(other.predict(batches[0].inputs), whole.predict(batches[0].inputs))


@pytest.mark.parametrize("side", SIDES)
def test_the_state_of_another_model_is_refused(side: str, tmp_path: Path) -> None:
    module = SIDES[side]
    small = module.Trainer(module.build("sentiment", NOISY | {"units": (2,)}, "float32", 0), Adam())
    large = module.Trainer(module.build("sentiment", NOISY, "float32", 0), Adam())
    with pytest.raises(WeightError, match="the state of another model"):
        large.restore(small.state())
    with pytest.raises(WeightError, match="the state of another model"):
        large.restore({})
    with pytest.raises(WeightError):
        large.load(small.graph())


@pytest.mark.sweep
def test_sequences_are_written_exactly_or_not() -> None:
    """A model taught two rows by heart writes them; of a third it has not seen, it writes one of the two."""
    sources, targets = [[4, 5, 6], [7, 8], [9, 9]], [[2, 4, 5, 3], [2, 6, 3], [2, 7, 8, 9, 10, 3]]
    trainer = in_torch.Trainer(in_torch.build("seq2seq", TRANSLATOR | {"units": (6,)}, "float32", 0), Adam())
    batch = next_token((pad(sources[:2]), pad(targets[:2])))
    for _ in range(60):
        trainer.step(batch, 0.05)
    assert exact_matches(trainer.stepper(), sources, targets) == (2, 3)
    assert exact_matches(trainer.stepper(), [], []) == (0, 0)
    twin = in_keras.Trainer(in_keras.build("seq2seq", TRANSLATOR | {"units": (6,)}, "float32", 1), Adam())
    twin.load(trainer.graph())
    assert exact_matches(twin.stepper(), sources, targets) == (2, 3)
