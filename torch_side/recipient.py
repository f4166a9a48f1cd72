"""What a ``model.py`` has beside its model, and needs torch alone: the source of these is copied there."""

from __future__ import annotations

import ast
import json
import math
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn, overrides

from biport.text.ids import ids_of, known_ids, rows_of


def fix_second_bias(layer: nn.Module) -> None:
    """Keep the second bias of a layer at zero: Keras has one, and trains one."""
    for name, parameter in layer.named_parameters():
        if name.startswith("bias_hh"):
            nn.init.zeros_(parameter)
            parameter.requires_grad_(False)


STORED = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "I16": torch.int16,
    "I32": torch.int32,
    "I64": torch.int64,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F32": torch.float32,
    "F64": torch.float64,
}


def read_tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a ``.safetensors`` file, in memory of their own: the file may be written anew."""
    tensors = {}
    with path.open("rb") as file:
        start = 8 + int.from_bytes(file.read(8), "little")
        listed = json.loads(file.read(start - 8))
        listed.pop("__metadata__", None)
        for name, one in listed.items():
            begin, end = one["data_offsets"]
            data, dtype = bytearray(end - begin), STORED[one["dtype"]]
            file.seek(start + begin)
            if file.readinto(data) != len(data):
                raise EOFError(f"{path}: ends before {name} does")
            tensor = torch.frombuffer(data, dtype=dtype) if data else torch.empty(0)
            tensors[name] = tensor.reshape(one["shape"]).to(dtype)
    return tensors


class Undrawn(overrides.TorchFunctionMode):
    """Tables are made without numbers, where these are about to be loaded.

    Without memory torch would import its compiler to draw them, a second or more.
    """

    def __torch_function__(self, func: Any, types: Any, args=(), kwargs=None) -> Any:
        """What ``func`` gives, but for numbers that are drawn."""
        kwargs = kwargs or {}
        return kwargs["tensor"] if func is nn.init.normal_ else func(*args, **kwargs)


HERE = Path(__file__).parent


def encode(texts: Sequence[Any], name: str = "", folder: Path = HERE) -> Tensor:
    """The ids that the model takes in place of texts, by ``tokenizers.json``.

    Args:
        texts: several; or rows of tokens, all of one length, where the model takes those.
        name: of the input, where several are made of texts.
        folder: where the file is.

    Returns:
        ``(N, T)``; ``(N,)`` of texts that are one token each.
    """
    content = (folder / "tokenizers.json").read_text(encoding="utf-8")
    tokenizers = json.loads(content)
    settings = tokenizers[name or next(iter(tokenizers))]
    known = known_ids(settings)
    rows = [ids_of(settings, known, text) for text in texts]
    if settings["split"] == "none" and rows and isinstance(texts[0], str):
        return torch.tensor(rows)[:, 0]
    table = rows_of(settings, rows)
    return torch.tensor(table) if table else torch.zeros(0, settings["length"] or 0).long()


def decode(scores: Tensor, folder: Path = HERE) -> list[str]:
    """The texts that the likeliest class of each step spells, by ``alphabet.json``.

    Args:
        scores: what the model gives, ``(N, T, C)``.
        folder: where the file is.
    """
    alphabet = json.loads((folder / "alphabet.json").read_text(encoding="utf-8"))
    blank = alphabet["blank"]
    characters = [*alphabet["characters"][:blank], "", *alphabet["characters"][blank:]]
    # Neighbours that repeat are one label.
    rows = [row.unique_consecutive() for row in scores.argmax(-1)]
    return ["".join(characters[label] for label in row.tolist()) for row in rows]


DTYPES = {
    "b1": torch.bool,
    "u1": torch.uint8,
    "i4": torch.int32,
    "i8": torch.int64,
    "f2": torch.float16,
    "f4": torch.float32,
    "f8": torch.float64,
}


def check(model: nn.Module, path: Path) -> int:
    """Compare what a model computes with what was computed in float64 when it was ported.

    An error is the largest difference to the expected numbers, over the largest of
    these or 1. What is allowed comes of how far off float32 was then.

    Returns:
        The exit status: 0, or 1 where an output is different.
    """
    arrays = read_arrays(path)
    meta = json.loads(bytes(arrays["meta"].tolist()))
    errors = dict.fromkeys(meta["outputs"], 0.0)
    for number in range(len(meta["cases"])):
        inputs = [arrays[f"{number}/input/{i}"] for i in range(len(meta["inputs"]))]
        with torch.no_grad():
            given = model(*inputs)
        given = given if isinstance(given, tuple) else (given,)
        for i, (name, output) in enumerate(zip(errors, given, strict=True)):
            expected = arrays[f"{number}/output/{i}"]
            if output.shape != expected.shape:
                print(f"{name}: different, {output.shape} instead of {expected.shape}")
                return 1
            errors[name] = max(errors[name], measure(output, expected))
    figures = zip(errors.values(), meta["rounding"], meta["allowed"], strict=True)
    verdicts = [judge(*figure) for figure in figures]
    for name, verdict, allowed in zip(errors, verdicts, meta["allowed"], strict=True):
        print(f"{name}: {verdict}, error {errors[name]:.1e}, allowed {allowed:.1e}")
    print(f"{len(meta['cases'])} cases, torch {torch.__version__}")
    return int("different" in verdicts)


def judge(error: float, rounding: float | None, allowed: float) -> str:
    """``same``, ``different``, or ``ill-conditioned`` where float32 cannot tell."""
    if rounding is None or (math.isfinite(error) and rounding > 1e-3):
        return "ill-conditioned"
    return "same" if error <= allowed else "different"


def measure(given: Tensor, expected: Tensor) -> float:
    """The error; infinite where other numbers are not finite."""
    x, e = given.double(), expected.double()
    finite = e.isfinite()
    agree = (x == e) | (x.isnan() & e.isnan()) | (finite & x.isfinite())
    if not agree.all():
        return math.inf
    if not finite.any():
        return 0.0
    largest = max(1.0, e[finite].abs().max().item())
    return (x - e)[finite].abs().max().item() / largest


def read_arrays(path: Path) -> dict[str, Tensor]:
    """The arrays of an ``.npz`` file, read without NumPy."""
    arrays = {}
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            data = archive.read(name)
            start = 10 + int.from_bytes(data[8:10], "little")
            header = ast.literal_eval(data[10:start].decode("latin1"))
            dtype = DTYPES[header["descr"][1:]]
            array = torch.empty(header["shape"], dtype=dtype)
            if array.numel():
                content = torch.frombuffer(bytearray(data[start:]), dtype=dtype)
                array = content.reshape(header["shape"])
            arrays[name.removesuffix(".npy")] = array
    return arrays
