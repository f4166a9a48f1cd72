"""Data to try models on, made on the spot or read from files people have, and what makes arrays of it."""

from biport.data.acl_imdb import read_acl_imdb
from biport.data.batches import Batches, BatchPosition
from biport.data.captchas import Captchas, load_captchas
from biport.data.dates import date_pairs, load_dates
from biport.data.images import ImageInput, ImageSettings, read_images
from biport.data.imdb_npz import read_imdb_npz
from biport.data.imdb_rows import encode_reviews, imdb
from biport.data.padding import pad
from biport.data.records import Pairs, PairSplit, Texts, split_pairs
from biport.data.reviews import Reviews, load_synthetic, split, synthetic_reviews
from biport.data.tables import read_csv, read_jsonl, read_pairs
from biport.data.tagging import LabelledSteps, Tagged, labelled_steps, tagged_sequences
from biport.data.text_rows import TextRow, read_rows, read_texts
from biport.data.vocabulary import Vocabulary, tokenize
from biport.data.word_index import WordIndex

__all__ = [
    "BatchPosition",
    "Batches",
    "Captchas",
    "ImageInput",
    "ImageSettings",
    "LabelledSteps",
    "PairSplit",
    "Pairs",
    "Reviews",
    "Tagged",
    "TextRow",
    "Texts",
    "Vocabulary",
    "WordIndex",
    "date_pairs",
    "encode_reviews",
    "imdb",
    "labelled_steps",
    "load_captchas",
    "load_dates",
    "load_synthetic",
    "pad",
    "read_acl_imdb",
    "read_csv",
    "read_images",
    "read_imdb_npz",
    "read_jsonl",
    "read_pairs",
    "read_rows",
    "read_texts",
    "split",
    "split_pairs",
    "synthetic_reviews",
    "tagged_sequences",
    "tokenize",
]
