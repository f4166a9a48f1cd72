"""A program of `torch.export.save` (.pt2), read without executing anything of the file's.

`torch.export.load` unpickles what a file says is pickled, evaluates the text of its sizes and guards as
Python, looks up any attribute of ``torch`` as a function to call, and loads compiled libraries. It is given a
copy of the file instead that has none of these: every text of the program is checked against what it can be,
every operator is one that biport reads, weights are raw numbers within the file, and the rest is left out.
"""

from __future__ import annotations

import contextlib
import io
import json
import keyword
import logging
import pickle
import re
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.export import ExportedProgram

from biport.errors import FileError, UnsupportedError, raise_unsupported
from biport.file_kind import FileKind, file_kind, foreign
from torch_side.reading.archive import Archive
from torch_side.reading.saved_expressions import SYMBOL, is_arithmetic
from torch_side.registry import ATEN

MODEL, WEIGHTS, CONSTANTS = "models/model.json", "data/weights/", "data/constants/"
CONFIGS = {WEIGHTS: "model_weights_config.json", CONSTANTS: "model_constants_config.json"}
SAMPLE = "data/sample_inputs/model.pt"
MAX_PARTS = 2_000_000
"""Values in the JSON of a program."""
OF_SIZES = frozenset(
    (
        *(f"_operator.{name}" for name in ("eq", "ne", "le", "ge", "lt", "gt", "neg", "pos", "mul", "add")),
        *(f"_operator.{name}" for name in ("sub", "floordiv", "mod", "pow", "truediv", "and_", "or_")),
        *(f"torch.sym_{name}" for name in ("not", "int", "float", "ite", "max", "min", "sqrt")),
        *("_operator.getitem", "math.trunc", "torch._sym_sqrt"),
    )
)
"""Functions of sizes, and the choice of one of several outputs."""
WITHOUT_GRADIENTS = "torch.ops.higher_order.wrap_with_set_grad_enabled"
"""``torch.no_grad`` in ``forward``: the one operator with a graph inside, which is checked like the other."""
UNCOMPUTED = frozenset(
    (
        *("sym_size", "sym_numel", "sym_stride", "sym_storage_offset", "dim", "numel", "alias", "detach"),
        *("_assert_scalar", "_assert_async", "_assert_tensor_metadata", "lift_fresh_copy", "dropout"),
        *("sym_constrain_range", "sym_constrain_range_for_size", "item", "feature_dropout", "alpha_dropout"),
    )
)
"""Operators of aten that compute nothing, or are gone once the program is functional."""
NAME = re.compile(r"[A-Za-z_]\w*", re.ASCII)
PATH = re.compile(r"\w[\w.]*", re.ASCII)
RECORD = re.compile(r"(?:weight|tensor)_\d+")
WORDS = re.compile(r"[\w ,.\->()]{0,200}", re.ASCII)
"""A text that is given to an operator, such as the equation of einsum."""
TYPES = ("builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict")
"""Containers of arguments and outputs."""


def load_program(path: Path) -> tuple[ExportedProgram, Any]:
    """The program of a file, and its example inputs if they are tensors in plain containers, or ``None``.

    Raises:
        FileError: the file is missing, damaged, foreign or hostile.
        UnsupportedModelError: it has operators that biport does not read.
    """
    if not path.is_file() or file_kind(path) is not FileKind.EXPORTED:
        raise foreign(path, "a program of torch.export.save")
    with Archive(path) as archive:
        _check_layout(archive)
        try:
            content = _Copy(archive).written()
        except RecursionError as error:
            raise FileError(f"{path}: the program is nested too deeply") from error
        sample = _sample(archive)
    try:
        with _quiet():
            return torch.export.load(io.BytesIO(content)), sample
    except Exception as error:
        # torch's deserializer raises whatever comes of a program that contradicts itself.
        reason = next(iter(str(error).splitlines()), "")
        raise FileError(
            f"{path}: torch {torch.__version__} does not take this program: {type(error).__name__}: {reason}"
        ) from error


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)


