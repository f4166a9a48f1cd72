"""Where models come from and go to."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Any

from biport.errors import InputError
from biport.file_kind import FileKind, file_kind
from biport.files import check_folder, check_folder_name


class Target(StrEnum):
    """What a model can be ported to."""

    TORCH = "torch"
    KERAS = "keras"
    ONNX = "onnx"


def read_source(source: Path, config: Path | None) -> tuple[Any, list[str]]:
    """A model, and what somebody who ports it should know."""
    from biport import bundle

    if bundle.is_bundle(source):
        return bundle.read(source), []
    if source.is_file() and file_kind(source) is FileKind.ONNX:
        raise InputError(f"{source}: biport writes ONNX but does not read it; give a Keras file or a bundle")
    import keras_side

    inspection = keras_side.inspect(source, config)
    if inspection.problem is not None:
        raise inspection.problem
    return inspection.graph, [*inspection.notes]


def check_output(source: Path, to: Target, output: Path) -> None:
    """Refuse an output of another suffix, in a folder that is not there, or that is the source.

    Raises:
        InputError: it is one.
    """
    check_source_kept(source, to, output)
    if to is Target.TORCH:
        check_folder_name(output)
    else:
        check_folder(output)


def check_source_kept(source: Path, to: Target, output: Path) -> None:
    """Refuse an output of another suffix, or that is the source; raises like `check_output`."""
    suffix = {Target.KERAS: ".keras", Target.ONNX: ".onnx"}.get(to)
    if suffix is not None and output.suffix != suffix:
        raise InputError(f"{output}: a model for {to} is written to a file that ends in {suffix}")
    if source.exists() and output.exists() and source.samefile(output):
        raise InputError(f"{output}: is the source; biport never writes over its input")
