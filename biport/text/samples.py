"""Texts to try a tokeniser on: of its vocabulary, and odd ones."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from biport.text.standardize import PUNCTUATION, lowers, strips
from biport.text.tokenizer import WHITESPACE, Tokenizer

ODD: Sequence[str] = (
    "",
    WHITESPACE,
    "never-heard-of A\u00a0b \x1cc\x85d\u2028e\u200bf",
    " \u00c9\u00e9\u0130\u00df a\tb\r\nc\vd\fe ",
    f"x{PUNCTUATION}y {PUNCTUATION} z",
    "[UNK] [unk] <pad> 0 -1",
    "\U0001f44d\U0001f3fd\u0301 \u4e2d\u6587",
)
"""Blanks of Unicode that divide nothing, letters that stay large, marks, controls, and nothing at all."""


def sample_texts(tokenizer: Tokenizer, count: int, longest: int, seed: int = 0) -> list[str]:
    """Texts of up to ``longest`` tokens, of the vocabulary and beside it, in large letters and with marks.

    Args:
        tokenizer: what divides them.
        count: how many.
        longest: of their tokens; the first has as many.
        seed: of the choice.
    """
    rng = np.random.default_rng(seed)
    known = _known(tokenizer)
    texts = []
    for number in range(count):
        size = longest if number == 0 else rng.integers(1, longest + 1)
        words = [_disguised(tokenizer, known[index], rng) for index in rng.integers(0, len(known), size)]
        if tokenizer.split == "character":
            texts.append("".join(words))
        elif tokenizer.split == "separator":
            texts.append("".join(f"{word}{tokenizer.separator}" for word in words))
        else:
            texts.append("".join(f"{word}{rng.choice(list(WHITESPACE))}" for word in words))
    return texts


def _known(tokenizer: Tokenizer) -> list[str]:
    """Tokens to make texts of; where unknown ones are refused, those that a text can be divided into."""
    tokens = list(tokenizer.tokens[:10_000])
    if not tokenizer.refuses:
        return [*tokens, "zzq"]
    return [token for token in tokens if tokenizer.split_text(token) == [token]] or [""]


def sample_tokens(tokenizer: Tokenizer, shape: Sequence[int], seed: int = 0) -> np.ndarray:
    """The same where texts are divided already: an array of tokens, those for masks and unknown ones too."""
    rng = np.random.default_rng(seed)
    known = [*tokenizer.tokens[:10_000]]
    known += [tokenizer.mask_token] if tokenizer.mask_token is not None else []
    known += [] if tokenizer.refuses else ["zzq", " ", "\u00c9"]
    tokens = np.empty(shape, object)
    flat = [_disguised(tokenizer, known[index], rng) for index in rng.integers(0, len(known), tokens.size)]
    tokens.ravel()[:] = flat
    return tokens


def _disguised(tokenizer: Tokenizer, token: str, rng: np.random.Generator) -> str:
    """A token as it may stand in a text, where standardising makes no difference of it."""
    if lowers(tokenizer.standardize) and rng.random() < 0.3:
        token = "".join(letter.upper() if letter.isascii() else letter for letter in token)
    if strips(tokenizer.standardize) and rng.random() < 0.3:
        token = f"{rng.choice(list(PUNCTUATION))}{token[:1]}'{token[1:]}!"
    return token
