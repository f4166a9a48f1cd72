"""CTC decoding against what the frameworks have."""

from typing import Any

import testing.frameworks  # noqa: F401  # isort: skip

import keras
import numpy as np
import pytest
import torch

from biport.decoding import ctc

SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.sweep) for seed in range(1, 20))]


def case(seed: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    steps, classes = rng.integers(3, 9), rng.integers(3, 6)
    return rng.normal(size=(5, steps, classes)).astype("float32") * 3, rng.integers(1, steps + 1, 5)


@pytest.mark.parametrize("seed", SEEDS)
def test_keras_decodes_the_same(seed: int) -> None:
    """But for its beam search with ``merge_repeated=False``, which merges, and with blanks below 0."""
    logits, lengths = case(seed)

    def decode(**options) -> tuple[list[tuple[int, ...]], np.ndarray]:
        given: Any = keras.ops.ctc_decode(logits, lengths.astype("int32"), **options)
        classes, scores = map(np.asarray, given)
        return [tuple(one for one in row if one != -1) for row in classes[0].tolist()], scores

    for blank in range(logits.shape[2]):
        options = {"blank": blank, "kind": "logits"}
        for merge in (True, False):
            own = ctc.greedy(logits, lengths, merge_repeated=merge, **options)
            wanted, _ = decode(strategy="greedy", mask_index=blank, merge_repeated=merge)
            assert [one.labels for one in own] == wanted
        own = [row[0] for row in ctc.beam(logits, lengths, width=400, **options)]
        wanted, scores = decode(strategy="beam_search", mask_index=blank, beam_width=400)
        assert [one.labels for one in own] == wanted
        np.testing.assert_allclose([one.log_probability for one in own], scores[:, 0], atol=1e-5)
    own = ctc.greedy(logits, lengths, blank=-1, kind="logits")
    assert [one.labels for one in own] == decode(strategy="greedy", mask_index=-1)[0]


@pytest.mark.parametrize("seed", SEEDS)
def test_the_loss_of_torch_is_the_negative_log_probability(seed: int) -> None:
    logits, lengths = case(seed)
    rng = np.random.default_rng(seed)
    for blank in range(logits.shape[2]):
        others = [one for one in range(logits.shape[2]) if one != blank]
        labels = [rng.choice(others, rng.integers(0, length + 1)).tolist() for length in lengths]
        loss = torch.nn.functional.ctc_loss(
            torch.tensor(logits).double().log_softmax(-1).transpose(0, 1),
            torch.tensor([one for own in labels for one in own], dtype=torch.long),
            torch.tensor(lengths),
            torch.tensor([len(own) for own in labels]),
            blank=blank,
            reduction="none",
        )
        own = ctc.log_probabilities(logits, labels, lengths, blank=blank, kind="logits")
        np.testing.assert_allclose(own, -loss.numpy(), rtol=1e-10)
