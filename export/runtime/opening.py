"""Opening an ONNX file on a device, and seeing at once that the device really runs it."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from biport.errors import FileError, MissingDependencyError, UnsupportedError
from biport.graph import Value
from biport.inputs import letter_sizes, size_at
from biport.log import log
from biport.text.samples import sample_texts
from export.runtime.providers import (
    Placement,
    create,
    cuda_is_built_in,
    distributions,
    misplaced,
    on_cpu,
    placement,
    reason,
    warn_once,
)
from export.runtime.signature import Signature, read_signature


@dataclass(frozen=True)
class Opened:
    """A file that runs.

    Args:
        session: onnxruntime's.
        device: ``"cpu"`` or ``"cuda"``.
        signature: what the file says of itself.
        placement: which provider runs how many nodes of each operator, where onnxruntime tells.
    """

    session: Any
    device: str
    signature: Signature
    placement: Placement | None


def open_file(path: Path, device: str, threads: int) -> Opened:
    """Open ``path`` on ``device`` and run the smallest batch there is.

    Raises:
        FileError: the file is not something onnxruntime can run.
        MissingDependencyError: onnxruntime is not installed, or CUDA was asked for and does not work.
        UnsupportedError: CUDA was asked for and has no kernels for nodes that matter.
    """
    start = time.perf_counter()
    opened = _opened(path, device, threads)
    log(
        "session",
        f"opened {path} on {'CUDA' if opened.device == 'cuda' else 'the CPU'}",
        path=str(path),
        device=opened.device,
        providers=list(opened.session.get_providers()),
        threads=threads,
        seconds=time.perf_counter() - start,
    )
    return opened


def _opened(path: Path, device: str, threads: int) -> Opened:
    if device == "auto" and not cuda_is_built_in():
        if "onnxruntime-gpu" in distributions():
            warn_once(
                "running on the CPU: onnxruntime-gpu is installed, but what is imported is built for the CPU "
                f"(installed: {', '.join(distributions())}; they overwrite each other's files, keep one)"
            )
        device = "cpu"
    if device == "cpu":
        return _on_cpu(path, threads)
    try:
        return _on_cuda(path, threads, strict=device == "cuda")
    except MissingDependencyError as error:
        if device == "cuda":
            raise
        warn_once(f"running on the CPU: {error}")
        return _on_cpu(path, threads)


def _on_cpu(path: Path, threads: int) -> Opened:
    session = create(path, "cpu", threads)
    signature = read_signature(path, session)
    trouble = tiny_batch(session, signature)
    # Only of this package's own files is it known which inputs go together; and a Reshape that does not
    # divide the steps says that their number is wrong, not that a kernel is.
    own = signature.metadata.get("biport.route") == "fused"
    if trouble is not None and own and "Reshape" not in trouble:
        raise FileError(f"{path}: onnxruntime cannot run the smallest batch: {trouble}")
    return Opened(session, "cpu", signature, placement(session))


def _on_cuda(path: Path, threads: int, strict: bool) -> Opened:
    session = create(path, "cuda", threads)
    placed = placement(session)
    wrong = misplaced(placed)
    if wrong and strict:
        raise UnsupportedError(
            f"{path} on CUDA", "nodes on the CPU", wrong, f"the CPU alone: {on_cpu(wrong)}"
        )
    if wrong:
        warn_once(on_cpu(wrong))
    signature = read_signature(path, session)
    trouble = tiny_batch(session, signature)
    # Where the CPU does not run it either the batch is at fault, and not CUDA.
    if trouble is not None and tiny_batch(create(path, "cpu", threads), signature) is None:
        raise MissingDependencyError(
            f"CUDA does not work here: the smallest batch fails ({trouble}) and the CPU runs it. The driver, "
            "CUDA and cuDNN should be those this onnxruntime was built for: "
            "pip install 'onnxruntime-gpu[cuda,cudnn]'"
        )
    return Opened(session, "cuda", signature, placed)


def tiny_batch(session: Any, signature: Signature) -> str | None:
    """Run one row of as few steps as the model is defined over; why that fails, or ``None``."""
    trouble = None
    for steps in _lengths(signature):
        try:
            session.run(None, {value.name: _tiny(value, steps, signature) for value in signature.inputs})
        except Exception as error:  # onnxruntime's errors share no class but this one
            trouble = reason(error)
        else:
            return None
    return trouble


def _lengths(signature: Signature) -> list[int]:
    """Lengths to try: the shortest, fixed ones that others may have to match, and multiples."""
    inside = json.loads(signature.metadata.get("biport.needs_tokens", "{}"))
    needed = max([1, *(least.size for least in signature.needs_steps.values()), *inside.values()])
    fixed = {dim for value in signature.inputs for dim in value.shape[1:2] if isinstance(dim, int)}
    return [needed, 2 * needed + 1, *sorted(fixed), *(needed * factor for factor in (2, 3, 4, 60, 840))]


def _tiny(value: Value, steps: int, signature: Signature) -> np.ndarray:
    sizes = letter_sizes(signature.inputs, 1, steps)
    shape = [size_at(dim, sizes) for dim in value.shape]
    if value.dtype == "str":
        own = [one for one in signature.tokenizers.values() if one.source == value.name]
        # Of as many tokens as the model needs steps, and of those that have ids.
        text = sample_texts(own[0], 1, steps)[0] if own and own[0].split != "none" else "a"
        return np.full(shape, text, object)
    # An id of 1 where there is one: 0 is what a mask hides.
    number = 1 if signature.bounds.get(value.name, 0) > 1 else 0
    return np.full(shape, number, value.dtype)
