"""Whether CUDA runs every recurrent node, gives the right numbers under every mask, and how fast.

    python benchmarks/on_cuda.py                          # where a GPU and onnxruntime-gpu are: some minutes
    python benchmarks/on_cuda.py --provider cpu --quick   # the same checks on the CPU: tries this script

For each kind of layer, structure and lowering a file is written, and run on every pattern of mask, on an
empty batch, on no steps and on rows that are all padding. The table says

- which recurrent nodes, loops and products ran on which provider, by onnxruntime's own profile of the runs;
  what did not run where it should, and what onnxruntime said of it, stands below;
- the largest error against the float64 reference, over what the policy of `biport.compare.tolerance`
  allows, with TF32 off: above 1 it is wrong;
- times: torch over packed sequences, and the module that biport writes, over the file's, with TF32 off in
  all. What is timed goes from arrays in main memory to arrays in main memory.

The exit status is 0 where every node ran where it should and every number is right, 1 where not, and 2 where
there is no CUDA: nothing was checked then.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
import torch
from torch import nn
from torch.nn.utils.rnn import pack_padded_sequence

import export
import torch_side
from biport import ops, reference
from biport.app.measure import machine, take_turns
from biport.compare.cases import CASES, random_cases
from biport.compare.outcomes import errors_of
from biport.compare.tolerance import Verdict, float32_floor, judge_float32
from biport.graph import Graph, Node, Value
from biport.tables import markdown_table
from export.runtime.providers import CPU, CUDA, HEAVY

PROVIDERS = {"cpu": CPU, "cuda": CUDA}
I, H = 24, 32
KINDS: dict[str, tuple[type[ops.Cell], dict[str, Any]]] = {
    "LSTM": (ops.LSTM, {}),
    "GRU": (ops.GRU, {"reset_after": True}),
    "GRU, reset before": (ops.GRU, {"reset_after": False}),
    "RNN": (ops.RNN, {}),
}
TORCH = {"LSTM": nn.LSTM, "GRU": nn.GRU, "RNN": nn.RNN}
STRUCTURES = ("forwards", "backwards", "both ways", "two layers", "two layers both ways")
BATCHES = dict(CASES) | {
    "empty batch": (0, 6, ("full",)),
    "no steps": (3, 0, ("full",)),
    "nothing but padding": (3, 5, ("all padding",)),
    "every pattern": (10, 17, ("full", "right", "left", "holes", "all padding")),
}
TIMED = ((1, 100), (32, 300), (128, 300))
"""N and T."""


class Packed(nn.Module):
    """What a person writes: torch's layer over packed rows."""

    def __init__(self, kind: str, structure: str, size: int) -> None:
        super().__init__()
        layers = 2 if "two layers" in structure else 1
        both = "both ways" in structure
        self.layer = TORCH[kind](size, size, layers, batch_first=True, bidirectional=both)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        packed = pack_padded_sequence(x, mask.sum(1).cpu(), batch_first=True, enforce_sorted=False)
        _, state = self.layer(packed)
        return state[0] if isinstance(state, tuple) else state


def cell(rng: np.random.Generator, kind: str, sizes: tuple[int, int], **settings: Any) -> ops.Cell:
    cls, own = KINDS[kind]

    def gates(*shape: int) -> dict[str, np.ndarray]:
        return {gate: rng.normal(scale=sizes[1] ** -0.5, size=shape).astype("float32") for gate in cls.gates}

    two = own.get("reset_after", False)
    return cls(
        input_size=sizes[0],
        hidden_size=sizes[1],
        weight_ih=gates(sizes[1], sizes[0]),
        weight_hh=gates(sizes[1], sizes[1]),
        bias_ih=gates(sizes[1]),
        bias_hh=gates(sizes[1]) if two else None,
        **own,
        **settings,
    )


def layer(
    rng: np.random.Generator, kind: str, sizes: tuple[int, int], structure: str, sequences: bool
) -> ops.Op:
    rule = {"return_sequences": sequences}
    if "both ways" not in structure:
        return cell(rng, kind, sizes, reverse=structure == "backwards", **rule)
    rule["zero_output_for_mask"] = sequences
    directions = [cell(rng, kind, sizes, reverse=reverse, **rule) for reverse in (False, True)]
    return ops.Bidirectional(forward=directions[0], backward=directions[1], merge="concat")


def recurrent(kind: str, structure: str, sizes: tuple[int, int] = (I, H)) -> Graph:
    """One layer or two under a mask; every step of the last one and the last state are outputs."""
    rng = np.random.default_rng(0)
    given, I_of_last, nodes = "x", sizes[0], []
    if "two layers" in structure:
        nodes.append(Node("first", layer(rng, kind, sizes, structure, True), ("x",), masks=("mask",)))
        given, I_of_last = "first", sizes[1] * (2 if "both ways" in structure else 1)
    for name, sequences in (("steps", True), ("last", False)):
        op = layer(rng, kind, (I_of_last, sizes[1]), structure, sequences)
        nodes.append(Node(name, op, (given,), masks=("mask",)))
    inputs = Value("x", ("N", "T", sizes[0]), "float32"), Value("mask", ("N", "T"), "bool")
    return Graph(inputs, tuple(nodes), ("steps", "last"))


