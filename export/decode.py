"""Decoding with onnxruntime: the encoder and the step of a sequence-to-sequence model, a file each."""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from biport.decoding import Stepper, split
from biport.errors import FileError
from biport.files import atomic_folder, check_target
from biport.graph import Graph
from export.check_vectors import SUFFIX
from export.require import require_onnx
from export.session import Session
from export.write import write

ENCODER, STEP = "encoder.onnx", "step.onnx"


def write_decoder(
    graph: Graph, folder: str | PathLike[str], *, target: str | None = None, overwrite: bool = False
) -> Path:
    """Write ``encoder.onnx`` and ``step.onnx`` into ``folder``, which appears whole or not at all.

    The encoder's outputs are, in order, the inputs of the step behind its first, the token ``(N, 1)``; states
    without an initial value follow and start from zeros. The step gives probabilities, ``(N, 1, V)``, and
    then what the last inputs, the states, are after it.

    Args:
        graph: of two inputs, trained with teacher forcing.
        folder: made; its parent is there.
        target: the input that is the decoder's own sequence; by default the last one.
        overwrite: replace the two files of a folder that is there.

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
    return folder


def _names() -> set[str]:
    return {name + ending for name in (ENCODER, STEP) for ending in ("", ".data", SUFFIX)}


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
