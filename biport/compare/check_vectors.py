"""Check vectors: small inputs and the oracle's outputs, which travel with a model so that it proves itself.

They are made once, where the model is written, and judged wherever and whenever it runs: no other form of the
model is needed, and nothing of this package but this module and numpy. What is allowed is level L2 of
`biport.compare.tolerance`, for a form that is compared with the oracle alone: the source's.

**The error** of an output, with ``x`` what was given and ``e`` what is stored, both taken as float64:
infinite where ``x`` has another shape than ``e``, and where ``e`` is NaN or infinite and ``x`` is not the
same there, or the other way round (*astray*); otherwise ``max|x - e| / max(1, max|e|)`` over the finite
elements of ``e``, or 0 where there are none. Of several cases the largest counts.

**The verdict** on an output, the first of these that applies:

1. *different* where the model raises, gives another number of outputs, or another shape;
2. *ill-conditioned* where ``rounding`` is null: float32 alone leaves its range;
3. *different* where numbers are astray;
4. *ill-conditioned* where ``rounding`` is above `biport.compare.tolerance.ILL_CONDITIONED`, 1e-3;
5. *same* where the error is at most ``allowed``, else *different*.

The verdict on the model is *different* if that of an output is, else *ill-conditioned* if that of an output
is, else *same*.

**The file** is an ``.npz``: a zip archive, members stored or deflated, of arrays in NumPy's format: booleans,
integers, floats or fixed-width Unicode, little-endian, in C order; never a pickle.

- ``meta.npy``: bytes (uint8) of JSON in UTF-8::

      {"format": "biport-check-1", "biport": version, "digest": of the graph or "", "precision": "float32",
       "inputs": [names in order], "outputs": [names in order], "cases": [names],
       "rounding": [a number or null for each output], "allowed": [a number for each output]}

- ``CASE/input/I.npy`` and ``CASE/output/O.npy``: the arrays, by number, from 0.
"""

from __future__ import annotations

import dataclasses
import io
import json
import lzma
import math
import struct
import sys
import zipfile
import zlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from biport import reference
from biport.compare.cases import PATTERNS, Batches, padding_values, random_cases
from biport.compare.outcomes import errors_of, run_all
from biport.compare.report import Line, Report
from biport.compare.tolerance import FACTOR, Error, float32_floor, judge, judge_float32
from biport.errors import FileError, InputError, UnsupportedError
from biport.file_kind import BoundedFile
from biport.graph import Graph
from biport.inputs import letters, row_lengths, size_at
from biport.version import __version__

FORMAT = "biport-check-1"
META = "meta"
MAX_BYTES = 16 * 2**20
"""Bytes of the file, and of all its arrays together."""
MAX_META = 2**20
MAX_CASES = 64
SMALL_ENOUGH = 96 * 2**10
"""Bytes of arrays; of a model whose batches have more, the batches are those of `SMALLEST`."""

BATCHES: Batches = {
    "full": (2, 6, ("full",)),
    "right": (3, 6, ("right",)),
    "left": (3, 6, ("left",)),
    "holes": (3, 7, ("holes",)),
    "all padding": (2, 5, ("all padding", "holes")),
    "one step": (1, 1, ("full",)),
}
SMALLEST: Batches = {
    "full": (1, 2, ("full",)),
    "right": (1, 2, ("right",)),
    "left": (1, 2, ("left",)),
    "holes": (1, 3, ("holes",)),
    "all padding": (1, 2, ("all padding",)),
    "one step": (1, 1, ("full",)),
}

_DAMAGED = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, NotImplementedError),
    *(EOFError, OSError, OverflowError, RuntimeError, ValueError, TypeError, SyntaxError, MemoryError),
)
"""What reading a zip archive, an array or JSON ends in when the bytes are not what they should be."""


@dataclass(frozen=True, eq=False)
class Case:
    """One batch: an array for each input, and what the oracle gives, an array for each output."""

    inputs: Sequence[np.ndarray]
    outputs: Sequence[np.ndarray]


