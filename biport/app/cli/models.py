"""Where models come from and go to."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

from biport.app.cli.added import Given, add_options
from biport.app.cli.app import Result
from biport.app.cli.options import (
    CheckpointFile,
    CodeFile,
    ConfigFile,
    Examples,
    Extensions,
    LengthInputs,
    ModuleArguments,
    States,
)
from biport.app.source import ModuleOptions, Source
from biport.app.user_module import import_file
from biport.errors import InputError
from biport.files import check_folder, check_folder_name


class Target(StrEnum):
    """What a model can be ported to."""

    TORCH = "torch"
    BUNDLE = "bundle"
    KERAS = "keras"
    ONNX = "onnx"


def takes_model(function: Callable[..., Result]) -> Callable[..., Result]:
    """Give a command the options that say more of its ``source``, or of its ``models``."""
    options = {
        "config": ConfigFile,
        "code": CodeFile,
        "extend": Extensions,
        "states": States,
        "checkpoint": CheckpointFile,
        "args": ModuleArguments,
        "example": Examples,
        "lengths": LengthInputs,
    }

    def gather(added: Given, given: Given) -> None:
        for path in added["extend"] or ():
            import_file(path)
        lists = (tuple(added[name] or ()) for name in ("example", "lengths"))
        module = ModuleOptions(added["checkpoint"], added["args"], *lists)
        own = {name: added[name] for name in ("config", "code", "states")} | {"module": module}
        if "models" in given:
            given["models"] = _with_options(given["models"], own)
        else:
            (given["source"],) = _with_options([given["source"]], own)

    return add_options(function, options, gather)


def _with_options(sources: Sequence[Source], options: Mapping[str, Any]) -> list[Source]:
    """The models with what goes with them.

    Raises:
        InputError: there are options of a module, and no module or several.
    """
    modules = [source for source in sources if source.is_module]
    if len(modules) > 1 and options["module"] != ModuleOptions():
        raise InputError(f"{modules[1]}: options of a module are those of one, and {modules[0]} is another")
    told = [_told(source, options, single=len(sources) == 1) for source in sources]
    if not modules and told:
        told[0].check()
    return told


def _told(source: Source, options: Mapping[str, Any], single: bool) -> Source:
    """A model with what goes with it; code goes with the Keras files of several models."""
    own = options if single or source.is_keras_file else {**options, "code": None}
    return dataclasses.replace(source, **own)


def check_output(source: Source, to: Target, output: Path) -> None:
    """Refuse an output of another suffix, in a folder that is not there, or that is the source.

    Raises:
        InputError: it is one.
    """
    check_source_kept(source, to, output)
    if to in (Target.TORCH, Target.BUNDLE):
        check_folder_name(output)
    else:
        check_folder(output)


def check_source_kept(source: Source, to: Target, output: Path) -> None:
    """Refuse an output of another suffix, or that is the source; raises like `check_output`."""
    suffix = {Target.KERAS: ".keras", Target.ONNX: ".onnx"}.get(to)
    if suffix is not None and output.suffix != suffix:
        raise InputError(f"{output}: a model for {to} is written to a file that ends in {suffix}")
    if output.exists() and any(path.exists() and path.samefile(output) for path in source.files):
        raise InputError(f"{output}: is the source; biport never writes over its input")
