"""Decoding with onnxruntime: the encoder and the step of a sequence-to-sequence model, a file each."""

from __future__ import annotations

from collections.abc import Callable
from os import PathLike
from pathlib import Path

from biport.decoding import Stepper, split
from biport.errors import FileError
from biport.files import atomic_folder, check_target
from biport.graph import Graph
from biport.json_file import read_json, write_json
from biport.text.tokenizer import Tokenizer
from export.check_vectors import SUFFIX
from export.require import require_onnx
from export.session import Session
from export.write import write

ENCODER, STEP = "encoder.onnx", "step.onnx"


SOURCE, TARGET = "source_vocabulary.json", "target_vocabulary.json"
"""How ids are made of what the encoder reads, and text of what the step writes."""


def write_decoder(
    graph: Graph,
    folder: str | PathLike[str],
    *,
    target: str | None = None,
    overwrite: bool = False,
    tokenizers: tuple[Tokenizer, Tokenizer] | None = None,
    check: Callable[[Path], object] | None = None,
) -> Path:
    """Write ``encoder.onnx`` and ``step.onnx`` into ``folder``, which appears whole or not at all.

    The encoder's outputs are, in order, the inputs of the step behind its first, the token ``(N, 1)``; states
    without an initial value follow and start from zeros. The step gives probabilities, ``(N, 1, V)``, and
    then what the last inputs, the states, are after it.

    Args:
        graph: of two inputs, trained with teacher forcing.
        folder: made; its parent is there.
        target: the input that is the decoder's own sequence; by default the last one.
        overwrite: replace the files of a folder that is there.
        tokenizers: of the source and of the target, which travel with the two files.
        check: called with the folder before it is put in its place; what it raises keeps it from that.

    Returns:
        The folder.

    Raises:
        UnsupportedError: the decoder cannot be stepped, or has an op without a writer.
        InputError: the folder exists, or its parent does not.
    """
    require_onnx()
    folder = Path(folder)
    check_target(folder, overwrite)
    if folder.exists() and (not folder.is_dir() or {path.name for path in folder.iterdir()} - _names()):
        raise FileError(f"{folder}: holds something else than a decoder; it is not replaced")
    parts = split(graph, target)
    with atomic_folder(folder) as draft:
        write(parts.encoder, draft / ENCODER)
        write(parts.step, draft / STEP)
        for name, tokenizer in zip((SOURCE, TARGET), tokenizers or (), strict=False):
            write_json(draft / name, tokenizer.to_data())
        if check is not None:
            check(draft)
    return folder


def _names() -> set[str]:
    models = {name + ending for name in (ENCODER, STEP) for ending in ("", ".data", SUFFIX)}
    return models | {SOURCE, TARGET}


def is_decoder(folder: Path) -> bool:
    """Whether `write_decoder` may have written a folder."""
    return (folder / ENCODER).is_file() and (folder / STEP).is_file()


def read_tokenizers(folder: Path) -> tuple[Tokenizer, Tokenizer] | None:
    """The tokenisers of the source and of the target that travel with a decoder, if there are such.

    Raises:
        FileError: one is missing or damaged.
    """
    paths = folder / SOURCE, folder / TARGET
    if not any(path.exists() for path in paths):
        return None
    source, target = (Tokenizer.from_data(read_json(path), str(path)) for path in paths)
    return source, target


def stepper(folder: str | PathLike[str], device: str = "auto", threads: int | None = None) -> Stepper:
    """What `write_decoder` wrote, ready for `biport.decoding`.

    Args:
        folder: with ``encoder.onnx`` and ``step.onnx``.
        device: as for `Session`.
        threads: as for `Session`.

    Raises:
        FileError: a file is missing or damaged, or the two do not belong together.
    """
    folder = Path(folder)
    encoder, step = (Session(folder / name, device, threads) for name in (ENCODER, STEP))
    given, taken = encoder.output_values, step.input_values[1:]
    fits = all(
        (one.dtype, len(one.shape)) == (two.dtype, len(two.shape))
        for one, two in zip(given, taken, strict=False)
    )
    size = step.output_values[0].shape[-1]
    if len(encoder.input_values) != 1 or len(given) > len(taken) or not fits or not isinstance(size, int):
        raise FileError(f"{folder}: {ENCODER} and {STEP} are not the two halves of one model")
    return Stepper(encoder.run, step.run, encoder.input_values[0], tuple(step.input_values), size)