@dataclass(frozen=True, eq=False)
class CheckVectors:
    """What a model is to give, and how far off it may be.

    Args:
        inputs: the names of the inputs, in order.
        outputs: of the outputs.
        cases: the batches, by what they are like; see `biport.compare.cases.PATTERNS`.
        rounding: for each output, what float32 alone does to it: the error of the reference run in float32;
            infinite where the model leaves the range of float32.
        allowed: for each output, the largest error.
        precision: of the model that they are for: ``"float32"``, or that of which ``allowed`` was measured.
        digest: of the graph that they were made from, where there was one.
        version: of the biport that made them.
    """

    inputs: Sequence[str]
    outputs: Sequence[str]
    cases: Mapping[str, Case]
    rounding: Sequence[float]
    allowed: Sequence[float]
    precision: str = "float32"
    digest: str = ""
    version: str = __version__

    def judge(self, run: Callable[[list[np.ndarray]], Sequence[np.ndarray]], form: str = "model") -> Report:
        """Run a model on every case; the report has a line for each output.

        Args:
            run: from a list of the inputs to the outputs, both in order. What it raises is a difference.
            form: what the report calls it.

        Example:
            >>> from biport import ops
            >>> from biport.graph import Node, Value
            >>> node = Node("y", ops.PReLU(alpha=np.full((1, 3), 0.25, "float32")), ("x",))
            >>> graph = Graph((Value("x", ("N", "T", 3), "float32"),), (node,), ("y",))
            >>> vectors = CheckVectors.from_bytes(make_vectors(graph).to_bytes())
            >>> str(vectors.judge(lambda arrays: [np.where(arrays[0] < 0, arrays[0] / 4, arrays[0])]).verdict)
            'same'
            >>> str(vectors.judge(lambda arrays: [np.where(arrays[0] < 0, arrays[0] / 5, arrays[0])]).verdict)
            'different'
        """
        level = "L2" if self.precision == "float32" else self.precision
        lines = [
            Line(form, output, level, judge(error, Error(rounding, rounding), allowed), error, allowed)
            for output, error, rounding, allowed in zip(
                self.outputs, self.errors(run), self.rounding, self.allowed, strict=True
            )
        ]
        return Report(lines, cases=list(self.cases), digest=self.digest)

    def errors(self, run: Callable[[list[np.ndarray]], Sequence[np.ndarray]]) -> list[Error]:
        """The error of each output over all cases; ``run`` as for `judge`."""
        results = run_all(run, {name: case.inputs for name, case in self.cases.items()})
        oracle = {name: case.outputs for name, case in self.cases.items()}
        return errors_of(results, oracle, len(self.outputs))

    def measured(
        self, run: Callable[[list[np.ndarray]], Sequence[np.ndarray]], precision: str
    ) -> CheckVectors:
        """The same for a model of smaller numbers, which is held to what it shows here.

        Nobody says how exact such a model has to be. It is allowed four times its own error, as any other
        machine may have; where its numbers are not finite, nothing is known, and the verdict is
        *ill-conditioned*.

        Args:
            run: the model, as for `judge`.
            precision: what its numbers are: ``"int8"``.
        """
        own = [error.maximum for error in self.errors(run)]
        pairs = list(zip(own, self.rounding, self.allowed, strict=True))
        return dataclasses.replace(
            self,
            precision=precision,
            digest="",
            rounding=[rounding if math.isfinite(error) else math.inf for error, rounding, _ in pairs],
            allowed=[
                max(FACTOR * error, allowed) if math.isfinite(error) else allowed
                for error, _, allowed in pairs
            ],
        )

    def to_bytes(self) -> bytes:
        """The file; equal for equal vectors.

        Raises:
            UnsupportedError: it would be larger than `MAX_BYTES`.
        """
        meta = {
            "format": FORMAT,
            "biport": self.version,
            "digest": self.digest,
            "precision": self.precision,
            "inputs": list(self.inputs),
            "outputs": list(self.outputs),
            "cases": list(self.cases),
            "rounding": [number if math.isfinite(number) else None for number in self.rounding],
            "allowed": [float(number) for number in self.allowed],
        }
        arrays = {META: np.frombuffer(json.dumps(meta).encode(), "uint8")}
        for number, case in enumerate(self.cases.values()):
            arrays |= {f"{number}/input/{i}": array for i, array in enumerate(case.inputs)}
            arrays |= {f"{number}/output/{i}": array for i, array in enumerate(case.outputs)}
        _check_size(sum(array.nbytes for array in arrays.values()))
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, array in arrays.items():
                member = io.BytesIO()
                little = array.astype(array.dtype.newbyteorder("<"), order="C", copy=False)
                np.lib.format.write_array(member, little, version=(1, 0), allow_pickle=False)
                # Without the time of day, so that the same vectors are the same bytes.
                info = zipfile.ZipInfo(f"{name}.npy")
                info.compress_type = zipfile.ZIP_DEFLATED
                archive.writestr(info, member.getvalue())
        return file.getvalue()

    @staticmethod
    def from_bytes(data: bytes, owner: str = "check vectors") -> CheckVectors:
        """The vectors of a file, which may come from anywhere.

        Args:
            data: the file.
            owner: what errors call it.

        Raises:
            FileError: it is damaged, larger than `MAX_BYTES` or says so, or no check vectors.
        """
        if len(data) > MAX_BYTES:
            raise FileError(f"{owner}: has {len(data)} bytes, check vectors have {MAX_BYTES} at most")
        try:
            with BoundedFile(owner, data) as file, zipfile.ZipFile(file) as archive:
                file.unbounded()
                return _read(archive)
        except FileError as error:
            raise FileError(f"{owner}: {str(error).removeprefix(f'{owner}: ')}") from error
        except (*_DAMAGED, RecursionError, KeyError) as error:
            raise FileError(f"{owner}: truncated or damaged, not whole check vectors ({error})") from error


