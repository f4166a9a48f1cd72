"""Captchas: the same for a seed, and what is written in them is there to be seen."""

from __future__ import annotations

import numpy as np
import pytest

from biport.data.captchas import ALPHABET, LENGTHS, load_captchas
from biport.errors import InputError


def test_the_same_captchas_for_a_seed() -> None:
    one, again, other = load_captchas(3, 1), load_captchas(3, 1), load_captchas(3, 2)
    assert np.array_equal(one.images, again.images)
    assert one.texts == again.texts != other.texts
    assert one.images.shape == (3, 32, 96, 1)
    assert one.images.dtype == np.uint8
    # The first ones do not depend on how many follow.
    assert load_captchas(1, 1).texts == one.texts[:1]
    with pytest.raises(InputError, match="n=-1"):
        load_captchas(-1, 0)


def test_ids_are_the_texts() -> None:
    drawn = load_captchas(40, 3)
    assert {len(text) for text in drawn.texts} == set(LENGTHS)
    assert ["".join(ALPHABET[one - 1] for one in row if one) for row in drawn.ids] == drawn.texts
    assert load_captchas(0, 0).ids.shape == (0, 5)


def test_ink_is_where_the_characters_are() -> None:
    """Dark on light: each character darkens its share of the width, more than the stroke through all does."""
    drawn = load_captchas(60, 4)
    for image, text in zip(drawn.images[..., 0].astype(float), drawn.texts, strict=True):
        ground = np.median(image)
        for part in np.array_split(ground - image, len(text), axis=1):
            assert (part > 50).sum() > 15
