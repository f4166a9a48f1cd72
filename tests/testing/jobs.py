"""What somebody has who does the jobs of the README: models, tokenisers and tables of their own."""

from __future__ import annotations

import csv
import json
import warnings
from pathlib import Path

import numpy as np

WORDS = [
    *("the", "a", "movie", "film", "plot", "it", "was", "and", "i"),
    *("actor", "scene", "music", "story", "really", "quite", "don't", "it's"),
]
SIDES = (["great", "wonderful", "loved"], ["awful", "terrible", "hated"])
NUMBERS = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine"]

TAGGER = """
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence


class Tagger(nn.Module):
    def __init__(self, words=60, tags=5, width=12, hidden=10):
        super().__init__()
        self.embedding = nn.Embedding(words, width, padding_idx=0)
        self.lstm = nn.LSTM(width, hidden, batch_first=True, bidirectional=True)
        self.out = nn.Linear(2 * hidden, tags)

    def forward(self, tokens):
        lengths = (tokens != 0).sum(1).clamp(min=1).cpu()
        packed = pack_padded_sequence(self.embedding(tokens), lengths, batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True, total_length=tokens.size(1))
        return self.out(states).softmax(-1)
"""


def reviews(rng: np.random.Generator, count: int) -> tuple[list[str], list[int]]:
    """Texts with one word that decides, and which side they are on."""
    sides = [number % 2 for number in range(count)]
    texts = []
    for side in sides:
        words = [*rng.choice(WORDS, rng.integers(1, 40)), rng.choice(SIDES[1 - side])]
        texts.append(
            " ".join(rng.permutation(words)).capitalize() + rng.choice([".", "!", " ...", " (8/10)"])
        )
    return texts, sides


def write_table(path: Path, head: list[str], rows: list[list[str]], delimiter: str = ",") -> None:
    """A table with a first line of names."""
    with path.open("w", newline="") as file:
        csv.writer(file, delimiter=delimiter, lineterminator="\n").writerows([head, *rows])


def old_classifier(folder: Path) -> np.ndarray:
    """``classifier.h5`` of Keras 2, its ``tokenizer.json`` and ``reviews.csv``; the ids of those rows."""
    import tf_keras
    from tf_keras.preprocessing.sequence import pad_sequences
    from tf_keras.preprocessing.text import Tokenizer

    tf_keras.utils.set_random_seed(0)
    texts, sides = reviews(np.random.default_rng(0), 300)
    tokenizer = Tokenizer(num_words=23, oov_token="<OOV>")
    tokenizer.fit_on_texts(texts[:200])
    ids = pad_sequences(tokenizer.texts_to_sequences(texts), maxlen=80)
    layers = tf_keras.layers
    lstm = layers.LSTM(6, recurrent_activation="hard_sigmoid")
    model = tf_keras.Sequential(
        [layers.Embedding(23, 8), layers.Bidirectional(lstm), layers.Dense(1, activation="sigmoid")]
    )
    model.compile(tf_keras.optimizers.Adam(0.01), "binary_crossentropy")
    model.fit(ids[:200], np.array(sides[:200]), epochs=1, verbose=0)  # type: ignore[arg-type]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "You are saving your model as an HDF5 file", UserWarning)
        model.save(folder / "classifier.h5")
    (folder / "tokenizer.json").write_text(tokenizer.to_json())
    rows = [[text, ("neg", "pos")[side]] for text, side in zip(texts[200:], sides[200:], strict=True)]
    write_table(folder / "reviews.csv", ["review", "sentiment"], rows)
    return ids[200:]


def rated_reviews(folder: Path) -> None:
    """``reviews.csv``, with the labels of the demo."""
    texts, sides = reviews(np.random.default_rng(1), 60)
    rows = [[text, ("negative", "positive")[side]] for text, side in zip(texts, sides, strict=True)]
    write_table(folder / "reviews.csv", ["review", "sentiment"], rows)


def packed_tagger(folder: Path) -> None:
    """``tagger.py``, ``tagger.pt``, ``words.json``, ``sentences.tsv`` and ``pairs.tsv``."""
    import torch

    rng = np.random.default_rng(2)
    (folder / "tagger.py").write_text(TAGGER)
    names: dict = {}
    exec(TAGGER, names)
    torch.manual_seed(0)
    torch.save(names["Tagger"]().state_dict(), folder / "tagger.pt")
    words = [f"w{number}" for number in range(58)]
    (folder / "words.json").write_text(json.dumps(["<pad>", "<unk>", *words]))
    sentences = [
        [f"s{number}", " ".join(rng.choice([*words, "zzz"], rng.integers(1, 10)))] for number in range(30)
    ]
    write_table(folder / "sentences.tsv", ["id", "sentence"], sentences, "\t")
    with (folder / "pairs.tsv").open("w") as file:
        for _ in range(120):
            said = rng.integers(1, 10, rng.integers(1, 5))
            file.write(f"{' '.join(NUMBERS[n - 1] for n in said)}\t{' '.join(map(str, said))}\n")
