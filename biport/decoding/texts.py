"""From a text to a text: a stepper between two vocabularies."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from biport.data.vocabulary import END_ID, PAD_ID, START_ID, UNK_ID, Vocabulary, several
from biport.decoding.beam import beam
from biport.decoding.greedy import greedy
from biport.decoding.hypothesis import Hypothesis
from biport.decoding.stepper import Stepper
from biport.errors import InputError


@dataclass(frozen=True)
class Translation:
    """What was made of a text.

    Args:
        text: empty for an empty source.
        hypothesis: the tokens, the score, whether it ended, whether the source was cut.
        unknown: the source's tokens that the vocabulary does not have; the model read ``<unk>`` for each.
    """

    text: str
    hypothesis: Hypothesis
    unknown: tuple[str, ...]


@dataclass(frozen=True)
class Translator:
    """A sequence-to-sequence model for texts.

    Args:
        stepper: the model.
        source: the vocabulary of what it reads.
        target: the vocabulary of what it writes, with `Vocabulary.ends`.
        max_length: the most tokens it writes.
        max_source: the most tokens it reads of a text, ``None`` for all.

    Raises:
        InputError: the target's vocabulary has no start and end, or another size than the model.
    """

    stepper: Stepper
    source: Vocabulary
    target: Vocabulary
    max_length: int = 100
    max_source: int | None = None

    def __post_init__(self) -> None:
        if not self.target.ends:
            raise InputError("the target's vocabulary has no <start> and <end>: make it with ends=True")
        if len(self.target) != self.stepper.size:
            raise InputError(
                f"the target's vocabulary has {len(self.target)} tokens, the model {self.stepper.size}"
            )

    def __call__(
        self, texts: Sequence[str], width: int = 1, length_penalty: float = 0.6
    ) -> list[Translation]:
        """Translate texts, greedily, or with a beam if ``width`` is above 1.

        Raises:
            InputError: one text in place of several, or an option out of range.
        """
        rows = [self.source.encode(text) for text in several(texts)]
        options = {
            "start": START_ID,
            "end": END_ID,
            "max_length": self.max_length,
            "never": (PAD_ID, UNK_ID),
            "max_source": self.max_source,
        }
        if width == 1:
            hypotheses = greedy(self.stepper, rows, **options)
        else:
            hypotheses = beam(self.stepper, rows, width=width, length_penalty=length_penalty, **options)
        return [
            Translation(self.target.decode(hypothesis.tokens), hypothesis, self._unknown(text, row))
            for text, row, hypothesis in zip(texts, rows, hypotheses, strict=True)
        ]

    def _unknown(self, text: str, row: Sequence[int]) -> tuple[str, ...]:
        ids = row[1:-1] if self.source.ends else row
        tokens = self.source.split(text)
        return tuple(token for token, number in zip(tokens, ids, strict=True) if number == UNK_ID)
