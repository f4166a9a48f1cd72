"""Readable models a person would write: twins of those in ``keras_side.models``, same names and sizes."""

from torch_side.models.attentive_sentiment import AttentiveSentiment, attentive_sentiment
from torch_side.models.crnn import CRNN, crnn
from torch_side.models.sentiment import Sentiment, sentiment
from torch_side.models.seq2seq import Seq2Seq, seq2seq
from torch_side.models.tagger import Tagger, tagger

__all__ = [
    "CRNN",
    "AttentiveSentiment",
    "Sentiment",
    "Seq2Seq",
    "Tagger",
    "attentive_sentiment",
    "crnn",
    "sentiment",
    "seq2seq",
    "tagger",
]
