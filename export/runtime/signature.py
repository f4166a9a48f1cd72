"""What an ONNX file says of itself: its inputs and outputs, and what biport wrote into its metadata."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from biport.analysis.lengths import Least
from biport.analysis.text_model import check_characters, tokenizer_of_input, unsaid_lengths
from biport.data.images import PROPERTY, ImageSettings
from biport.data.vocabulary import UNK_ID, Vocabulary
from biport.dims import Size, letter
from biport.errors import FileError, GraphError, InputError, UnsupportedError
from biport.graph import Value
from biport.text import Tokenizer
from biport.text.alphabet import Alphabet
from biport.text.alphabet import from_data as alphabet_from_data
from biport.text.characters import Characters
from biport.text.characters import from_data as characters_from_data
from biport.text.inputs import from_data
from export.require import require

DTYPES = {
    "tensor(string)": "str",
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(float16)": "float16",
} | {
    f"tensor({name})": name
    for name in ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
}


_AT_BLANKS = Tokenizer(
    (), standardize="lower", split="separator", filters="\t\n\r", mask_token=None, source="texts"
)
"""What earlier versions put into a graph in place of a vocabulary's own words."""


@dataclass(frozen=True)
class Signature:
    """What a model takes and gives.

    Args:
        metadata: the file's ``metadata_props``; those of this package begin with ``biport.``.
        inputs: name, shape and dtype of each input, in order.
        outputs: of each output.
        bounds: the inputs that are ids, and how many ids there are.
        needs_steps: the sizes that must be of some number, of which, and for what.
        tokenizers: by inputs of ids, how they are made of texts, where the file says it; also where it does
            so itself, and has no such inputs.
        labels: what the classes are called, where the file says it.
        time_axes: the axes of each output that are time; ``None`` where the model may see padding.
        characters: by inputs of texts those that they may have, where it is not all.
        unsaid: why texts may get other numbers than when the model was trained; empty where they do not.
        images: what is said of the pictures that the model takes.
        alphabet: what the classes of a CTC model are called, where the file says it.
        row_axes: of each output the axis of its rows, where it is not the first of all.
    """

    metadata: Mapping[str, str]
    inputs: Sequence[Value]
    outputs: Sequence[Value]
    bounds: Mapping[str, int]
    needs_steps: Mapping[str, Least]
    tokenizers: Mapping[str, Tokenizer]
    labels: tuple[str, ...] | None
    time_axes: Mapping[str, tuple[int, ...]] | None
    characters: Mapping[str, Characters]
    unsaid: str
    images: ImageSettings = field(default_factory=ImageSettings)
    alphabet: Alphabet | None = None
    row_axes: Sequence[int] | None = None


def read_signature(path: Path, session: Any) -> Signature:
    """The signature of the file at ``path``, open as an onnxruntime session.

    Raises:
        FileError: it takes or gives something biport does not run, or its metadata cannot be read.
    """
    metadata = dict(session.get_modelmeta().custom_metadata_map)
    values = _values(path, session.get_inputs())
    if any(not value.shape for value in values):
        raise FileError(f"{path}: has an input without a batch axis, which biport does not run")
    try:
        named, bounds = _described(metadata, path, values)
        steps, uses = (json.loads(metadata.get(f"biport.needs_{what}", "{}")) for what in ("steps", "for"))
        tokenizers, axes = _tokenizers(metadata, bounds, path), _time_axes(metadata)
        signature = Signature(
            metadata=metadata,
            inputs=named,
            outputs=_values(path, session.get_outputs()),
            bounds=bounds,
            needs_steps={
                name: Least(int(size), *map(str, uses.get(name, ()))) for name, size in steps.items()
            },
            tokenizers=tokenizers,
            labels=_labels(metadata),
            alphabet=_alphabet(metadata, path),
            row_axes=json.loads(metadata.get("biport.row_axes", "null")),
            images=ImageSettings.from_data(json.loads(metadata.get(PROPERTY, "{}")), str(path)),
            time_axes=axes,
            # What makes the ids itself has no input of them.
            unsaid=_unsaid(named, tokenizers, axes, path) or _said(metadata, path),
            characters=characters_from_data(json.loads(metadata.get("biport.characters", "{}")), str(path)),
        )
        if signature.alphabet is not None:
            first = signature.outputs[0]
            characters, batch = signature.alphabet.characters, named[0].shape[0]
            check_characters(characters, batch, first.name, first.tensor)
    except FileError:
        raise
    except (InputError, UnsupportedError) as error:
        raise FileError(f"{path}: its biport metadata is of another model: {error}") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise FileError(f"{path}: its biport metadata cannot be read: {error!r}") from error
    if [(v.name, v.dtype, len(v.shape)) for v in named] != [(v.name, v.dtype, len(v.shape)) for v in values]:
        raise FileError(f"{path}: its biport metadata describes other inputs than its graph has")
    return signature