def conv_lstm() -> Graph:
    """A ConvLSTM2D, which is a loop in ONNX."""
    rng = np.random.default_rng(0)

    def gates(*shape: int) -> dict[str, np.ndarray]:
        return {gate: rng.normal(scale=0.3, size=shape).astype("float32") for gate in ops.ConvLSTM2D.gates}

    op = ops.ConvLSTM2D(
        input_size=3,
        hidden_size=4,
        kernel_size=(3, 3),
        padding="same",
        weight_ih=gates(4, 3, 3, 3),
        weight_hh=gates(4, 4, 3, 3),
        bias=gates(4),
        return_sequences=True,
    )
    inputs = Value("x", ("N", "T", 6, 5, 3), "float32"), Value("mask", ("N", "T"), "bool")
    return Graph(inputs, (Node("steps", op, ("x",), masks=("mask",)),), ("steps",))


@dataclass
class Checked:
    """What came of one file.

    Args:
        ran: how often nodes of an operator ran on a provider, heavy ones alone.
        error: the largest error over what is allowed, of all outputs and cases.
        problems: what is not as it should be, in words.
    """

    ran: Counter[tuple[str, str]]
    error: float
    problems: list[str]


@contextlib.contextmanager
def standard_error() -> Iterator[list[str]]:
    """What the C++ of onnxruntime writes there meanwhile, line by line."""
    lines: list[str] = []
    with tempfile.TemporaryFile() as file:
        before = os.dup(2)
        os.dup2(file.fileno(), 2)
        try:
            yield lines
        finally:
            os.dup2(before, 2)
            os.close(before)
            file.seek(0)
            lines += file.read().decode(errors="replace").splitlines()