def _check_layout(archive: Archive) -> None:
    path = archive.path
    if MODEL not in archive.sizes:
        owner = f"{path}: the archive"
        raise UnsupportedError(
            owner,
            "layout",
            "of an older torch, or without a program",
            "what torch.export.save of torch 2.8 writes",
        )
    if archive.read("byteorder") != b"little":
        raise UnsupportedError(f"{path}: the archive", "byteorder", "big", "'little'")


def _sample(archive: Archive) -> Any:
    """The example inputs; they are a pickle, of which tensors and plain containers alone are made."""
    if SAMPLE not in archive.sizes:
        return None
    try:
        return torch.load(io.BytesIO(archive.read(SAMPLE)), map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, ValueError, EOFError, KeyError, TypeError, OSError):
        # The program can be read without.
        return None


class _Copy:
    """What of an archive may be given to torch.

    Args:
        archive: the file.

    Raises:
        FileError: something in it could run code, or is no such thing.
    """

    def __init__(self, archive: Archive) -> None:
        self.archive = archive
        self.path = archive.path
        self._parts = 0
        self._problems: dict[str, UnsupportedError] = {}
        self.program = self._program(archive.json(MODEL))
        raise_unsupported(str(self.path), list(self._problems.values()))
        self.payloads = {folder: self._payload(folder, name) for folder, name in CONFIGS.items()}

    def written(self) -> bytes:
        """The copy as an archive."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
            members: dict[str, bytes] = {MODEL: _dumped(self.program), SAMPLE: b""}
            members |= {"archive_format": b"pt2", "byteorder": b"little"}
            members |= {name: self.archive.read(name) for name in ("archive_version", ".data/version")}
            for folder, payload in self.payloads.items():
                members[folder + CONFIGS[folder]] = _dumped(payload)
                for entry in payload["config"].values():
                    member = folder + entry["path_name"]
                    members[member] = self.archive.read(member)
            for name, content in members.items():
                archive.writestr(f"model/{name}", content)
        return buffer.getvalue()

    def _bad(self, what: str, value: Any) -> FileError:
        return FileError(f"{self.path}: {what}={str(value)[:200]!r} is nothing that torch.export.save writes")

    def _program(self, given: Any) -> dict[str, Any]:
        module = self._part(given, "graph_module", dict)
        clean = {
            "graph": self._checked(self._part(module, "graph", dict), ""),
            "signature": self._checked(self._part(module, "signature", dict), ""),
            "module_call_graph": self._calls(module),
            "metadata": {},
            "treespec_namedtuple_fields": {},
        }
        version = self._part(given, "schema_version", dict)
        return {
            "graph_module": clean,
            "opset_version": self._checked(self._part(given, "opset_version", dict), ""),
            "range_constraints": self._ranges(self._part(given, "range_constraints", dict)),
            "schema_version": {key: self._part(version, key, int) for key in ("major", "minor")},
            "verifiers": ["TRAINING"],
            "torch_version": "unknown",
            "guards_code": [],
        }

    def _part(self, given: Any, key: str, kind: type) -> Any:
        if not isinstance(given, dict) or not isinstance(given.get(key), kind):
            raise FileError(f"{self.path}: has no {key}")
        return given[key]

    def _ranges(self, ranges: Mapping[str, Any]) -> dict[str, Any]:
        clean = {}
        for symbol in ranges:
            if not SYMBOL.fullmatch(symbol):
                raise self._bad("size", symbol)
            limits = self._part(ranges, symbol, dict)
            clean[symbol] = {key: limits.get(key) for key in ("min_val", "max_val")}
            if not all(limit is None or isinstance(limit, int) for limit in clean[symbol].values()):
                raise self._bad("range", limits)
        return clean

    def _calls(self, module: Mapping[str, Any]) -> list[dict[str, Any]]:
        """How the program itself is called; how its parts were is of no use."""
        calls = self._part(module, "module_call_graph", list)
        own = next((call for call in calls if isinstance(call, dict) and call.get("fqn") == ""), None)
        signature = self._part(own, "signature", dict)
        fields = module.get("treespec_namedtuple_fields") or {}
        specs = {key: self._spec(self._part(signature, key, str), fields) for key in ("in_spec", "out_spec")}
        names = signature.get("forward_arg_names")
        if not all(isinstance(name, str) and NAME.fullmatch(name) for name in names or []):
            raise self._bad("forward_arg_names", names)
        clean = {"inputs": [], "outputs": [], **specs, "forward_arg_names": names}
        return [{"fqn": "", "signature": clean}]

    def _spec(self, text: str, fields: Mapping[str, Any]) -> str:
        """How arguments or outputs are nested; classes of others are lists, or mappings of their names."""
        try:
            protocol, spec = json.loads(text)
        except (ValueError, TypeError, RecursionError) as error:
            raise self._bad("structure", text) from error
        if protocol != 1:
            raise self._bad("structure", text)
        return json.dumps([1, self._nested(spec, fields, 0)])

    def _nested(self, spec: Any, fields: Mapping[str, Any], depth: int) -> dict[str, Any]:
        match spec:
            case {"type": None, "context": None, "children_spec": []}:
                return spec
            case {"type": str(kind), "context": context, "children_spec": list(children)} if depth < 32:
                inside = [self._nested(child, fields, depth + 1) for child in children]
            case _:
                raise self._bad("structure", spec)
        names = self._keys(kind, context, fields)
        if names is None:
            kind = kind if kind in ("builtins.tuple", "builtins.list") else "builtins.list"
            return {"type": kind, "context": "null", "children_spec": inside}
        if len(names) != len(inside):
            raise self._bad("structure", spec)
        return {"type": "builtins.dict", "context": json.dumps(names), "children_spec": inside}

    def _keys(self, kind: str, context: Any, fields: Mapping[str, Any]) -> list[Any] | None:
        """What the parts of a container are called; ``None`` of one that counts them."""
        if kind in ("builtins.dict", "collections.OrderedDict"):
            try:
                names = json.loads(context)
            except (ValueError, TypeError, RecursionError) as error:
                raise self._bad("structure", context) from error
        elif kind == "collections.namedtuple":
            named = fields.get(context) if isinstance(context, str) else None
            names = named.get("field_names") if isinstance(named, dict) else None
        else:
            return None
        if names is not None and not (
            isinstance(names, list) and all(isinstance(name, str | int) for name in names)
        ):
            raise self._bad("structure", context)
        return names

    def _checked(self, value: Any, key: str, within: Any = None) -> Any:
        """A part of the program; every text in it is checked by what it is called."""
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise FileError(f"{self.path}: the program has more than {MAX_PARTS} parts")
        if key in ("as_custom_obj", "as_operator", "custom_obj", "token") and value is not None:
            owner = f"{self.path}: an argument"
            problem = UnsupportedError(owner, "kind", key.removeprefix("as_"), "tensors, numbers and sizes")
            self._problems[key] = problem
            return None
        if key in ("device", "as_device"):
            # Weights and program are computed with where biport is.
            return None if value is None else {"type": "cpu", "index": None}
        if key == "metadata" and isinstance(value, dict):
            kept = {name: value[name] for name in ("stack_trace", "nn_module_stack") if name in value}
            return {name: text for name, text in kept.items() if isinstance(text, str)}
        match value:
            case None | bool() | int() | float():
                return value
            case str():
                return self._text(key, value, within)
            case list():
                return [self._checked(one, key, value) for one in value]
            case dict():
                return {self._key(name): self._checked(one, name, value) for name, one in value.items()}
        raise self._bad(key, value)

    def _key(self, name: str) -> str:
        if not NAME.fullmatch(name) or keyword.iskeyword(name):
            raise self._bad("name", name)
        return name

    def _text(self, key: str, text: str, within: Any) -> str:
        if key == "target" and isinstance(within, dict) and "metadata" in within:
            self._check_target(text, within)
        elif key == "name" and isinstance(within, dict) and "arg" in within:
            # Of an argument of an operator, which may be called as a word of Python.
            self._check(key, text, lambda name: not name or NAME.fullmatch(name) is not None)
        elif key in TEXTS:
            self._check(key, text, TEXTS[key])
        else:
            raise self._bad(key, text)
        return text

    def _check(self, key: str, text: str, suits: Callable[[str], bool]) -> None:
        if not suits(text):
            raise self._bad(key, text)

    def _check_target(self, target: str, node: Mapping[str, Any]) -> None:
        """Refuse what is no operator that is read: anything of torch or Python could be called."""
        if target in OF_SIZES or target == WITHOUT_GRADIENTS:
            return
        match = re.fullmatch(r"torch\.ops\.aten\.(\w+)\.(\w+)", target, re.ASCII)
        known = {name.partition(".")[0] for name in ATEN} | UNCOMPUTED
        if match is None or not {match[1], match[1].removesuffix("_")} & known:
            name = target.removeprefix("torch.ops.").removeprefix("aten.")
            self._problems[target] = UnsupportedError(
                f"{self.path}: {str(node.get('name'))[:80]}",
                "operator of torch",
                name[:200],
                ATEN.supported(),
            )

    def _payload(self, folder: str, name: str) -> dict[str, Any]:
        """The description of weights or constants, each of them numbers that the file has."""
        config = self._part(self.archive.json(folder + name), "config", dict)
        clean = {}
        for path, entry in config.items():
            self._check("path", path, lambda text: PATH.fullmatch(text) is not None)
            record = self._part(entry, "path_name", str)
            if entry.get("use_pickle") or not RECORD.fullmatch(record):
                raise FileError(
                    f"{self.path}: {path} is a pickle, which can run anything and is never loaded"
                )
            meta = self._checked(self._part(entry, "tensor_meta", dict), "tensor_meta")
            self._check_extent(path, meta, self.archive.sizes.get(folder + record))
            clean[path] = {
                "path_name": record,
                "is_param": entry.get("is_param") is True,
                "use_pickle": False,
                "tensor_meta": meta,
            }
        return {"config": clean}

    def _check_extent(self, path: str, meta: Mapping[str, Any], stored: int | None) -> None:
        """Refuse more numbers than are stored: an empty record is filled up, and strides of zero repeat."""
        try:
            sizes = [int(size["as_int"]) for size in meta["sizes"]]
        except (KeyError, TypeError, ValueError) as error:
            raise self._bad(f"sizes of {path}", meta.get("sizes")) from error
        count = 1
        for size in sizes:
            count *= size
        if stored is None or any(size < 0 for size in sizes) or count > stored:
            raise FileError(f"{self.path}: {path} should have {count} numbers, and has {stored or 0} bytes")


def _is_name(text: str) -> bool:
    return NAME.fullmatch(text) is not None and not keyword.iskeyword(text)


def _is_path(text: str) -> bool:
    return PATH.fullmatch(text) is not None


TEXTS: Mapping[str, Callable[[str], bool]] = {
    "name": _is_name,
    "as_name": _is_name,
    "parameter_name": _is_path,
    "buffer_name": _is_path,
    "tensor_constant_name": _is_path,
    "user_input_name": _is_name,
    "expr_str": is_arithmetic,
    "as_string": lambda text: WORDS.fullmatch(text) is not None,
    "as_strings": lambda text: WORDS.fullmatch(text) is not None,
    "as_float": lambda text: text in ("Infinity", "-Infinity", "NaN"),
}
"""What each text of a program can be; one of another name is refused."""


def _dumped(data: Any) -> bytes:
    return json.dumps(data).encode()