def with_tokenizer(signature: Signature, tokenizer: Tokenizer, path: Path) -> Signature:
    """The signature with another tokeniser, whatever the file says.

    Raises:
        InputError, UnsupportedError: as `biport.analysis.text_model.tokenizer_of_input`.
    """
    tokenizers = tokenizer_of_input(tokenizer, signature.inputs, signature.bounds)
    unsaid = _unsaid(signature.inputs, tokenizers, signature.time_axes, path)
    return dataclasses.replace(signature, tokenizers=tokenizers, unsaid=unsaid)


def _unsaid(
    values: Sequence[Value], tokenizers: Mapping[str, Tokenizer], axes: object | None, path: Path
) -> str:
    # Of several inputs nothing is known of padding; a text that a fixed length does not suit is an error.
    varies = len(values) == 1 and not all(isinstance(dim, int) for dim in values[0].shape[-1:])
    unsaid = unsaid_lengths(values, tokenizers, axes is not None or not varies)
    return unsaid and f"{path}: {unsaid}"


def _said(metadata: Mapping[str, str], path: Path) -> str:
    """The same of a file that has its tokenisers in it."""
    unsaid = metadata.get("biport.unsaid", "")
    return unsaid and f"{path}: {unsaid}"


def _described(
    metadata: Mapping[str, str], path: Path, values: list[Value]
) -> tuple[list[Value], dict[str, int]]:
    """The inputs as the file's metadata describes them, or else as the graph does."""
    if "biport.inputs" not in metadata:
        return values, _foreign_bounds(path, values)
    described = json.loads(metadata["biport.inputs"])
    bounds = {entry["name"]: int(entry["ids"]) for entry in described if entry["ids"] is not None}
    return [Value(item["name"], tuple(item["shape"]), item["dtype"]) for item in described], bounds


def _tokenizers(
    metadata: Mapping[str, str], bounds: Mapping[str, int], path: Path
) -> Mapping[str, Tokenizer]:
    """By inputs of ids; files of earlier versions carry a vocabulary of the one that they have."""
    older = metadata.get("biport.vocabulary")
    if older is not None and len(bounds) == 1:
        (name,) = bounds
        return {name: Vocabulary.from_data(json.loads(older), str(path)).tokenizer(name)}
    if older is not None and metadata.get("biport.tokenizer") == "whitespace":
        words = Vocabulary.from_data(json.loads(older), str(path)).tokens[UNK_ID + 1 :]
        return {"ids": dataclasses.replace(_AT_BLANKS, tokens=words)}
    return from_data(json.loads(metadata.get("biport.tokenizers", "{}")), str(path))


def _alphabet(metadata: Mapping[str, str], path: Path) -> Alphabet | None:
    text = metadata.get("biport.alphabet")
    return None if text is None else alphabet_from_data(json.loads(text), str(path))


def _labels(metadata: Mapping[str, str]) -> tuple[str, ...] | None:
    text = metadata.get("biport.labels")
    return None if text is None else tuple(str(name) for name in json.loads(text))


def _time_axes(metadata: Mapping[str, str]) -> dict[str, tuple[int, ...]] | None:
    padding = json.loads(metadata.get("biport.padding", "{}"))
    if not padding.get("masked"):
        return None
    return {str(name): tuple(int(axis) for axis in axes) for name, axes in padding["axes"].items()}


def _values(path: Path, arguments: Sequence[Any]) -> list[Value]:
    for argument in arguments:
        if argument.type not in DTYPES:
            raise FileError(f"{path}: {argument.name!r} is a {argument.type}, which biport does not run")
    try:
        return [Value(item.name, _shape(item), DTYPES[item.type]) for item in arguments]
    except GraphError as error:
        raise FileError(f"{path}: {error}") from error


def _shape(argument: Any) -> tuple[int | str | Size, ...]:
    return tuple(
        dim if isinstance(dim, int | str) else letter(f"{argument.name}_{axis}")
        for axis, dim in enumerate(argument.shape)
    )


def _foreign_bounds(path: Path, values: Sequence[Value]) -> dict[str, int]:
    """Id bounds of a file that does not say, where the package to look them up is installed."""
    try:
        from export.runtime.bounds import gather_bounds
    except ModuleNotFoundError:
        return {}
    integers = {value.name for value in values if value.dtype.startswith("int")}
    return {name: rows for name, rows in gather_bounds(load(path).graph).items() if name in integers}


def load(path: Path) -> Any:
    """The file as onnx-ir reads it.

    Raises:
        MissingDependencyError: onnx-ir is not installed.
    """
    return require("onnx_ir", "reading an ONNX graph", "export").load(path)
