"""A label for each token: those that the tokeniser really gave the model, and none for padding."""

from __future__ import annotations

from dataclasses import dataclass

from biport.errors import InputError
from biport.text.tokenizer import Tokenizer
from export.runtime.streams import RowResult
from export.session import Session
from export.text.labels import label_of


@dataclass(frozen=True)
class Tag:
    """The label of a step.

    Args:
        token: what was read there; ``None`` where steps are not tokens, as behind a convolution that cuts.
        label: its name.
        probability: of the label.
    """

    token: str | None
    label: str
    probability: float


def is_tagger(session: Session) -> bool:
    """Whether the first output says something of each step, and what its classes are called is known."""
    return session.labels is not None and len(session.output_values[0].shape) == 3


def tags(session: Session, text: str, result: RowResult) -> list[Tag]:
    """The labels of a text's tokens, in order.

    Args:
        session: a tagger.
        text: what was run.
        result: what became of it.
    """
    assert session.labels is not None
    names, shares = label_of(session.labels, result.outputs[0])
    tokens = _steps(session, text, result.cut)
    if len(tokens) != len(names):
        return [Tag(None, *pair) for pair in zip(names, shares, strict=True)]
    every = zip(tokens, names, shares, strict=True)
    return [Tag(token, name, share) for token, name, share in every if token is not None]


def _steps(session: Session, text: str, cut: int) -> list[str | None]:
    """The token of each step that the model was given: ``None`` for padding."""
    steps = tokenizer_of(session).steps(text)
    return steps[: len(steps) - cut] or [None]


def tokenizer_of(session: Session) -> Tokenizer:
    """What makes ids of the texts that a model of one input is given.

    Raises:
        InputError: nothing does.
    """
    tokenizers = session.tokenizers or {}
    if len(session.input_values) == 1 and session.input_values[0].name in tokenizers:
        return tokenizers[session.input_values[0].name]
    if session.vocabulary is not None:
        return session.vocabulary.tokenizer()
    raise InputError(f"{session.path}: does not say how ids are made of texts; export it with its vocabulary")
