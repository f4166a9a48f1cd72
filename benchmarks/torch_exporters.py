"""Modules as people write them, through biport and through other exporters, at three sizes each.

    PYTHONPATH=tests python benchmarks/torch_exporters.py
    PYTHONPATH=tests python benchmarks/torch_exporters.py --tools biport-onnx,torch-dynamo --only Packed

The other tools are none of biport's dependencies: what is not installed is left out, and said. Every tool
has a process of its own, which is started again behind a module that ends it.
"""

# pyright: reportMissingImports=false
from __future__ import annotations

import argparse
import contextlib
import importlib.metadata
import io
import json
import logging
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn
from torch.utils import _pytree as pytree

from testing.torch_modules import CASES
from testing.torch_modules.cases import EXAMPLE, OTHERS, Case
from testing.torch_modules.measure import (
    ALLOWED,
    SIZES,
    Outcome,
    call_live,
    difference_of,
    read,
    tensors,
    write,
)

FUSED = ("LSTM", "GRU", "RNN")
SECONDS = 300
"""That one module may take."""

Run = Callable[[Sequence[np.ndarray]], Sequence[np.ndarray]]
Export = Callable[[Case, Path], tuple[Run, Path | None]]


class NotExportedError(Exception):
    """A tool said no."""


def args_and_kwargs(arguments: Any) -> tuple[tuple, dict]:
    return ((), dict(arguments)) if isinstance(arguments, Mapping) else (tuple(arguments), {})


def biport_form(form: str) -> Export:
    def export(case: Case, folder: Path) -> tuple[Run, Path | None]:
        _, graph = read(case)
        if isinstance(graph, Outcome):
            raise NotExportedError(graph.detail)
        run = write(form, graph, folder)
        path = folder / "model.onnx"
        return run, path if path.exists() else None

    return export


def varying(case: Case) -> list[list[int]]:
    """The axes of each input whose sizes are others at other N and T."""
    calls = [[tuple(x.shape) for x in tensors(case, sizes)] for sizes in SIZES]
    return [
        [axis for axis, sizes in enumerate(zip(*shapes, strict=True)) if len(set(sizes)) > 1]
        for shapes in zip(*calls, strict=True)
    ]


def torch_export(case: Case, folder: Path, dynamo: bool) -> Path:
    path, arguments = folder / "torch.onnx", case.call(EXAMPLE)
    args, kwargs = args_and_kwargs(arguments)
    axes = varying(case)
    names = [f"input_{number}" for number in range(len(axes))]
    options: dict[str, Any] = {"input_names": names, "dynamo": dynamo}
    if dynamo:
        remaining = iter(axes)
        auto = torch.export.Dim.AUTO
        options["dynamic_shapes"] = pytree.tree_map(
            lambda x: dict.fromkeys(next(remaining), auto), kwargs or args
        )
        options["verbose"] = False
    else:
        options["dynamic_axes"] = {
            name: {axis: f"{name}_{axis}" for axis in own} for name, own in zip(names, axes, strict=True)
        }
    torch.onnx.export(case.build(), args, str(path), kwargs=kwargs, **options)
    return path


