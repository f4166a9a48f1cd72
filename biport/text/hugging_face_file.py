"""``tokenizer.json`` of Hugging Face's ``tokenizers``, of word level: a model that looks up whole words."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from biport.config import Config
from biport.errors import FileError, InputError, UnsupportedError, shown
from biport.text.numbered import numbered
from biport.text.tokenizer import Tokenizer

NORMALIZERS = {
    "Lowercase": "lower",
    "NFC": "nfc",
    "NFD": "nfd",
    "NFKC": "nfkc",
    "NFKD": "nfkd",
    "StripAccents": "strip_accents",
}
SPLITS = {"Whitespace": "words_and_marks", "WhitespaceSplit": "white_space_property"}
PADDING = ("[PAD]", "<pad>", "<PAD>", "[pad]")
"""What padding is called, where a file does not say with what it pads."""


def is_hugging_face(content: Any) -> bool:
    """Whether JSON is what ``Tokenizer.save`` of ``tokenizers`` writes."""
    return isinstance(content, Mapping) and {"model", "pre_tokenizer"} <= content.keys()


def of_tokenizers(content: Mapping[str, Any], owner: str) -> Tokenizer:
    """The tokeniser that a file describes, as ``encode_batch`` makes ids.

    Raises:
        FileError: a setting is missing or malformed.
        UnsupportedError: a setting that changes ids is none that this knows.

    Source: the ``tokenizers`` of Hugging Face, 0.23: its ``WordLevel``, ``AddedVocabulary``,
        ``TemplateProcessing``, padding and truncation.
    """
    with Config(owner, content) as config:
        model = config.take("model", dict)
        normalizers = _normalizers(config, config.take("normalizer", (dict, type(None)), default=None))
        split = _split(config, config.take("pre_tokenizer", (dict, type(None))))
        start, end = _ends(config, config.take("post_processor", (dict, type(None)), default=None))
        padding = _padding(config, config.take("padding", (dict, type(None)), default=None))
        cut = _truncation(config, config.take("truncation", (dict, type(None)), default=None))
        added = config.take("added_tokens", list, default=[])
        config.ignore("version", "decoder")
    ids, unknown = _words(model, f"{owner}: model")
    names = _added(added, ids, f"{owner}: added_tokens")
    if "padding_id" not in padding:
        padding["padding_id"] = next((ids[name] for name in PADDING if name in ids), 0)
    tokenizer = numbered(
        ids,
        owner,
        standardize="none",
        split=split,
        normalizers=normalizers,
        unknown_id=unknown,
        added=names,
        start=start,
        end=end,
        truncating=cut.get("truncating", "post"),
        **padding,
    )
    return _sized(tokenizer, padding.get("length"), cut.get("max_length"), owner)


def _sized(tokenizer: Tokenizer, length: int | None, most: int | None, owner: str) -> Tokenizer:
    """With the length of rows: they are padded to one, and cut to another, which is larger nowhere."""
    if length is not None and (most is None or most > length):
        raise UnsupportedError(
            f"{owner}: padding",
            "strategy",
            f"Fixed {length}, longer rows {'not cut' if most is None else f'cut to {most}'}",
            f"Fixed with a truncation to {length} at most",
        )
    try:
        return dataclasses.replace(tokenizer, max_length=None if most == length else most)
    except InputError as error:
        raise FileError(f"{owner}: {error}") from error


def _words(model: Mapping[str, Any], owner: str) -> tuple[dict[str, int], int | None]:
    """The ids of the words, and of all others; ``None`` where those are an error."""
    kind = model.get("type")
    if kind != "WordLevel":
        raise UnsupportedError(owner, "type", kind, "WordLevel, which looks up whole words")
    with Config(owner, model) as config:
        vocabulary = config.take("vocab", dict)
        unknown = config.take("unk_token", str, default="<unk>")
        config.ignore("type")
    if not all(type(number) is int and number >= 0 for number in vocabulary.values()):
        raise FileError(f"{owner}: vocab should be words and their ids, found {shown(vocabulary)}")
    return vocabulary, vocabulary.get(unknown)


def _normalizers(config: Config, normalizer: Mapping[str, Any] | None) -> tuple[str, ...]:
    if normalizer is None:
        return ()
    kind = normalizer.get("type")
    if kind == "Sequence":
        parts = normalizer.get("normalizers")
        if not isinstance(parts, list) or not all(isinstance(part, dict) for part in parts):
            raise FileError(f"{config.owner}: normalizers should be a list, found {shown(parts)}")
        return tuple(step for part in parts for step in _normalizers(config, part))
    if kind not in NORMALIZERS:
        config.refuse("normalizer", kind, [*NORMALIZERS, "Sequence of those"])
        return ()
    return (NORMALIZERS[kind],)


def _split(config: Config, pre_tokenizer: Mapping[str, Any] | None) -> str:
    kind = None if pre_tokenizer is None else pre_tokenizer.get("type")
    if pre_tokenizer is not None and kind == "Sequence":
        parts = pre_tokenizer.get("pretokenizers")
        if isinstance(parts, list) and len(parts) == 1 and isinstance(parts[0], dict):
            return _split(config, parts[0])
    if kind not in SPLITS:
        config.refuse("pre_tokenizer", kind, SPLITS)
        return "words_and_marks"
    return SPLITS[kind]


def _ends(config: Config, processor: Mapping[str, Any] | None) -> tuple[int | None, int | None]:
    """What stands in front of a single text, and behind it."""
    if processor is None:
        return None, None
    supported = "TemplateProcessing, of one token in front and one behind at most"
    if processor.get("type") != "TemplateProcessing":
        config.refuse("post_processor", processor.get("type"), supported)
        return None, None
    known = {
        name: entry.get("ids")
        for name, entry in (processor.get("special_tokens") or {}).items()
        if isinstance(entry, dict)
    }
    sides: list[list[int]] = [[]]
    for part in processor.get("single") or []:
        if "Sequence" in part:
            sides.append([])
        else:
            sides[-1] += known.get(part.get("SpecialToken", {}).get("id")) or [-1]
    if len(sides) != 2 or any(len(side) > 1 or -1 in side for side in sides):
        config.refuse("post_processor", processor.get("single"), supported)
        return None, None
    start, end = ((side[0] if side else None) for side in sides)
    return start, end


def _padding(config: Config, padding: Mapping[str, Any] | None) -> dict[str, Any]:
    if padding is None:
        return {}
    strategy = padding.get("strategy", "BatchLongest")
    if padding.get("pad_to_multiple_of"):
        config.refuse("pad_to_multiple_of", padding["pad_to_multiple_of"], "None")
    length = strategy.get("Fixed") if isinstance(strategy, dict) else None
    if strategy != "BatchLongest" and length is None:
        config.refuse("padding", strategy, "BatchLongest or Fixed")
    return {
        "padding": _end(config, padding.get("direction", "Right")),
        "padding_id": padding.get("pad_id", 0),
        "length": length,
    }


def _truncation(config: Config, truncation: Mapping[str, Any] | None) -> dict[str, Any]:
    if truncation is None:
        return {}
    if truncation.get("strategy", "LongestFirst") not in ("LongestFirst", "OnlyFirst"):
        config.refuse("truncation", truncation["strategy"], "LongestFirst or OnlyFirst")
    return {
        "truncating": _end(config, truncation.get("direction", "Right")),
        "max_length": truncation.get("max_length"),
    }


def _end(config: Config, direction: Any) -> str:
    ends = {"Right": "post", "Left": "pre"}
    if direction not in ends:
        config.refuse("direction", direction, ends)
    return ends.get(direction, "post")


def _added(entries: list[Any], ids: Mapping[str, int], owner: str) -> tuple[str, ...]:
    """Tokens that are cut out of a text before all else, which have to be words of the model."""
    names = []
    for entry in entries:
        if not isinstance(entry, dict):
            raise FileError(f"{owner}: should be mappings, found {shown(entry)}")
        with Config(owner, entry) as config:
            name, number = config.take("content", str), config.take("id", int)
            config.require(single_word=False, lstrip=False, rstrip=False, normalized=False)
            config.ignore("special")
            if ids.get(name) != number:
                config.refuse(name, number, f"{ids.get(name)}, which the vocabulary of the model has")
        names.append(name)
    return tuple(names)
