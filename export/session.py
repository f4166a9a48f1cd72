"""Running ONNX files with onnxruntime: inputs checked, providers explicit, no empty batch that kills."""

from __future__ import annotations

import ctypes
import json
import math
import os
import warnings
from collections.abc import Sequence
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from biport.errors import FileError, InputError, MissingDependencyError
from biport.graph import Value
from biport.inputs import Inputs, check_arrays, in_order
from biport.ops import Dim
from export.lengths import length
from export.require import require

DEVICES = ("auto", "cpu", "cuda")
CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
DTYPES = {"tensor(float)": "float32", "tensor(double)": "float64", "tensor(float16)": "float16"} | {
    f"tensor({name})": name
    for name in ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")
}


class Session:
    """An ONNX model ready to run; files of both routes of this package, and others.

    Args:
        path: the ONNX file; nothing else is opened but the external data it names.
        device: ``"cpu"``, ``"cuda"``, or ``"auto"``: CUDA where it works, otherwise the CPU.
        threads: for one operator; by default every core this process may use.

    Raises:
        FileError: the file is missing, truncated, foreign, or not something onnxruntime can run.
        InputError: the device or the number of threads is none.
        MissingDependencyError: onnxruntime is not installed, or ``"cuda"`` was asked for and does not work;
            the message says why and what helps.
    """

    def __init__(self, path: str | PathLike[str], device: str = "auto", threads: int | None = None) -> None:
        if device not in DEVICES:
            raise InputError(f"device should be one of {', '.join(DEVICES)}, found {device!r}")
        if threads is not None and threads < 1:
            raise InputError(f"threads should be 1 or more, found {threads}")
        self.path = Path(path)
        if not self.path.is_file():
            raise FileError(
                f"{self.path}: {'is a folder' if self.path.is_dir() else 'there is no such file'}"
            )
        self._session = _open(self.path, device, threads or len(os.sched_getaffinity(0)))
        self.metadata: dict[str, str] = dict(self._session.get_modelmeta().custom_metadata_map)
        """The file's ``metadata_props``; those of this package begin with ``biport.``."""
        self.contract: str | None = self.metadata.get("biport.contract")
        """What inputs have to keep, see `export.write`; the file itself checks it."""
        self.input_values, self._bounds = self._described()
        """Name, shape and dtype of each input, in order."""
        self.output_values = _values(self.path, self._session.get_outputs())
        """Name, shape and dtype of each output, in order."""
        self.output_names: list[str] = [value.name for value in self.output_values]
        """The names of what `run` returns, in order."""
        self.device = "cuda" if CUDA in self._session.get_providers() else "cpu"
        """Where the model runs."""

    @cached_property
    def node_count(self) -> int:
        """How many nodes the file holds, those inside of loops included.

        Raises:
            MissingDependencyError: onnx-ir is not installed.
        """
        return sum(1 for _ in _load(self.path).graph.all_nodes())

    def run(self, inputs: Inputs) -> list[np.ndarray]:
        """The outputs for ``inputs``, in order.

        Args:
            inputs: one array for each input, in order or by name.

        Raises:
            InputError: the inputs do not suit the model: their number, names, ranks, sizes or dtypes, an id
                outside of ``[0, V)``, numbers that are not finite, or an empty batch or sequence over which
                the model is not defined.
        """
        arrays = check_arrays(
            self.input_values, self._bounds, in_order([value.name for value in self.input_values], inputs)
        )
        self._check_steps(arrays)
        if self.metadata.get("biport.route") != "fused" and any(array.size == 0 for array in arrays):
            return self._empty(arrays)
        feed = {value.name: array for value, array in zip(self.input_values, arrays, strict=True)}
        try:
            return list(self._session.run(None, feed))
        except Exception as error:  # onnxruntime's errors share no class but this one
            if self.contract is not None and f"/{self.contract}/" in str(error):
                raise InputError(
                    f"{self.path}: found a valid step behind a masked one; the file is written under the "
                    f"contract {self.contract!r}, other inputs need one that is written without it"
                ) from error
            shapes = {name: array.shape for name, array in feed.items()}
            raise InputError(
                f"{self.path}: cannot run inputs of shapes {shapes}: {_reason(error)}"
            ) from error

    @cached_property
    def _needs_steps(self) -> dict[str, int]:
        found = json.loads(self.metadata.get("biport.needs_steps", "{}"))
        return {str(name): int(steps) for name, steps in found.items()}

    def _check_steps(self, arrays: Sequence[np.ndarray]) -> None:
        for value, array in zip(self.input_values, arrays, strict=True):
            needed = self._needs_steps.get(value.name, 0)
            if array.ndim > 1 and array.shape[1] < needed:
                found = f"{array.shape[1]} time steps (T = {array.shape[1]})"
                raise InputError(
                    f"input {value.name!r}: the model is not defined over {found}; it needs {needed} or more"
                )
        sizes = _letters(self.input_values, arrays)
        for expression, needed in self._needs_steps.items():
            steps = None if expression.isidentifier() else length(expression, sizes)
            if steps is not None and steps < needed:
                shown = ", ".join(f"{letter} = {size}" for letter, size in sizes.items() if letter != "N")
                raise InputError(
                    f"the model is not defined over {expression} = {steps} time steps ({shown}); "
                    f"it needs {needed} or more"
                )

    def _empty(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The outputs of a graph that cannot be run over empty inputs, where they are empty as well."""
        sizes = _letters(self.input_values, arrays)
        shapes = [tuple(sizes.get(dim, dim) for dim in value.shape) for value in self.output_values]
        known = all(isinstance(dim, int) for shape in shapes for dim in shape)
        if not known or any(math.prod(shape) for shape in shapes):  # type: ignore[arg-type]
            found = {value.name: a.shape for value, a in zip(self.input_values, arrays, strict=True)}
            raise InputError(
                f"{self.path}: found empty inputs {found}, over which this file is not defined; "
                "a file written by export.write, the fused route, is"
            )
        return [
            np.empty(shape, value.dtype)  # type: ignore[arg-type]
            for shape, value in zip(shapes, self.output_values, strict=True)
        ]

    def _described(self) -> tuple[list[Value], dict[str, int]]:
        """The inputs as the file's metadata describes them, or else as the graph does."""
        values = _values(self.path, self._session.get_inputs())
        if any(not value.shape for value in values):
            raise FileError(f"{self.path}: has an input without a batch axis, which biport does not run")
        if "biport.inputs" not in self.metadata:
            return values, _foreign_bounds(self.path, values)
        try:
            described = json.loads(self.metadata["biport.inputs"])
            bounds = {entry["name"]: int(entry["ids"]) for entry in described if entry["ids"] is not None}
            named = [Value(item["name"], tuple(item["shape"]), item["dtype"]) for item in described]
            _ = self._needs_steps
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise FileError(f"{self.path}: its biport metadata cannot be read: {error!r}") from error
        if [(v.name, v.dtype, len(v.shape)) for v in named] != [
            (v.name, v.dtype, len(v.shape)) for v in values
        ]:
            raise FileError(f"{self.path}: its biport metadata describes other inputs than its graph has")
        return named, bounds


def _open(path: Path, device: str, threads: int) -> Any:
    ort = require("onnxruntime", "running an ONNX model", "cpu")
    if device != "cpu" and CUDA in ort.get_available_providers():
        try:
            return _create(ort, path, [(CUDA, {"use_tf32": "0"}), CPU], threads)
        except MissingDependencyError as error:
            if device == "cuda":
                raise
            warnings.warn(f"running on the CPU: {error}", RuntimeWarning, stacklevel=3)
    elif device == "cuda":
        raise MissingDependencyError(
            "device='cuda': this onnxruntime is built for the CPU only: "
            "pip uninstall onnxruntime && pip install 'biport[gpu]'"
        )
    return _create(ort, path, [CPU], threads)


def _create(ort: Any, path: Path, providers: list, threads: int) -> Any:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # A spinning pool keeps every core busy between two calls.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 4
    wants_cuda = len(providers) > 1
    if wants_cuda and hasattr(ort, "preload_dlls"):
        ort.preload_dlls()
    try:
        with warnings.catch_warnings():
            # What these warnings say is asked below, and answered with an error.
            warnings.simplefilter("ignore", UserWarning)
            session = ort.InferenceSession(str(path), options, providers=providers, enable_fallback=0)
    except Exception as error:
        _refuse_file(path, error)
        if wants_cuda:
            raise MissingDependencyError(_cuda_trouble(ort, _reason(error))) from error
        raise FileError(f"{path}: onnxruntime cannot load it: {_reason(error)}") from error
    if wants_cuda and CUDA not in session.get_providers():
        raise MissingDependencyError(_cuda_trouble(ort, "onnxruntime left the CUDA provider out"))
    return session


def _refuse_file(path: Path, error: Exception) -> None:
    kind = type(error).__name__
    if kind == "InvalidProtobuf" or "No graph was found" in str(error):
        raise FileError(
            f"{path}: is not an ONNX file, or is truncated ({path.stat().st_size} bytes)"
        ) from error
    if kind in ("InvalidGraph", "NoSuchFile"):
        raise FileError(f"{path}: onnxruntime cannot load it: {_reason(error)}") from error


def _cuda_trouble(ort: Any, reason: str) -> str:
    """Why CUDA does not work here, and what helps; the provider's library knows what it misses."""
    library = Path(ort.__file__).parent / "capi" / "libonnxruntime_providers_cuda.so"
    try:
        ctypes.CDLL(str(library))
    except OSError as error:
        reason = str(error)
    return (
        f"CUDA does not work here: {reason}. It needs an NVIDIA driver and "
        "pip install 'onnxruntime-gpu[cuda,cudnn]'"
    )


def _reason(error: Exception) -> str:
    """Onnxruntime's message without its prefix of codes."""
    return str(error).rpartition(" : ")[2].strip().splitlines()[0] if str(error).strip() else repr(error)


def _values(path: Path, arguments: Sequence[Any]) -> list[Value]:
    for argument in arguments:
        if argument.type not in DTYPES:
            raise FileError(f"{path}: {argument.name!r} is a {argument.type}, which biport does not run")
    return [Value(item.name, _shape(item), DTYPES[item.type]) for item in arguments]


def _shape(argument: Any) -> tuple[Dim, ...]:
    return tuple(
        dim if isinstance(dim, int | str) else f"{argument.name}_{axis}"
        for axis, dim in enumerate(argument.shape)
    )


def _letters(values: Sequence[Value], arrays: Sequence[np.ndarray]) -> dict[Dim, int]:
    """What each letter stands for; one that stands for two sizes is left out."""
    found: dict[Dim, set[int]] = {}
    for value, array in zip(values, arrays, strict=True):
        for dim, size in zip(value.shape, array.shape, strict=True):
            if isinstance(dim, str):
                found.setdefault(dim, set()).add(size)
    return {dim: sizes.pop() for dim, sizes in found.items() if len(sizes) == 1}


def _foreign_bounds(path: Path, values: Sequence[Value]) -> dict[str, int]:
    """Id bounds of a file that does not say, where the package to look them up is installed."""
    try:
        from export.bounds import gather_bounds
    except ModuleNotFoundError:
        return {}
    integers = {value.name for value in values if value.dtype.startswith("int")}
    return {name: rows for name, rows in gather_bounds(_load(path).graph).items() if name in integers}


def _load(path: Path) -> Any:
    return require("onnx_ir", "reading an ONNX graph", "export").load(path)