def onnxruntime_run(path: Path) -> Run:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    known = [one.name for one in session.get_inputs()]

    def run(arrays: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        named = {f"input_{number}": array for number, array in enumerate(arrays)}
        given = {name: named[name] for name in known} if all(name in named for name in known) else None
        results: Any = session.run(None, given or dict(zip(known, arrays, strict=True)))
        return results

    return run


def torch_onnx(dynamo: bool) -> Export:
    def export(case: Case, folder: Path) -> tuple[Run, Path | None]:
        path = torch_export(case, folder, dynamo)
        return onnxruntime_run(path), path

    return export


def onnx2pytorch(case: Case, folder: Path) -> tuple[Run, Path | None]:
    from onnx2pytorch import ConvertModel  # type: ignore[import-not-found]

    model = ConvertModel(onnx.load(torch_export(case, folder, dynamo=False)), experimental=True).eval()

    def run(arrays: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        with torch.no_grad():
            result = model(*map(torch.as_tensor, arrays))
        return [part.numpy() for part in pytree.tree_leaves(result)]

    return run, None


def onnx2tf(case: Case, folder: Path) -> tuple[Run, Path | None]:
    import onnx2tf as tool  # type: ignore[import-not-found]
    import tensorflow

    path = torch_export(case, folder, dynamo=False)
    names = [f"input_{number}" for number in range(len(varying(case)))]
    tool.convert(
        input_onnx_file_path=str(path),
        output_folder_path=str(folder / "tf"),
        non_verbose=True,
        keep_shape_absolutely_input_names=names,
    )
    loaded: Any = tensorflow.saved_model.load(str(folder / "tf"))
    signature = loaded.signatures["serving_default"]
    order = [one.name for one in onnx.load(path).graph.output]

    def run(arrays: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        given = {name: tensorflow.constant(x) for name, x in zip(names, arrays, strict=True)}
        results = signature(**given)
        return [results[name].numpy() for name in order if name in results] or [
            part.numpy() for part in results.values()
        ]

    return run, None


def nobuco(case: Case, folder: Path) -> tuple[Run, Path | None]:
    import nobuco as tool  # type: ignore[import-not-found]

    args, kwargs = args_and_kwargs(case.call(EXAMPLE))
    model = tool.pytorch_to_keras(case.build(), args=list(args), kwargs=kwargs)

    def run(arrays: Sequence[np.ndarray]) -> Sequence[np.ndarray]:
        import tensorflow

        result = model([tensorflow.constant(x) for x in arrays])
        return [np.asarray(part) for part in pytree.tree_leaves(result)]

    return run, None


TOOLS: dict[str, tuple[Export, str]] = {
    "biport-onnx": (biport_form("onnx"), "torch"),
    "biport-torch": (biport_form("torch"), "torch"),
    "biport-keras": (biport_form("keras"), "keras"),
    "torch-dynamo": (torch_onnx(True), "onnxscript"),
    "torch-script": (torch_onnx(False), "torch"),
    "onnx2pytorch": (onnx2pytorch, "onnx2pytorch"),
    "onnx2tf": (onnx2tf, "onnx2tf"),
    "nobuco": (nobuco, "nobuco"),
}
"""By its name: how a tool exports, and which distribution it needs."""


def layers_called(case: Case) -> int:
    """How many recurrent layers a call runs: of a stack each, both directions of one together."""
    module, count = case.build(), 0

    def counted(part: nn.RNNBase, *_: Any) -> None:
        nonlocal count
        count += part.num_layers

    for part in module.modules():
        if isinstance(part, nn.RNNBase):
            part.register_forward_hook(counted)
    call_live(module, case.call(EXAMPLE))
    return count


def nodes(path: Path) -> Iterator[str]:
    """The kinds of all nodes, those of loops as well."""

    def inside(graph: onnx.GraphProto) -> Iterator[str]:
        for node in graph.node:
            yield node.op_type
            for attribute in node.attribute:
                if attribute.HasField("g"):
                    yield from inside(attribute.g)

    model = onnx.load(path, load_external_data=False)
    yield from inside(model.graph)
    for function in model.functions:
        yield from (node.op_type for node in function.node)


def shown(error: BaseException) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def at(case: Case, run: Run, size: tuple[int, int]) -> str:
    """``right``, ``wrong`` or ``fails``."""
    wanted = call_live(case.build(), case.call(size))
    try:
        actual = [np.asarray(x) for x in run([x.numpy() for x in tensors(case, size)])]
    except Exception as error:
        return f"fails: {shown(error)}"
    difference = difference_of(actual, wanted)
    right = not isinstance(difference, str) and difference <= ALLOWED
    return "right" if right else f"wrong: {difference}"


def try_tool(tool: str, name: str) -> dict[str, Any]:
    """What a tool does with a module."""
    case, (export, _) = CASES[name], TOOLS[tool]
    with tempfile.TemporaryDirectory() as folder:
        try:
            run, path = export(case, Path(folder))
        except BaseException as error:  # a tool may end its process by SystemExit
            return {
                "exported": False,
                "reason": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}",
            }
        row: dict[str, Any] = {
            "exported": True,
            "sizes": [at(case, run, size) for size in (EXAMPLE, *OTHERS)],
        }
        if path is not None:
            kinds = list(nodes(path))
            row |= {"fused": sum(kind in FUSED for kind in kinds), "nodes": len(kinds)}
        return row


def work(tool: str, names: Sequence[str], results: Path) -> None:
    """A worker: a line for each module, as it comes."""
    logging.disable(logging.CRITICAL)
    warnings.simplefilter("ignore")
    for name in names:
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            row = try_tool(tool, name)
        with results.open("a") as file:
            file.write(json.dumps({"tool": tool, "module": name} | row) + "\n")


def rows_of(results: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in results.read_text().splitlines()] if results.exists() else []


def drive(tool: str, names: Sequence[str], results: Path) -> None:
    """Run workers of a tool until every module has its line."""
    while left := [name for name in names if name not in done(tool, results)]:
        command = [
            sys.executable,
            __file__,
            "--work",
            tool,
            "--only",
            ",".join(left),
            "--results",
            str(results),
        ]
        before = len(rows_of(results))
        with contextlib.suppress(subprocess.TimeoutExpired):
            subprocess.run(command, timeout=SECONDS + 20 * len(left), capture_output=True, check=False)
        if len(rows_of(results)) - before < len(left):
            first = next((name for name in names if name not in done(tool, results)), None)
            if first is not None:
                with results.open("a") as file:
                    row = {"tool": tool, "module": first, "exported": False, "reason": "the process ended"}
                    file.write(json.dumps(row) + "\n")


def done(tool: str, results: Path) -> set[str]:
    return {row["module"] for row in rows_of(results) if row["tool"] == tool}


def table(results: Path, names: Sequence[str]) -> str:
    """What became of all modules, a line for each tool."""
    layers = {name: layers_called(CASES[name]) for name in names}
    heads = ("tool", "exported", "right at the example", "right at all three sizes", "wrong somewhere",
             "fails elsewhere", "one fused node a layer")  # fmt: skip
    lines = [f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
    for tool in TOOLS:
        rows = [row for row in rows_of(results) if row["tool"] == tool and row["module"] in names]
        if not rows:
            continue
        exported = [row for row in rows if row["exported"]]
        example = sum(row["sizes"][0] == "right" for row in exported)
        everywhere = sum(all(one == "right" for one in row["sizes"]) for row in exported)
        wrong = sum(any(one.startswith("wrong") for one in row["sizes"]) for row in exported)
        fails = len(exported) - everywhere - wrong
        recurrent = [row for row in exported if layers[row["module"]] and "fused" in row]
        fused = sum(row["fused"] == layers[row["module"]] for row in recurrent)
        with_layers = sum(bool(layers[row["module"]]) for row in rows)
        nodes_of_layers = f"{fused} of {with_layers}" if recurrent else "-"
        cells = (tool, f"{len(exported)} of {len(rows)}", example, everywhere, wrong, fails, nodes_of_layers)
        lines.append(f"| {' | '.join(map(str, cells))} |")
    return "\n".join(lines)


DISTRIBUTIONS = ("torch", "onnx", "onnxruntime", "onnxscript", "onnx2pytorch", "onnx2tf", "nobuco", "keras",
                 "tensorflow")  # fmt: skip


def versions() -> str:
    known = {}
    for name in (
        "torch",
        "onnx",
        "onnxruntime",
        "onnxscript",
        "onnx2pytorch",
        "onnx2tf",
        "nobuco",
        "keras",
        "tensorflow",
    ):
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            known[name] = importlib.metadata.version(name)
    return ", ".join(f"{name} {version}" for name, version in known.items())


def installed(tool: str) -> bool:
    try:
        importlib.metadata.version(TOOLS[tool][1])
    except importlib.metadata.PackageNotFoundError:
        print(f"{tool}: not installed, left out")
        return False
    return True


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--tools", default=",".join(TOOLS))
    parser.add_argument("--only", default="", help="parts of names of modules, with commas between")
    parser.add_argument("--every", type=int, default=1, help="take every so many modules")
    parser.add_argument("--results", type=Path, help="a file of lines; what is in it is not done again")
    parser.add_argument("--work", help=argparse.SUPPRESS)
    options = parser.parse_args()
    parts = [part for part in options.only.split(",") if part]
    if options.work:
        work(options.work, parts, options.results)
        return
    names = [
        name
        for name, case in CASES.items()
        if case.refused is None and (not parts or any(part in name for part in parts))
    ][:: options.every]
    with tempfile.TemporaryDirectory() as folder:
        results = options.results or Path(folder) / "results.jsonl"
        for tool in filter(installed, options.tools.split(",")):
            drive(tool, names, results)
        print(versions())
        print(table(results, names))


if __name__ == "__main__":
    main()