def make_vectors(
    graph: Graph, seed: int = 0, *, patterns: Collection[str] = PATTERNS, digest: str | None = None
) -> CheckVectors:
    """Check vectors of a model: small batches under every pattern of mask that it may meet.

    Args:
        graph: the model.
        seed: of the inputs.
        patterns: of masks, which it is made for; see `biport.compare.cases.PATTERNS`.
        digest: the graph's, where it is known already.

    Raises:
        UnsupportedError: the smallest batches would make a file of more than `MAX_BYTES`.
        InputError: the model takes none of the batches.
    """
    if not _sees_masks(graph):
        patterns = ("full",)
    cases = random_cases(graph, seed, _within(BATCHES, patterns))
    if _bytes(graph, cases) > SMALL_ENOUGH:
        cases = random_cases(graph, seed, _within(SMALLEST, patterns))
    _check_size(_bytes(graph, cases))
    try:
        return of_cases(graph, cases, graph.digest() if digest is None else digest)
    except (ValueError, IndexError) as error:
        # A size that the graph calls free is not: something in it has that many elements.
        raise InputError(f"the model does not run on batches of other sizes: {error}") from error


def of_cases(graph: Graph, cases: Mapping[str, Sequence[np.ndarray]], digest: str) -> CheckVectors:
    """Check vectors of inputs that were made elsewhere; see `make_vectors`."""
    exact, rounded = (reference.run_cases(graph, cases, dtype) for dtype in ("float64", "float32"))
    names = [value.name for value in graph.inputs]
    return of_results(names, graph.outputs, cases, exact, rounded, float32_floor(graph), digest)


def of_results(
    inputs: Sequence[str],
    outputs: Sequence[str],
    cases: Mapping[str, Sequence[np.ndarray]],
    exact: Mapping[str, Sequence[np.ndarray]],
    rounded: Mapping[str, Sequence[np.ndarray]],
    floor: float,
    digest: str = "",
) -> CheckVectors:
    """Check vectors of results.

    Args:
        inputs: the names of the inputs.
        outputs: of the outputs.
        cases: the inputs.
        exact: by case, what the oracle gives.
        rounded: what it gives in float32.
        floor: what rounding may always do in float32; see `biport.compare.tolerance.float32_floor`.
        digest: of the graph.
    """
    rounding = errors_of(rounded, exact, len(outputs))
    return CheckVectors(
        tuple(inputs),
        tuple(outputs),
        {case: Case(arrays, [np.asarray(array) for array in exact[case]]) for case, arrays in cases.items()},
        tuple(error.maximum for error in rounding),
        tuple(judge_float32(error, error, None, floor)[1] for error in rounding),
        digest=digest,
    )


def _sees_masks(graph: Graph) -> bool:
    """Whether some steps of an input may not count."""
    masked = any(mask is not None for node in graph.nodes for mask in node.masks)
    given = any(value.dtype == "bool" for value in graph.inputs)
    return masked or given or bool(padding_values(graph)) or bool(row_lengths(graph))


def _within(batches: Batches, patterns: Collection[str]) -> Batches:
    """The batches whose rows have no other patterns."""
    return {case: batch for case, batch in batches.items() if set(batch[2]) <= set(patterns)}


def _bytes(graph: Graph, cases: Mapping[str, Sequence[np.ndarray]]) -> int:
    """Bytes of the inputs and of outputs in float64."""
    total = 0
    for arrays in cases.values():
        sizes = letters(graph.inputs, arrays)
        shapes = [graph.tensors[name].shape for name in graph.outputs]
        total += sum(array.nbytes for array in arrays)
        total += sum(8 * math.prod(size_at(dim, sizes) for dim in shape) for shape in shapes)
    return total


def _check_size(count: int) -> None:
    if count > MAX_BYTES:
        raise UnsupportedError("check vectors", "bytes", count, f"up to {MAX_BYTES}")


