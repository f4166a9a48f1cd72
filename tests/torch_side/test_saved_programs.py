"""Programs of torch.export: read as torch runs them, and whatever a file holds, nothing of it is executed."""

from __future__ import annotations

import io
import json
import pickle
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn
from torch.export import Dim, ExportedProgram

import torch_side
from biport import reference
from biport.errors import BiportError, FileError, InputError, UnsupportedError, WeightError
from torch_side.reading.exported import OpenProgram
from torch_side.reading.saved_expressions import is_arithmetic


class Tagger(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(7, 4)
        self.rnn = nn.GRU(4, 3, batch_first=True)
        self.out = nn.Linear(3, 2)
        self.shift: torch.Tensor
        self.register_buffer("shift", torch.tensor([0.5, -0.25]))

    def forward(self, ids: torch.Tensor, more: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        x, _ = self.rnn(self.embed(ids))
        tags: torch.Tensor = self.out(x)
        return {"tags": tags + self.shift, "both": more["left"] * more["right"]}


ARGUMENTS = (torch.tensor([[1, 2, 3], [4, 5, 6]]), {"left": torch.rand(2, 4), "right": torch.rand(2, 4)})


@pytest.fixture(scope="module")
def tagger() -> Tagger:
    torch.manual_seed(0)
    return Tagger().eval()


@pytest.fixture(scope="module")
def exported(tagger: Tagger) -> ExportedProgram:
    rows = {0: Dim("rows", max=50)}
    with warnings.catch_warnings():
        # torch takes what nn.GRU does to itself for a change.
        warnings.filterwarnings("ignore", message="The tensor attributes")
        return torch.export.export(
            tagger, ARGUMENTS, dynamic_shapes=(rows, {"left": rows, "right": rows}), strict=False
        )


@pytest.fixture(scope="module")
def saved(exported: ExportedProgram, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("programs") / "tagger.pt2"
    torch.export.save(exported, path)
    return path


@pytest.fixture(scope="module")
def opened(saved: Path) -> OpenProgram:
    return torch_side.open_program(saved)


def test_a_saved_program_is_read(opened: OpenProgram, tagger: Tagger) -> None:
    graph = opened.graph
    assert [f"{value.name}: {value.tensor}" for value in graph.inputs] == [
        "ids: int64 (N, 3)",
        "more_left: float32 (N, 4)",
        "more_right: float32 (N, 4)",
    ]
    assert graph.outputs == ("tags", "both")
    assert {node.name for node in graph.nodes} >= {"embed", "rnn", "out"}
    assert "axis 1 of ids is fixed at 3" in graph.origin["notes"]
    assert "N is 50 at most" in graph.origin["notes"]
    rng = np.random.default_rng(0)
    arrays = [rng.integers(0, 7, (5, 3)), *(rng.normal(size=(5, 4)).astype("float32") for _ in range(2))]
    with torch.no_grad():
        wanted = tagger(
            torch.tensor(arrays[0]), {"left": torch.tensor(arrays[1]), "right": torch.tensor(arrays[2])}
        )
    for one, two in zip(reference.run(graph, arrays, "float32"), wanted.values(), strict=True):
        np.testing.assert_allclose(one, two.numpy(), atol=1e-6)
    for one, two in zip(torch_side.run(opened.module, arrays), wanted.values(), strict=True):
        np.testing.assert_array_equal(one, two.numpy())


def test_a_live_program_is_read(exported: ExportedProgram, opened: OpenProgram, saved: Path) -> None:
    with pytest.warns(UserWarning, match="axis 1 of ids is fixed at 3"):
        assert torch_side.read(exported).digest() == opened.graph.digest()
    with pytest.raises(InputError, match="takes no example"):
        torch_side.read(saved, torch.ones(2, 3))


class Counter(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.total: torch.Tensor
        self.register_buffer("total", torch.zeros(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.total.add_(x.sum(0))
        return x + self.total


def test_what_a_program_keeps_or_drops_is_refused() -> None:
    dropping = torch.export.export(nn.Dropout(0.5), (torch.ones(2, 3),))
    with pytest.raises(UnsupportedError, match=r"training=True is not supported; .*exported of module\.eval"):
        torch_side.read(dropping)
    program = torch.export.export(Counter(), (torch.ones(2, 3),))
    with pytest.raises(UnsupportedError, match="state='total' is not supported; supported: an argument"):
        torch_side.read(program)


Members = dict[str, bytes]
MODEL, WEIGHTS = "models/model.json", "data/weights/model_weights_config.json"


def rewritten(
    saved: Path, target: Path, edit: Callable[[Members], object], method: int = zipfile.ZIP_STORED
) -> Path:
    with zipfile.ZipFile(saved) as archive:
        members = {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}
    edit(members)
    with zipfile.ZipFile(target, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(f"m/{name}", data)
    return target


class Touches:
    """Touches a file where it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return Path.touch, (self.path,)


def everywhere(value: Any, key: str) -> Iterator[dict[str, Any]]:
    """Every mapping in JSON that has a key."""
    if isinstance(value, dict):
        if key in value:
            yield value
        value = list(value.values())
    for part in value if isinstance(value, list) else ():
        yield from everywhere(part, key)


def of_json(member: str, edit: Callable[[Any, Path], object]) -> Callable[[Members, Path], None]:
    def change(members: Members, touched: Path) -> None:
        data = json.loads(members[member])
        edit(data, touched)
        members[member] = json.dumps(data).encode()

    return change


def code(touched: Path) -> str:
    return f"__import__('pathlib').Path({str(touched)!r}).touch()"


def first(data: Any, key: str) -> dict[str, Any]:
    return next(everywhere(data, key))


def nodes(data: Any) -> list[dict[str, Any]]:
    return data["graph_module"]["graph"]["nodes"]


def spec(data: Any, key: str, text: str) -> None:
    first(data, key)[key] = text


def pickled(members: Members, touched: Path) -> None:
    config = json.loads(members[WEIGHTS])
    entry = next(iter(config["config"].values()))
    entry["use_pickle"] = True
    members[WEIGHTS] = json.dumps(config).encode()
    buffer = io.BytesIO()
    torch.save(Touches(touched), buffer)
    members[f"data/weights/{entry['path_name']}"] = buffer.getvalue()


def opaque(members: Members, touched: Path) -> None:
    entry = {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": True, "tensor_meta": None}
    members["data/constants/model_constants_config.json"] = json.dumps({"config": {"c": entry}}).encode()
    members["data/constants/opaque_obj_0"] = pickle.dumps(Touches(touched))


ENUM = json.dumps({"__enum__": True, "fqn": "os:system", "name": "x"})
REFUSED: dict[str, Callable[[Members, Path], object]] = {
    "a size": of_json(MODEL, lambda data, path: first(data, "expr_str").update(expr_str=code(path))),
    "a function": of_json(MODEL, lambda data, path: nodes(data)[0].update(target="torch.os.system")),
    "a file for an operator": of_json(
        MODEL, lambda data, path: nodes(data)[0].update(target="torch.ops.aten.from_file.default")
    ),
    "a name": of_json(MODEL, lambda data, path: nodes(data)[0].update(name=f"x = {code(path)}")),
    "a word": of_json(MODEL, lambda data, path: nodes(data)[0].update(name="import")),
    "a key": of_json(
        MODEL, lambda data, path: data["graph_module"]["graph"]["tensor_values"].update({code(path): {}})
    ),
    "a range": of_json(MODEL, lambda data, path: data["range_constraints"].update({code(path): {}})),
    "a structure": of_json(
        MODEL,
        lambda data, path: spec(
            data, "in_spec", json.dumps([1, {"type": "builtins.dict", "context": ENUM, "children_spec": []}])
        ),
    ),
    "an operator for a graph": of_json(
        MODEL, lambda data, path: nodes(data)[0].update(target="torch.ops.higher_order.cond")
    ),
    "a graph inside": of_json(
        MODEL, lambda data, path: first(nodes(data), "as_tensor").update(as_graph={"name": "g", "graph": {}})
    ),
    "no list": of_json(MODEL, lambda data, path: data["graph_module"]["graph"].update(nodes=3)),
    "no signature": of_json(MODEL, lambda data, path: data["graph_module"].pop("signature")),
    "another version": of_json(MODEL, lambda data, path: data["schema_version"].update(major=99)),
    "a pickled weight": pickled,
    "an object": opaque,
    "a weight elsewhere": of_json(
        WEIGHTS, lambda data, path: first(data, "path_name").update(path_name="../x")
    ),
    "a longer weight": of_json(
        WEIGHTS,
        lambda data, path: first(data, "tensor_meta")["tensor_meta"].update(sizes=[{"as_int": 10**12}]),
    ),
    "a weight of an empty record": lambda members, path: members.update({"data/weights/weight_0": b""}),
    "a missing weight": lambda members, path: members.pop("data/weights/weight_0"),
    "deep": lambda members, path: members.update({MODEL: b"[" * 100_000}),
    "not JSON": lambda members, path: members.update({MODEL: b"{"}),
    "big-endian": lambda members, path: members.update(byteorder=b"big"),
    "two programs": lambda members, path: members.update({"models/other.json": members.pop(MODEL)}),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_could_run_or_is_no_program_is_refused(name: str, saved: Path, tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    path = rewritten(saved, tmp_path / "m.pt2", lambda members: REFUSED[name](members, touched))
    with pytest.raises((FileError, UnsupportedError), match=r"m\.pt2"):
        torch_side.read(path)
    assert not touched.exists()


def test_what_is_not_needed_is_left_out(saved: Path, opened: OpenProgram, tmp_path: Path) -> None:
    touched = tmp_path / "touched"
    sample = io.BytesIO()
    torch.save(((Touches(touched),), {}), sample)

    def edit(members: Members) -> None:
        data = json.loads(members[MODEL])
        data["guards_code"] = [code(touched)]
        for node in nodes(data):
            node["metadata"] |= {"source_fn_stack": f"a,{code(touched)}", "custom": code(touched)}
        members[MODEL] = json.dumps(data).encode()
        members["data/sample_inputs/model.pt"] = sample.getvalue()
        members["data/aotinductor/model/model.so"] = b"\x7fELF"
        members["extra/note.txt"] = b"hello"

    graph = torch_side.open_program(rewritten(saved, tmp_path / "m.pt2", edit)).graph
    assert graph.digest() == opened.graph.digest()
    assert not touched.exists()


def test_files_that_are_damaged(saved: Path, tmp_path: Path) -> None:
    path = tmp_path / "m.pt2"
    whole = saved.read_bytes()
    for length in (50, len(whole) // 2, len(whole) - 3):
        path.write_bytes(whole[:length])
        with pytest.raises(FileError):
            torch_side.read(path)
    with pytest.raises(FileError, match="compressed"):
        torch_side.read(rewritten(saved, path, lambda members: None, zipfile.ZIP_DEFLATED))
    with pytest.raises(FileError, match="no such file"):
        torch_side.read(tmp_path / "absent.pt2")

    def infinite(members: Members) -> None:
        name = "data/weights/weight_0"
        members[name] = np.full(len(members[name]) // 4, np.nan, "float32").tobytes()

    with pytest.raises(WeightError, match="NaN"):
        torch_side.read(rewritten(saved, path, infinite))


@pytest.mark.sweep
def test_bytes_that_are_changed_at_random(saved: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    whole, path = bytearray(saved.read_bytes()), tmp_path / "m.pt2"
    for _ in range(300):
        data = bytearray(whole)
        for position in rng.integers(0, len(data), rng.integers(1, 6)):
            data[position] = rng.integers(0, 256)
        path.write_bytes(data)
        try:
            torch_side.open_program(path)
        except BiportError:
            continue


ARITHMETIC = (
    *("s77", "2*s0 + 1", "Max(1, u0//2)", "Eq(Mod(s0, 4), 0)", "s0**2", "true", "-s0 + 3.5", "s0 >= 2"),
    "Mul(Integer(4), Symbol('s27', positive=True, integer=True))",
)
ANYTHING_ELSE = (
    *("", "x", "s0.__class__", "__import__('os')", "eval('1')", "Symbol('s0').name", "[s0]", "'s0'"),
    *("s0 if s0 else 1", "lambda: s0", "Symbol(s0)", "Symbol('os')", "9**9**9", "s0**99", "Max(*s0)"),
    *("Integer('1')", "(" * 5000, "s0 and __import__", "f'{s0}'", "Symbol('s0', real=print)", "10" * 40),
)


def test_sizes_are_arithmetic() -> None:
    assert [text for text in ARITHMETIC if not is_arithmetic(text)] == []
    assert [text for text in ANYTHING_ELSE if is_arithmetic(text)] == []
