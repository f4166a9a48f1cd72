"""``TextVectorization`` and ``StringLookup`` as tokenisers, which stand beside the graph and not in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from biport.config import Config
from biport.errors import FileError, InputError, UnsupportedError, shown
from biport.registry import Registry
from biport.text import Tokenizer
from biport.text.standardize import OF_KERAS as STANDARDIZE
from biport.text.tokenizer import OF_KERAS as SPLITS
from keras_side.records import TRAINING_ONLY, LayerRecord
from keras_side.shared.encoding import ENCODINGS, OLDER_NAMES, TF_IDF, vector_size

TOKENIZERS: Registry[str, Callable[[LayerRecord], Tokenizer]] = Registry("Keras layer of texts")
"""By class name: how the tokeniser that a layer is is read."""

UTF_8 = ("utf-8", "utf8")


@TOKENIZERS.register("TextVectorization")
def read_text_vectorization(record: LayerRecord) -> Tokenizer:
    """The tokeniser that a TextVectorization is; what it makes of the ids are nodes of the graph."""
    with _settings(record) as config:
        settings = {
            "standardize": _choice(config, "standardize", STANDARDIZE, "lower_and_strip_punctuation"),
            "split": _choice(config, "split", SPLITS, "whitespace"),
            "ngrams": _ngrams(config, config.take("ngrams", default=None)),
            "length": config.take("output_sequence_length", (int, type(None)), default=None),
        }
        mode = _mode(config, settings["split"] != "none")
        config.require(ragged=False, sparse=False)
        given = _given(config)
    return _tokenizer(record, mode, given, ["", "[UNK]"], count=1, **settings)


@TOKENIZERS.register("StringLookup")
def read_string_lookup(record: LayerRecord) -> Tokenizer:
    """The tokeniser that a StringLookup is: of texts that are divided already."""
    with _settings(record) as config:
        count = config.take("num_oov_indices", int, default=1)
        mask_token = config.take("mask_token", (str, type(None)), default=None)
        oov_token = config.take("oov_token", (str, type(None)), default="[UNK]")
        mode = _mode(config, False)
        if count not in (0, 1):
            config.refuse("num_oov_indices", count, "0 or 1: more are chosen among by a hash (FarmHash64)")
        if count == 0 and mode != "int":
            config.refuse("num_oov_indices", count, f"1 where output_mode is {mode}")
        config.require(invert=False, sparse=False, salt=None)
        config.ignore("vocabulary_dtype", "oov_method")
        given = _given(config)
    return _tokenizer(
        record, mode, given, [mask_token, oov_token], count=count, standardize="none", split="none"
    )


def _settings(record: LayerRecord) -> Config:
    """The settings, with what matters to no tokeniser accounted for."""
    config = Config(record.owner, record.config)
    config.ignore("dtype", *TRAINING_ONLY, "max_tokens", "pad_to_max_tokens", "vocabulary_size")
    config.ignore("idf_weights", "has_input_vocabulary", "quantization_config")
    encoding = config.take("encoding", str, default="utf-8")
    if encoding.lower() not in UTF_8:
        config.refuse("encoding", encoding, UTF_8)
    return config


def _choice(config: Config, key: str, choices: tuple[str, ...], default: str) -> str:
    """A setting that is a word, or none; a function is refused."""
    value = config.take(key, default=default)
    value = "none" if value is None else value
    if value not in choices:
        words = [word for word in choices if word != "none"]
        config.refuse(key, _name_of(value), f"None, {', '.join(words)}: a function is code of its author")
        return default
    return value


def _name_of(value: Any) -> Any:
    """What a function that was saved is called."""
    inner = value.get("config") if isinstance(value, dict) else None
    return inner if isinstance(inner, str) else value


def _ngrams(config: Config, ngrams: Any) -> tuple[int, ...]:
    if ngrams is None:
        return ()
    if isinstance(ngrams, int) and not isinstance(ngrams, bool):
        return tuple(range(1, ngrams + 1))
    if isinstance(ngrams, list | tuple) and ngrams and all(type(one) is int for one in ngrams):
        return tuple(ngrams)
    config.refuse("ngrams", ngrams, "None, a number, or numbers of tokens")
    return ()


def _mode(config: Config, splits: bool) -> str:
    mode = config.take("output_mode", str, default="int")
    mode = OLDER_NAMES.get(mode, mode)
    known = ["int", *(one for one in ENCODINGS if not (splits and one == "one_hot")), TF_IDF]
    if mode not in known:
        config.refuse("output_mode", mode, known)
        return "int"
    return mode


def _given(config: Config) -> list[str] | None:
    """The vocabulary in the configuration, as NumPy has it, which drops what is zero behind a text.

    Raises:
        FileError: it is no list of texts.
    """
    given = config.take("vocabulary", default=None)
    if isinstance(given, str):
        # Keras takes it for a path, and loads no such file unless it is told that it may.
        config.refuse("vocabulary", given, "a list of tokens, or a .keras file that has them")
        return None
    if given is None:
        return None
    if not isinstance(given, list | tuple) or not all(isinstance(token, str) for token in given):
        raise FileError(f"{config.owner}: the vocabulary should be texts, found {shown(given)}")
    return [token.rstrip("\0") for token in given]


def _tokenizer(
    record: LayerRecord,
    mode: str,
    given: list[str] | None,
    specials: list[Any],
    *,
    count: int,
    **settings: Any,
) -> Tokenizer:
    """The tokeniser, with the ids that its output mode counts.

    Where vectors are made of the ids, those of padding and of the mask token are beyond them, and count
    nowhere.

    Raises:
        FileError: the vocabulary is none.
    """
    mask_token, oov_token = specials
    masks = [mask_token] if mask_token is not None and mode == "int" else []
    tokens = tuple(record.variables.vocabulary(given, [*masks, *[oov_token] * count]))
    first = len(masks) + count
    padding = 0 if mode == "int" else vector_size(record, first + len(tokens))
    try:
        return Tokenizer(
            tokens=tokens,
            first_id=first,
            unknown_id=len(masks) if count else None,
            mask_token=mask_token,
            padding_id=padding,
            **settings,
        )
    except InputError as error:
        raise FileError(f"{record.owner}: {error}") from error


def check_rank(owner: str, tokenizer: Tokenizer, rank: int) -> None:
    """Refuse texts of a rank over which Keras mixes rows.

    Raises:
        UnsupportedError: they are of one.
    """
    if tokenizer.split != "none":
        if rank > 2:
            raise UnsupportedError(owner, "input", f"of {rank} dimensions", "texts (N,) or (N, 1)")
        return
    joins = bool(tokenizer.ngrams) or tokenizer.length is not None
    if rank > 2 or (joins and rank != 2):
        supported = "tokens (N, T)" if joins else "tokens (N,) or (N, T)"
        raise UnsupportedError(owner, "input", f"of {rank} dimensions", supported)
