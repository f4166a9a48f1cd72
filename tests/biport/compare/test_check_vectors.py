import dataclasses
import io
import json
import math
import zipfile
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from biport import ops, reference
from biport.compare import check_vectors
from biport.compare.check_vectors import Case, CheckVectors, make_vectors
from biport.compare.tolerance import Verdict
from biport.errors import FileError, UnsupportedError
from biport.graph import Graph, Node, Value
from testing.graphs import classifier, dense, lstm, normal, two_inputs

GRAPH = classifier(np.random.default_rng(0))
VECTORS = make_vectors(GRAPH)


def in_float32(graph: Graph) -> Callable[[list[np.ndarray]], Sequence[np.ndarray]]:
    return lambda arrays: reference.run(graph, arrays, "float32")


def unmasked(rng: np.random.Generator, width: int = 4) -> Graph:
    nodes = (Node("lstm", lstm(rng, width, 3), ("x",)), Node("head", dense(rng, 3, 2), ("lstm",)))
    return Graph((Value("x", ("N", "T", width), "float32"),), nodes, ("head",))


def packed(members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def members_of(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def npy(array: Any, **options: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, array, **options)
    return file.getvalue()


def with_meta(**changes: Any) -> bytes:
    members = members_of(VECTORS.to_bytes())
    meta = json.loads(np.load(io.BytesIO(members["meta.npy"])).tobytes())
    members["meta.npy"] = npy(np.frombuffer(json.dumps(meta | changes).encode(), "uint8"))
    return packed(members)


def with_array(name: str, data: bytes) -> bytes:
    return packed(members_of(VECTORS.to_bytes()) | {f"{name}.npy": data})


def test_the_model_itself_is_the_same_and_any_other_is_not() -> None:
    report = VECTORS.judge(in_float32(GRAPH))
    assert report.ok
    assert report.digest == GRAPH.digest()
    assert [line.level for line in report.lines] == ["L2"]
    head = GRAPH["head"].op
    assert isinstance(head, ops.Dense)
    assert head.bias is not None
    changed = dataclasses.replace(head, bias=head.bias + np.array([1e-4, 0, 0], "float32"))
    other = Graph(
        GRAPH.inputs,
        tuple(dataclasses.replace(node, op=changed) if node.name == "head" else node for node in GRAPH.nodes),
        GRAPH.outputs,
    )
    assert VECTORS.judge(in_float32(other)).verdict is Verdict.DIFFERENT


def test_a_fault_under_one_pattern_of_mask_alone_is_seen_and_named() -> None:
    def wrong_for_padding_on_the_left(arrays: list[np.ndarray]) -> list[np.ndarray]:
        (ids,) = arrays
        outputs = reference.run(GRAPH, arrays, "float32")
        return [np.where((ids[:, :1] == 0) & (ids[:, -1:] != 0), output + 0.1, output) for output in outputs]

    report = VECTORS.judge(wrong_for_padding_on_the_left)
    assert report.verdict is Verdict.DIFFERENT
    assert report.worst is not None
    assert report.worst.error.worst[0] in ("left", "holes", "all padding")


@pytest.mark.parametrize("graph", [GRAPH, two_inputs()], ids=["one input", "two"])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_all_cases_at_once_are_the_same_numbers(graph: Graph, dtype: str) -> None:
    cases = {name: case.inputs for name, case in make_vectors(graph).cases.items()}
    for name, outputs in reference.run_cases(graph, cases, dtype).items():
        for one, other in zip(outputs, reference.run(graph, cases[name], dtype), strict=True):
            assert one.dtype == other.dtype
            np.testing.assert_array_equal(one, other)


def test_there_are_batches_of_every_pattern_that_the_model_may_meet() -> None:
    assert list(VECTORS.cases) == ["full", "right", "left", "holes", "all padding", "one step"]
    assert list(make_vectors(GRAPH, patterns=("full", "right")).cases) == ["full", "right", "one step"]
    assert list(make_vectors(unmasked(np.random.default_rng(0))).cases) == ["full", "one step"]


def test_wide_models_get_smaller_batches() -> None:
    wide = make_vectors(unmasked(np.random.default_rng(0), 3000))
    assert [case.inputs[0].shape for case in wide.cases.values()] == [(1, 2, 3000), (1, 1, 3000)]


def test_a_file_has_the_same_bytes_every_time_and_gives_the_same_vectors() -> None:
    data = VECTORS.to_bytes()
    read = CheckVectors.from_bytes(data)
    assert read.to_bytes() == data == make_vectors(GRAPH).to_bytes() != make_vectors(GRAPH, 1).to_bytes()
    assert (read.inputs, read.outputs) == (("ids",), ("head",))
    assert read.judge(in_float32(GRAPH)).to_json() == VECTORS.judge(in_float32(GRAPH)).to_json()
    assert all(array.flags.writeable for case in read.cases.values() for array in case.inputs)


def test_numpy_reads_the_file_without_pickles() -> None:
    vectors = make_vectors(two_inputs())
    with np.load(io.BytesIO(vectors.to_bytes()), allow_pickle=False) as arrays:
        meta = json.loads(arrays["meta"].tobytes())
        assert meta["format"] == check_vectors.FORMAT
        for number, name in enumerate(meta["cases"]):
            for index, exact in enumerate(vectors.cases[name].outputs):
                np.testing.assert_array_equal(arrays[f"{number}/output/{index}"], exact)


def test_texts_and_empty_arrays_travel() -> None:
    texts = np.array(["a b", "", "née \U0001f600"])
    case = Case([texts, np.zeros((0, 3), "float32"), np.array(True)], [np.zeros((3, 0))])
    read = CheckVectors.from_bytes(CheckVectors("abc", "d", {"one": case}, [0.0], [1.0]).to_bytes())
    for sent, received in zip(case.inputs, read.cases["one"].inputs, strict=True):
        assert sent.dtype == received.dtype
        np.testing.assert_array_equal(sent, received)


@pytest.mark.parametrize(
    "rounding, given, verdict",
    [
        (1e-7, np.array([1.0, np.nan]), Verdict.SAME),
        (1e-7, np.array([1.0 + 9e-6, np.nan]), Verdict.SAME),
        (1e-7, np.array([1.0 + 11e-6, np.nan]), Verdict.DIFFERENT),
        (1e-7, np.array([1.0, 0.0]), Verdict.DIFFERENT),
        (1e-7, np.array([[1.0, np.nan]]), Verdict.DIFFERENT),
        (2e-3, np.array([1.5, np.nan]), Verdict.ILL_CONDITIONED),
        (2e-3, np.array([np.nan, np.nan]), Verdict.DIFFERENT),
        (math.inf, np.array([np.nan, np.nan]), Verdict.ILL_CONDITIONED),
        (math.inf, np.array([[1.0, np.nan]]), Verdict.DIFFERENT),
    ],
)
def test_the_verdict(rounding: float, given: np.ndarray, verdict: Verdict) -> None:
    case = Case([np.zeros(2)], [np.array([1.0, np.nan])])
    vectors = CheckVectors.from_bytes(CheckVectors("x", "y", {"one": case}, [rounding], [1e-5]).to_bytes())
    assert vectors.judge(lambda _: [given]).verdict is verdict


def test_a_model_that_raises_or_gives_another_number_of_outputs_is_different() -> None:
    def fails(_: list[np.ndarray]) -> list[np.ndarray]:
        raise RuntimeError("no kernel\nat all")

    assert VECTORS.judge(fails).lines[0].error.note == "RuntimeError: no kernel"
    assert VECTORS.judge(lambda _: []).lines[0].error.note == "0 outputs instead of 1"


def test_smaller_numbers_are_allowed_four_times_what_they_show() -> None:
    def rough(arrays: list[np.ndarray]) -> list[np.ndarray]:
        return [output + np.float32(0.01) for output in reference.run(GRAPH, arrays, "float32")]

    own = VECTORS.measured(rough, "int8")
    assert own.allowed[0] == pytest.approx(0.04, rel=1e-3)
    assert own.judge(rough).ok
    assert own.judge(rough).lines[0].level == "int8"
    assert own.judge(lambda arrays: [array + 0.05 for array in rough(arrays)]).verdict is Verdict.DIFFERENT
    overflowing = VECTORS.measured(lambda arrays: [array * np.nan for array in rough(arrays)], "float16")
    assert overflowing.judge(rough).verdict is Verdict.ILL_CONDITIONED


def test_what_is_too_large_is_not_written() -> None:
    rng = np.random.default_rng(0)
    node = Node("table", ops.Embedding(num_embeddings=2, embedding_dim=60, weight=normal(rng, 2, 60)), ("x",))
    graph = Graph((Value("x", ("N", 20_000), "int32"),), (node,), ("table",))
    with pytest.raises(UnsupportedError, match="check vectors: bytes="):
        make_vectors(graph)


HOSTILE = {
    "no archive": (b"PK" + bytes(50), "truncated or damaged"),
    "truncated": (VECTORS.to_bytes()[:-30], "truncated or damaged"),
    "too many bytes": (bytes(check_vectors.MAX_BYTES + 1), "has 16777217 bytes"),
    "a pickle": (with_array("0/input/0", npy(np.array([{}], object), allow_pickle=True)), "holds object"),
    "a structure": (with_array("0/input/0", npy(np.zeros(1, [("a", "i4")]))), r"holds \[\('a'"),
    "times": (with_array("0/input/0", npy(np.zeros(1, "M8[s]"))), "holds datetime64"),
    "an order": (with_array("0/input/0", npy(np.zeros((2, 3), order="F"))), "in C order"),
    "a huge shape": (
        with_array("0/input/0", npy(np.zeros((5, 7))).replace(b"(5, 7), ", b"(1<<50),", 1)),
        "truncated or damaged",
    ),
    "another huge shape": (
        with_array("0/input/0", npy(np.zeros((5, 7))).replace(b"(5, 7), }   ", b"(5, 7000), }", 1)),
        "declares float64 of shape",
    ),
    "NaN": (with_array("0/input/0", npy(np.full((2, 6), np.nan))), "NaN or infinite"),
    "no characters": (
        with_array("0/input/0", npy(np.array(["a"])).replace(b"a\0\0\0", b"\xff" * 4)),
        "characters",
    ),
    "more": (with_array("9/input/0", npy(np.zeros(1))), "no arrays of check vectors: 9/input/0"),
    "less": (
        packed({n: d for n, d in members_of(VECTORS.to_bytes()).items() if n != "0/output/0.npy"}),
        "has no array 0/output/0",
    ),
    "a bomb": (with_array("0/input/0", bytes(check_vectors.MAX_BYTES + 10**5)), "declares 1[0-9]+ bytes"),
    "bzip2": (packed(members_of(VECTORS.to_bytes()), zipfile.ZIP_BZIP2), "neither stored nor deflated"),
    "another format": (with_meta(format="biport-check-2"), "this biport reads 'biport-check-1'"),
    "names": (with_meta(inputs=[1]), "inputs should be a list of texts"),
    "a name twice": (with_meta(cases=["full"] * 6), "each once"),
    "no names": (with_meta(outputs=[]), "one or more"),
    "no text": (with_meta(digest=3), "digest should be a text"),
    "too few": (with_meta(allowed=[]), "allowed should be a number"),
    "nothing": (with_meta(allowed=[None]), "found None"),
    "not a number": (with_meta(allowed=[math.nan]), "found nan"),
    "everything": (with_meta(allowed=[math.inf]), "found inf"),
    "below zero": (with_meta(rounding=[-1]), "or null, found -1"),
    "digits": (with_meta(rounding=[10**400]), "truncated or damaged"),
    "nested": (
        with_array("meta", npy(np.frombuffer(b"[" * 10**5, "uint8"))),
        "truncated or damaged",
    ),
    "many cases": (with_meta(cases=[str(i) for i in range(100)]), "100 cases"),
}


@pytest.mark.parametrize("data, message", HOSTILE.values(), ids=HOSTILE)
def test_damaged_and_hostile_files_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(FileError, match=f"^m.onnx: .*{message}"):
        CheckVectors.from_bytes(data, "m.onnx")


def test_two_members_of_one_name_are_refused() -> None:
    file = io.BytesIO(VECTORS.to_bytes())
    with zipfile.ZipFile(file, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("meta.npy", b"")
    with pytest.raises(FileError, match="two members of one name"):
        CheckVectors.from_bytes(file.getvalue())


def test_any_damaged_byte_is_a_typed_error_or_the_same_kind_of_vectors() -> None:
    data, rng = VECTORS.to_bytes(), np.random.default_rng(0)
    for position in rng.choice(len(data), 200, replace=False):
        damaged = bytearray(data)
        damaged[position] ^= 1 << int(rng.integers(8))
        try:
            assert CheckVectors.from_bytes(bytes(damaged)).cases
        except FileError:
            continue