def opened(path: Path, provider: str, profile: Path) -> tuple[ort.InferenceSession, list[str]]:
    """A session that writes a profile, set as `export.Session` sets it; and what was said of its nodes."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.enable_profiling, options.profile_file_prefix = True, str(profile)
    options.log_severity_level = 1
    wanted = [(CUDA, {"use_tf32": "0"}), CPU] if provider == CUDA else [CPU]
    with standard_error() as lines:
        session = ort.InferenceSession(str(path), options, providers=wanted, enable_fallback=0)
    return session, [line for line in lines if "allback" in line or "not found in registries" in line]


def profiled(session: ort.InferenceSession) -> Counter[tuple[str, str]]:
    """Operator and provider of every heavy node that ran, by how often."""
    with standard_error():
        written = session.end_profiling()
    events = json.loads(Path(written).read_text())
    ran = [event["args"] for event in events if event.get("cat") == "Node" and "provider" in event["args"]]
    return Counter((one["op_name"], one["provider"]) for one in ran if one["op_name"] in HEAVY)


def check(graph: Graph, lowering: str, provider: str, folder: Path) -> Checked:
    """Write a file and try it."""
    path = export.write(graph, folder / "model.onnx", lowering=lowering, overwrite=True).path
    session, said = opened(path, provider, folder / "profile")
    cases = random_cases(graph, 0, BATCHES)
    names = [value.name for value in graph.inputs]
    exact, rounded = (reference.run_cases(graph, cases, dtype) for dtype in ("float64", "float32"))
    results: dict[str, Sequence[np.ndarray]] = {}
    problems = []
    for case, arrays in cases.items():
        try:
            given = session.run([*graph.outputs], dict(zip(names, arrays, strict=True)))
            results[case] = [np.asarray(array) for array in given]
        except Exception as error:  # onnxruntime's errors share no class but this one
            problems.append(f"{case}: {str(error).splitlines()[0]}")
    compared = {case: exact[case] for case in results}
    errors = errors_of(results, compared, len(graph.outputs))
    own = errors_of({case: rounded[case] for case in results}, compared, len(graph.outputs))
    worst = 0.0
    for output, error, one in zip(graph.outputs, errors, own, strict=True):
        verdict, allowed = judge_float32(error, one, None, float32_floor(graph))
        worst = max(worst, error.maximum / allowed)
        if verdict is not Verdict.SAME:
            problems.append(f"{output}: {verdict}, {error.maximum:.1e} of {allowed:.1e}, at {error.worst}")
    ran = profiled(session)
    astray = sorted({operator for operator, where in ran if where != provider})
    if astray:
        problems.append(f"{', '.join(astray)} did not run on {provider}")
        problems += [f"onnxruntime: {line[-200:]}" for line in said if any(kind in line for kind in astray)]
    if not ran:
        problems.append("no recurrent node and no loop is in the profile")
    return Checked(ran, worst, problems)


def timed(kind: str, structure: str, lowering: str, device: str, seconds: float, folder: Path) -> list[str]:
    """How many times as long as the file torch takes, packed and as biport writes it, at each of `TIMED`."""
    size = 128
    graph = recurrent(kind, structure, (size, size))
    last = tuple(node for node in graph.nodes if node.name != "steps")
    graph = Graph(graph.inputs, last, ("last",))
    path = export.write(graph, folder / "timed.onnx", lowering=lowering, overwrite=True).path
    session = export.Session(path, device, threads=1)
    module = torch_side.write(graph).to(device)
    packed = Packed(kind, structure, size).to(device).eval() if kind in TORCH else None
    rng, ratios = np.random.default_rng(0), []
    for N, T in TIMED:
        x = rng.normal(size=(N, T, size)).astype("float32")
        lengths = rng.integers(T // 5, T + 1, (N, 1))
        mask = np.arange(T) < lengths

        def run(one: nn.Module, x: np.ndarray = x, mask: np.ndarray = mask) -> Any:
            with torch.no_grad():
                return one(torch.from_numpy(x).to(device), torch.from_numpy(mask).to(device)).cpu().numpy()

        turns = {"file": lambda x=x, mask=mask: session.run([x, mask]), "written": lambda: run(module)}
        if packed is not None and structure != "backwards":
            turns["packed"] = lambda one=packed: run(one)
        times = take_turns(turns, seconds=seconds)
        of_torch = [
            f"{times.ratio(name, 'file'):.2f}" if name in turns else "-" for name in ("packed", "written")
        ]
        ratios.append(f"{times.median('file'):.2f} ms: {of_torch[0]}, {of_torch[1]}")
    return ratios


def without_cuda() -> str | None:
    """Why nothing can be checked here; ``None`` where CUDA is there."""
    if CUDA not in ort.get_available_providers():
        return "this onnxruntime is built for the CPU alone (onnxruntime-gpu has CUDA)"
    if hasattr(ort, "preload_dlls"):
        ort.preload_dlls()
    with tempfile.TemporaryDirectory() as folder:
        path = export.write(recurrent("LSTM", "forwards"), Path(folder) / "tried.onnx").path
        try:
            with standard_error():
                session = ort.InferenceSession(str(path), providers=[CUDA, CPU], enable_fallback=0)
        except Exception as error:  # onnxruntime's errors share no class but this one
            return str(error).splitlines()[0]
        return (
            None if CUDA in session.get_providers() else "onnxruntime left CUDA out: no driver, CUDA or cuDNN"
        )


def models(quick: bool) -> Iterator[tuple[str, str, Graph]]:
    """Kind, structure and graph of each model."""
    kinds, structures = [*KINDS], [*STRUCTURES]
    if quick:
        kinds, structures = ["LSTM", "GRU, reset before"], ["backwards", "two layers both ways"]
    for kind, structure in itertools.product(kinds, structures):
        yield kind, structure, recurrent(kind, structure)
    yield "ConvLSTM2D", "forwards", conv_lstm()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--provider", choices=[*PROVIDERS], default="cuda")
    parser.add_argument("--quick", action="store_true", help="a few models, and no times")
    parser.add_argument("--seconds", type=float, default=0.5, help="for each time")
    given = parser.parse_args(arguments)
    if given.provider == "cuda" and (why := without_cuda()) is not None:
        print(f"nothing was checked, there is no CUDA here: {why}")
        return 2
    torch.set_num_threads(1)
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    in_torch = given.provider == "cpu" or torch.cuda.is_available()
    provider, rows, problems = PROVIDERS[given.provider], [], []
    for (kind, structure, graph), lowering in itertools.product(models(given.quick), ("fused", "auto")):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            found = check(graph, lowering, provider, folder)
            ratios = ["-"] * len(TIMED)
            if kind in KINDS and in_torch and not given.quick and not found.problems:
                ratios = timed(kind, structure, lowering, given.provider, given.seconds, folder)
        ran = [
            f"{op} {where.removesuffix('ExecutionProvider')} {n}"
            for (op, where), n in sorted(found.ran.items())
        ]
        verdict = "no" if found.problems else "yes"
        rows.append(
            [f"{kind}, {structure}, {lowering}", verdict, f"{found.error:.2f}", "; ".join(ran), *ratios]
        )
        problems += [f"{kind}, {structure}, {lowering}: {problem}" for problem in found.problems]
    print(machine("onnxruntime", "onnxruntime-gpu", "torch"))
    if not in_torch:
        print("this torch has no CUDA: nothing was timed")
    shapes = [f"N{N} T{T}: file; packed, written / file" for N, T in TIMED]
    print(f"provider {provider}, TF32 off; {len(BATCHES)} cases each: {', '.join(BATCHES)}\n")
    print(markdown_table([["", "right", "error / allowed", "runs of nodes", *shapes], *rows], "<<><"))
    print("", *problems, sep="\n" if problems else "")
    print("all is right" if not problems else f"{len(problems)} things are not as they should be")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