def _read(archive: zipfile.ZipFile) -> CheckVectors:
    members = {info.filename: info for info in archive.infolist()}
    if len(members) != len(archive.infolist()):
        raise FileError("has two members of one name")
    if any(info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED) for info in members.values()):
        raise FileError("has members that are neither stored nor deflated")
    total = sum(info.file_size for info in members.values())
    if total > MAX_BYTES + 256 * len(members):
        raise FileError(f"declares {total} bytes of arrays, check vectors have {MAX_BYTES} at most")

    def array(name: str) -> np.ndarray:
        info = members.pop(f"{name}.npy", None)
        if info is None:
            raise FileError(f"has no array {name}")
        with archive.open(info) as member:
            # Asked for everything, zipfile unfolds all there is before it looks at what was declared.
            return _array(member.read(info.file_size), name)

    meta = _meta(array(META))
    cases = {
        case: Case(
            [array(f"{number}/input/{i}") for i in range(len(meta["inputs"]))],
            [array(f"{number}/output/{i}") for i in range(len(meta["outputs"]))],
        )
        for number, case in enumerate(meta["cases"])
    }
    for case, batch in cases.items():
        if not all(np.isfinite(array).all() for array in batch.inputs if array.dtype.kind == "f"):
            raise FileError(f"the inputs of case {case!r} hold NaN or infinite numbers")
    if members:
        raise FileError(f"has members that are no arrays of check vectors: {', '.join(sorted(members)[:5])}")
    return CheckVectors(
        tuple(meta["inputs"]),
        tuple(meta["outputs"]),
        cases,
        tuple(math.inf if number is None else float(number) for number in meta["rounding"]),
        tuple(float(number) for number in meta["allowed"]),
        meta["precision"],
        meta["digest"],
        meta["biport"],
    )


def _array(data: bytes, name: str) -> np.ndarray:
    """An array in NumPy's format, of exactly as many bytes as its shape says."""
    file = io.BytesIO(data)
    if np.lib.format.read_magic(file) != (1, 0):
        raise FileError(f"{name}: is in another version of NumPy's format than 1.0")
    shape, fortran, dtype = np.lib.format.read_array_header_1_0(file)
    if dtype.kind not in "biufU" or dtype.byteorder == ">" or dtype.shape or fortran:
        raise FileError(f"{name}: holds {dtype}, expected plain little-endian numbers or texts in C order")
    content = data[file.tell() :]
    if any(size < 0 for size in shape) or math.prod(shape) * dtype.itemsize != len(content):
        raise FileError(f"{name}: declares {dtype} of shape {shape} and has {len(content)} bytes")
    if dtype.kind == "U" and (np.frombuffer(content, "<u4") > sys.maxunicode).any():
        raise FileError(f"{name}: holds texts of characters that there are not")
    return np.ndarray(shape, dtype, content).copy()


def _meta(array: np.ndarray) -> Mapping[str, Any]:
    """The description, of the types that it should have."""
    if array.nbytes > MAX_META or array.dtype != np.uint8:
        raise FileError(f"{META}: expected up to {MAX_META} bytes")
    meta = json.loads(array.tobytes())
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        told = meta.get("format") if isinstance(meta, dict) else meta
        raise FileError(f"{META}: format {told!r:.60}; this biport reads {FORMAT!r}")
    for name in ("biport", "digest", "precision"):
        if not isinstance(meta.get(name), str):
            raise FileError(f"{META}: {name} should be a text")
    for name in ("inputs", "outputs", "cases"):
        names = meta.get(name)
        if not isinstance(names, list) or not all(isinstance(text, str) for text in names):
            raise FileError(f"{META}: {name} should be a list of texts")
        if len(set(names)) != len(names) or (not names and name != "inputs"):
            raise FileError(f"{META}: {name} should be one or more texts, each once")
    if len(meta["cases"]) > MAX_CASES:
        raise FileError(f"{META}: {len(meta['cases'])} cases, expected {MAX_CASES} at most")
    for name in ("rounding", "allowed"):
        _check_numbers(name, meta.get(name), len(meta["outputs"]))
    return meta


def _check_numbers(name: str, numbers: object, count: int) -> None:
    wanted = "a number from 0 for each output" + (", or null" if name == "rounding" else "")
    if not isinstance(numbers, list) or len(numbers) != count:
        raise FileError(f"{META}: {name} should be {wanted}")
    for number in numbers:
        if number is None and name == "rounding":
            continue
        if not isinstance(number, int | float) or isinstance(number, bool) or not 0 <= number < math.inf:
            raise FileError(f"{META}: {name} should be {wanted}, found {number!r:.60}")
