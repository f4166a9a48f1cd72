"""From a text to a text: a stepper between two tokenisers."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from biport.data.vocabulary import Vocabulary, several
from biport.decoding.beam import beam
from biport.decoding.greedy import greedy
from biport.decoding.hypothesis import Hypothesis
from biport.decoding.stepper import Stepper
from biport.errors import InputError
from biport.text.tokenizer import Tokenizer


@dataclass(frozen=True)
class Translation:
    """What was made of a text.

    Args:
        text: empty for an empty source.
        hypothesis: the tokens, the score, whether it ended, whether the source was cut.
        unknown: the source's tokens that the vocabulary does not have; the model read ``<unk>`` for each, or
            nothing where there is none.
    """

    text: str
    hypothesis: Hypothesis
    unknown: tuple[str, ...]


@dataclass(frozen=True)
class Translator:
    """A sequence-to-sequence model for texts.

    Args:
        stepper: the model.
        source: how ids are made of what it reads.
        target: what it writes, with ids of a start and an end: a vocabulary with `Vocabulary.ends`, or a
            tokeniser with both.
        max_length: the most tokens it writes.
        max_source: the most tokens it reads of a text, ``None`` for as many as ``source`` says.

    Raises:
        InputError: the target has no start and end, or is of another size than the model.
    """

    stepper: Stepper
    source: Vocabulary | Tokenizer
    target: Vocabulary | Tokenizer
    max_length: int = 100
    max_source: int | None = None

    def __post_init__(self) -> None:
        if self._target.start is None or self._target.end is None:
            raise InputError("the target's vocabulary has no <start> and <end>: make it with ends=True")
        count, size = self._target.largest_id + 1, self.stepper.size
        if count > size or (isinstance(self.target, Vocabulary) and count < size):
            raise InputError(f"the target's vocabulary has {count} tokens, the model {size}")

    def __call__(
        self, texts: Sequence[str], width: int = 1, length_penalty: float = 0.6
    ) -> list[Translation]:
        """Translate texts, greedily, or with a beam if ``width`` is above 1.

        Raises:
            InputError: one text in place of several, an option out of range, or a text with a token that the
                source's tokeniser refuses.
        """
        rows = [self._ids(text) for text in several(texts)]
        start, end = self._target.start, self._target.end
        assert start is not None
        assert end is not None
        options = {
            "start": start,
            "end": end,
            "max_length": self.max_length,
            "never": self._never,
            "max_source": self.max_source if self.max_source is not None else self._source.max_length,
        }
        if width == 1:
            hypotheses = greedy(self.stepper, rows, **options)
        else:
            hypotheses = beam(self.stepper, rows, width=width, length_penalty=length_penalty, **options)
        return [
            Translation(self._text(hypothesis), self._told(text, hypothesis), self._unknown(text))
            for text, hypothesis in zip(texts, hypotheses, strict=True)
        ]

    @cached_property
    def _source(self) -> Tokenizer:
        return _tokenizer(self.source)

    @cached_property
    def _target(self) -> Tokenizer:
        return _tokenizer(self.target)

    @cached_property
    def _whole(self) -> Tokenizer:
        """The source's, which leaves cutting to the search: that says so of a text."""
        behind = self._source.truncating == "post" and self._source.end is None
        return dataclasses.replace(self._source, max_length=None) if behind else self._source

    @cached_property
    def _written(self) -> Mapping[int, str]:
        """The tokens that may be written, by their ids."""
        ends = self._target.start, self._target.end, self._target.padding_id
        return {number: token for token, number in self._target.known.items() if number not in ends}

    @cached_property
    def _never(self) -> tuple[int, ...]:
        target = self._target
        choices = {*self._written, target.end} - {target.unknown_id}
        return tuple(number for number in range(self.stepper.size) if number not in choices)

    def _ids(self, text: str) -> list[int]:
        ids = self._whole.encode(text)
        return ids if set(ids) - {self._whole.padding_id} else []

    def _text(self, hypothesis: Hypothesis) -> str:
        between = "" if self._target.split == "character" else " "
        return between.join(self._written[number] for number in hypothesis.tokens)

    def _told(self, text: str, hypothesis: Hypothesis) -> Hypothesis:
        """The same, which says of a text that its tokeniser has cut that it was."""
        length = self._whole.length or self._whole.max_length
        if length is None or len(self._source.split_text(text)) <= length:
            return hypothesis
        return dataclasses.replace(hypothesis, truncated=True)

    def _unknown(self, text: str) -> tuple[str, ...]:
        return tuple(token for token in self._source.split_text(text) if token not in self._source.known)


def _tokenizer(tokens: Vocabulary | Tokenizer) -> Tokenizer:
    return tokens.tokenizer() if isinstance(tokens, Vocabulary) else tokens
