"""Readable models a person would write: twins of those in ``keras_side.models``, same names and sizes."""

from torch_side.models.sentiment import Sentiment, sentiment

__all__ = ["Sentiment", "sentiment"]
