"""A label for each token: those that the tokeniser really gave the model, and none for padding."""

from __future__ import annotations

from dataclasses import dataclass

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
    tokens = session.steps(text, truncate=result.cut > 0)
    if len(tokens) != len(names):
        return [Tag(None, *pair) for pair in zip(names, shares, strict=True)]
    every = zip(tokens, names, shares, strict=True)
    return [Tag(token, name, share) for token, name, share in every if token is not None]
