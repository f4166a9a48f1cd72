"""The ``Tokenizer`` of Keras 1, 2 and 3, as its ``to_json`` and as a pickle, which is not run."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

from biport.config import Config
from biport.errors import FileError, shown
from biport.json_file import parse_json
from biport.pickled import Name, PickleReader
from biport.text.numbered import numbered
from biport.text.tokenizer import Tokenizer

COUNTS = ("document_count", "word_counts", "word_docs", "index_docs", "index_word")
"""What was counted when it was fitted, which makes no ids."""
MODULES = (
    "keras.src.legacy.preprocessing.text",
    "keras.src.preprocessing.text",
    "keras.preprocessing.text",
    "keras_preprocessing.text",
    "tf_keras.src.preprocessing.text",
    "tensorflow.python.keras.preprocessing.text",
    "tensorflow.python.keras._impl.keras.preprocessing.text",
)
"""Where the class has stood."""


def is_keras(content: Any) -> bool:
    """Whether JSON is what ``to_json`` or ``get_config`` gave."""
    return isinstance(content, Mapping) and (
        content.get("class_name") == "Tokenizer" or {"word_index", "char_level"} <= content.keys()
    )


def of_config(content: Mapping[str, Any], owner: str) -> Tokenizer:
    """The tokeniser that ``to_json`` describes.

    Rows are padded and cut in front, as ``pad_sequences`` does where nothing else is said.

    Raises:
        FileError: a setting is missing or malformed.
        UnsupportedError: a setting that changes ids is none that this knows, such as a function.

    Source: keras/src/legacy/preprocessing/text.py of 3.15, ``texts_to_sequences_generator``.

    Example:
        >>> config = {"num_words": 3, "filters": "!", "lower": True, "split": " ", "char_level": False,
        ...     "oov_token": "<OOV>", "word_index": '{"<OOV>": 1, "good": 2, "bad": 3}'}
        >>> of_config({"class_name": "Tokenizer", "config": config}, "t.json").encode("So good!bad")
        [1, 2, 1]
    """
    config = content.get("config") if content.get("class_name") == "Tokenizer" else content
    if not isinstance(config, Mapping):
        raise FileError(f"{owner}: config should be a mapping, found {shown(config)}")
    with Config(owner, config) as settings:
        index = settings.take("word_index", (str, dict))
        num_words = settings.take("num_words", (int, float, type(None)), default=None)
        oov_token = settings.take("oov_token", default=None)
        lower = bool(settings.take("lower", default=True))
        by_character = bool(settings.take("char_level", default=False))
        filters = settings.take("filters", default="")
        split = settings.take("split", (str, type(None)), default=" ")
        settings.require(analyzer=None)
        settings.ignore(*COUNTS)
        if not isinstance(oov_token, str | None):
            settings.refuse("oov_token", oov_token, "None, or a text")
        if not by_character and not isinstance(filters, str):
            settings.refuse("filters", filters, "a text, each character of which is filtered")
        if not by_character and split == "":
            settings.refuse("split", split, "None, or a text that is not empty")
    ids = _index(parse_json(index, f"{owner}: word_index") if isinstance(index, str) else index, owner)
    if oov_token is not None and oov_token not in ids:
        raise FileError(f"{owner}: the oov_token {oov_token!r} is not in the word_index")
    unknown = None if oov_token is None else ids[oov_token]
    kept = {word: number for word, number in ids.items() if not num_words or number < num_words}
    if by_character:
        division: dict[str, Any] = {"split": "character"}
    elif split is None:
        # Then str.translate takes the characters out, and str.split divides at any white space.
        division = {"split": "unicode_whitespace", "filters": filters, "separator": ""}
    else:
        division = {"split": "separator", "filters": filters, "separator": split}
    return numbered(
        kept,
        owner,
        standardize="unicode_lower" if lower else "none",
        unknown_id=unknown,
        unknown="drop",
        padding="pre",
        truncating="pre",
        **division,
    )


def _index(content: Any, owner: str) -> dict[str, int]:
    if not isinstance(content, Mapping) or not all(
        isinstance(word, str) and type(number) is int and number >= 0 for word, number in content.items()
    ):
        raise FileError(f"{owner}: word_index should be words and their ids, found {shown(content)}")
    return dict(content)


class TokenizerReader(PickleReader):
    """A pickle of Keras' ``Tokenizer``, or of the plain lists and mappings that vocabularies are kept as."""

    names: ClassVar[Mapping[tuple[str, str], str]] = {
        **{(module, "Tokenizer"): "tokenizer" for module in MODULES},
        ("collections", "OrderedDict"): "mapping",
        ("collections", "defaultdict"): "counts",
        ("builtins", "int"): "int",
        ("__builtin__", "int"): "int",
        ("__builtin__", "long"): "int",
    }
    kind: ClassVar[str] = "tokenizer"

    def make(self, meaning: str, arguments: tuple[Any, ...]) -> Any:
        """A mapping, or the settings of a tokeniser, which come as its state."""
        match meaning, arguments:
            case "tokenizer", ():
                return _Pickled()
            case "mapping", ():
                return {}
            case "counts", (Name("int"),):
                return {}
        return super().make(meaning, arguments)

    def with_state(self, target: Any, state: Any) -> Any:
        """The tokeniser with its settings."""
        if not isinstance(target, _Pickled) or not isinstance(state, dict):
            return super().with_state(target, state)
        target.settings = state
        return target


class _Pickled:
    def __init__(self) -> None:
        self.settings: dict[Any, Any] = {}


def of_pickle(data: bytes, owner: str) -> Any:
    """What a pickle has, as `of_config` or a list or mapping of tokens has it; nothing is run.

    Raises:
        FileError: it is of something else.
    """
    try:
        content = _plain(TokenizerReader(data).read())
    except (ValueError, RecursionError) as error:
        raise FileError(f"{owner}: a pickle of no tokenizer or vocabulary: {error}") from error
    return content


def _plain(content: Any) -> Any:
    """Without what Python 2 had for texts, which are bytes; two levels deep, as vocabularies are."""
    if isinstance(content, _Pickled):
        settings = {_text(name): _plain(value) for name, value in content.settings.items()}
        return {"class_name": "Tokenizer", "config": settings}
    if isinstance(content, dict):
        return {_text(name): _text(value) for name, value in content.items()}
    if isinstance(content, list | tuple):
        return [_text(value) for value in content]
    return _text(content)


def _text(value: Any) -> Any:
    return value.decode() if isinstance(value, bytes) else value
