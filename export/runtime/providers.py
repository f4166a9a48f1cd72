"""Where onnxruntime runs a model: the choice of CUDA or the CPU, looked at afterwards node by node."""

from __future__ import annotations

import ctypes
import importlib.metadata
import re
import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from biport.errors import Argument, FileError, MissingDependencyError
from biport.file_kind import FileKind, file_kind, foreign
from export.require import require

DEVICES = ("auto", "cpu", "cuda")
CPU, CUDA = "CPUExecutionProvider", "CUDAExecutionProvider"
HEAVY = frozenset(
    ("LSTM", "GRU", "RNN", "Scan", "Loop", "MatMul", "Gemm", "FusedMatMul", "FusedGemm", "Conv", "FusedConv")
)
"""Where a model spends its time: recurrent nodes, what stands for them, and products of matrices."""

Placement = Mapping[str, Mapping[str, int]]
"""For each provider, how many nodes of each operator it runs."""

_warned: set[str] = set()


def warn_once(text: str) -> None:
    """Warn of something a process needs to hear of once, however many sessions it opens."""
    if text not in _warned:
        _warned.add(text)
        warnings.warn(text, RuntimeWarning, stacklevel=2)


def create(path: Path, device: str, threads: int) -> Any:
    """An onnxruntime session on ``"cpu"`` or ``"cuda"``, with TF32 off and threads that do not spin.

    Raises:
        FileError: the file is not something onnxruntime can run.
        MissingDependencyError: onnxruntime is missing, or CUDA does not work here.
    """
    ort = require("onnxruntime", "running an ONNX model", "cpu")
    wants_cuda = device == "cuda"
    if wants_cuda:
        _refuse_without_cuda(ort)
    providers = [(CUDA, {"use_tf32": "0"}), CPU] if wants_cuda else [CPU]
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    # A spinning pool keeps every core busy between two calls.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
    options.log_severity_level = 4
    try:
        with warnings.catch_warnings():
            # What these warnings say is asked below, and answered with an error.
            warnings.simplefilter("ignore", UserWarning)
            session = ort.InferenceSession(str(path), options, providers=providers, enable_fallback=0)
    except Exception as error:
        _refuse_file(path, error)
        if wants_cuda:
            raise MissingDependencyError(cuda_trouble(ort, reason(error))) from error
        raise FileError(f"{path}: onnxruntime cannot load it: {reason(error)}") from error
    if wants_cuda and CUDA not in session.get_providers():
        raise MissingDependencyError(cuda_trouble(ort, "onnxruntime left the CUDA provider out"))
    return session


def cuda_is_built_in() -> bool:
    """Whether the installed onnxruntime is one for CUDA, be it that CUDA works or not."""
    return CUDA in require("onnxruntime", "running an ONNX model", "cpu").get_available_providers()


def placement(session: Any) -> Placement | None:
    """Which provider runs which nodes; ``None`` where onnxruntime is too old to say (before 1.24)."""
    if not hasattr(session, "get_provider_graph_assignment_info"):
        return None
    placed: dict[str, Counter[str]] = {}
    for part in session.get_provider_graph_assignment_info():
        placed.setdefault(part.ep_name, Counter()).update(node.op_type for node in part.get_nodes())
    return placed


def misplaced(placed: Placement | None) -> list[str]:
    """The `HEAVY` operators of a CUDA session that run on the CPU nevertheless."""
    if placed is None:
        return []
    return sorted(kind for kind in placed.get(CPU, ()) if kind in HEAVY)


def distributions() -> list[str]:
    """Which of onnxruntime's distributions are installed; two of them overwrite each other's files."""
    names = ("onnxruntime", "onnxruntime-gpu")
    return [name for name in names if _is_installed(name)]


def _is_installed(name: str) -> bool:
    try:
        importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True


def _refuse_without_cuda(ort: Any) -> None:
    if CUDA in ort.get_available_providers():
        if hasattr(ort, "preload_dlls"):
            ort.preload_dlls()
        return
    if len(distributions()) > 1:
        raise MissingDependencyError(
            Argument("device", "cuda"),
            ": onnxruntime and onnxruntime-gpu are both installed and have overwritten each "
            "other's files: pip uninstall -y onnxruntime onnxruntime-gpu && pip install onnxruntime-gpu",
        )
    raise MissingDependencyError(
        Argument("device", "cuda"),
        ": this onnxruntime is built for the CPU only: "
        "pip uninstall onnxruntime && pip install onnxruntime-gpu",
    )


def cuda_trouble(ort: Any, why: str) -> str:
    """Why CUDA does not work here, and what helps; the loader knows which library is missing."""
    try:
        ctypes.CDLL("libcuda.so.1")
    except OSError:
        return (
            f"CUDA does not work here: there is no NVIDIA driver (libcuda.so.1 is not found; {why}). "
            "Install the driver, or start the container with --gpus all"
        )
    library = Path(ort.__file__).parent / "capi" / "libonnxruntime_providers_cuda.so"
    try:
        ctypes.CDLL(str(library))
    except OSError as error:
        why = str(error)
    missing = "cuDNN is missing or of another version" if "cudnn" in why.lower() else why
    detail = f" ({why})" if missing != why else ""
    return (
        f"CUDA does not work here: {missing}{detail}. It needs an NVIDIA driver, and CUDA and cuDNN as this "
        "onnxruntime was built with: pip install 'onnxruntime-gpu[cuda,cudnn]'"
    )


def _refuse_file(path: Path, error: Exception) -> None:
    kind = type(error).__name__
    if not path.is_file() or file_kind(path) not in (FileKind.ONNX, FileKind.UNKNOWN):
        raise foreign(path, "an ONNX graph") from error
    # "does not have a graph" is what onnxruntime before 1.24 says of an empty file.
    if kind == "InvalidProtobuf" or re.search("No graph was found|does not have a graph", str(error)):
        raise FileError(
            f"{path}: is not an ONNX file, or is truncated ({path.stat().st_size} bytes)"
        ) from error
    if kind in ("InvalidGraph", "NoSuchFile"):
        raise FileError(f"{path}: onnxruntime cannot load it: {reason(error)}") from error


def reason(error: Exception) -> str:
    """Onnxruntime's message without its prefix of codes."""
    return str(error).rpartition(" : ")[2].strip().splitlines()[0] if str(error).strip() else repr(error)


def on_cpu(kinds: Sequence[str]) -> str:
    """The sentence about heavy nodes that CUDA left to the CPU."""
    return (
        f"onnxruntime runs {', '.join(kinds)} on the CPU although the session is one of CUDA: its kernels "
        "do not take these nodes (settings CUDA has no kernel for, or an onnxruntime without cuDNN)"
    )
