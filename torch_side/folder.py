"""A model as a folder that needs torch alone: its source, its weights, and what proves them.

- ``model.py``: an `nn.Module` with a ``forward`` to be read, and ``load()``;
- ``model.safetensors``, or ``model.pt`` on request: its ``state_dict``;
- ``config.json``: in the layout of the Hugging Face hub, with the structure of the graph;
- ``check.npz``: inputs and outputs that it is compared with, see `biport.compare.check_vectors`;
- ``README.md``: a model card; where the model reads texts, ``tokenizers.json`` and ``labels.json``, where it
  reads pictures, ``images.json``, where it writes texts by CTC, ``alphabet.json``.

Reading a folder executes nothing: the graph comes from ``config.json`` and the weights, as they are by now.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import math
import os
import sys
import uuid
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from safetensors import SafetensorError
from torch import nn

from biport import bundle
from biport.analysis.images import check_images
from biport.analysis.text_model import check_labels, with_tokenizer
from biport.bundle import LEARNING
from biport.compare.check_vectors import make_vectors
from biport.compare.report import Report
from biport.data.images import ImageSettings
from biport.data.vocabulary import Vocabulary
from biport.errors import BiportError, FileError, InputError, UnsupportedError
from biport.file_kind import FileKind, file_kind, foreign
from biport.files import atomic_folder, check_folder_name, check_target
from biport.graph import Graph, Node, Value, all_learning, structure, weights_by_path, with_learning
from biport.json_file import write_json
from biport.log import logged
from biport.ops import Op, op_class
from biport.text.tokenizer import Tokenizer
from biport.version import __version__
from biport.weight_files import give_back, load_tensors, save_tensors
from torch_side.card import model_card
from torch_side.reading.checkpoints import read_weights
from torch_side.registry import PARTS
from torch_side.state import below, in_source, op_of, shapes_of, with_state
from torch_side.write import write
from torch_side.writing.ported import Ported
from torch_side.writing.source import Weights, model_source

SOURCE, CONFIG, README, CHECK = "model.py", "config.json", "README.md", "check.npz"
FORMAT = 1
KEY = "biport"
"""Of what `config.json` has beside what the hub knows."""

Check = Callable[[Path], Report | None]
"""Tries a folder before it is kept; the card says how it went."""


@logged("torch_side.write_folder")
def write_folder(
    graph: Graph,
    folder: str | os.PathLike[str],
    *,
    weights: Weights = "safetensors",
    biases: Literal["one", "two"] = "one",
    overwrite: bool = False,
    vocabulary: Vocabulary | Tokenizer | None = None,
    labels: Sequence[str] | None = None,
    images: ImageSettings | None = None,
    notes: Sequence[str] = (),
    check: Check | None = None,
) -> Path:
    """Write ``graph`` as a folder of plain PyTorch.

    The folder appears whole or not at all.

    Args:
        graph: the model.
        folder: where; its parent must exist.
        weights: ``"safetensors"``, or ``"pt"`` for a file of `torch.save`, which needs torch alone.
        biases: as for `torch_side.write`.
        overwrite: replace a folder of this kind, or a bundle, that is there already; anything else there is
            never touched.
        vocabulary: what makes ids of texts, where the graph has no tokeniser; ``encode`` of ``model.py`` is
            that then.
        labels: what its classes are called.
        images: how rows are made of pictures.
        notes: what its user should know, for the card.
        check: called with the folder before it is put in its place; what it raises keeps it from that, and
            what it gives is said in the card.

    Raises:
        InputError: something is there, the parent folder is missing, or the vocabulary, the labels or the
            pictures are not those of this model.
        UnsupportedError: torch has no equal of some ops.

    Example:
        >>> import tempfile
        >>> from biport import ops
        >>> node = Node("y", ops.PReLU(alpha=np.full((1, 3), 0.25, "float32")), ("x",))
        >>> graph = Graph((Value("x", ("N", "T", 3), "float32"),), (node,), ("y",))
        >>> with tempfile.TemporaryDirectory() as parent:
        ...     folder = write_folder(graph, Path(parent) / "model")
        ...     print(sorted(path.name for path in folder.iterdir()), read_folder(folder) == graph)
        ['README.md', 'check.npz', 'config.json', 'model.py', 'model.safetensors'] True
    """
    target = Path(folder)
    _check_target(target, overwrite)
    graph = with_tokenizer(graph, vocabulary)
    if labels is not None:
        check_labels(graph, labels)
    if images is not None:
        check_images(graph, images)
    module = write(graph, biases=biases, copied=False)
    source = model_source(graph, module, weights)
    vectors = _vectors(graph)
    with atomic_folder(target) as draft:
        (draft / SOURCE).write_text(source, encoding="utf-8")
        _save_weights(module, draft, weights)
        give_back(weights_by_path(graph).values())
        write_json(draft / CONFIG, _config(graph, module, source, weights))
        if vectors is not None:
            (draft / CHECK).write_bytes(vectors)
        bundle.write_texts(draft, graph, labels, images)
        report = None if check is None else check(draft)
        checks = vectors is not None
        card = model_card(graph, module, target.name, weights, notes, report, checks=checks)
        (draft / README).write_text(card, encoding="utf-8")
    return target


def _vectors(graph: Graph) -> bytes | None:
    """What is in ``check.npz``; ``None`` for a model whose smallest inputs are too large to travel."""
    try:
        return make_vectors(graph).to_bytes()
    except (InputError, UnsupportedError):
        return None


def weights_file(weights: Weights) -> str:
    """The name of the file of weights."""
    return f"model.{weights}"


def _check_target(target: Path, overwrite: bool) -> None:
    check_folder_name(target)
    check_target(target, overwrite, replaces="a ported model")
    if target.exists() and not is_replaceable(target):
        raise InputError(f"{target}: is not a ported model, or holds other files too; it is left as it is")


def is_replaceable(target: Path) -> bool:
    """Whether nothing but what biport writes is there, and enough of that to tell."""
    if not target.is_dir():
        return False
    entries = list(target.iterdir())
    names = {entry.name for entry in entries}
    texts = {bundle.VOCABULARY, bundle.LABELS, bundle.TOKENIZERS, bundle.IMAGES, bundle.ALPHABET}
    own = {SOURCE, CONFIG, README, CHECK, *texts, "model.safetensors", "model.pt"}
    # What running model.py leaves there is nobody's work.
    names.discard("__pycache__")
    files = all(entry.is_file() for entry in entries if entry.name != "__pycache__")
    ours = not names or (names <= own and {SOURCE, CONFIG} <= names)
    return (ours and files) or bundle.is_replaceable(target)


def _save_weights(module: nn.Module, folder: Path, weights: Weights) -> None:
    state = module.state_dict()
    if weights == "pt":
        torch.save(dict(state), folder / weights_file(weights))
        return
    # As arrays, each with bytes of its own: safetensors refuses tensors that share theirs.
    arrays = {name: np.asarray(tensor.detach().cpu().numpy(), order="C") for name, tensor in state.items()}
    save_tensors(folder / weights_file(weights), arrays, {"format": "pt"})


def _config(graph: Graph, module: Ported, source: str, weights: Weights) -> dict[str, Any]:
    """What ``config.json`` says."""
    data = structure(graph)
    nodes = {node.name: node for node in graph.nodes}
    for entry in data["nodes"]:
        if "settings" not in entry:
            continue
        op = nodes[entry["name"]].op
        if entry["name"] in module.paths:
            entry["path"] = module.paths[entry["name"]]
            entry["shapes"] = {path: list(shape) for path, shape in shapes_of(op).items()}
            if type(op) in PARTS:
                entry["dtype"] = op.dtype
                entry["numbers"] = {path: _number(array) for path, array in in_source(op).items()}
        elif op.weights():
            # A number in the source, which is no weight.
            entry["numbers"] = {path: _number(array) for path, array in op.weights().items()}
    dtypes = [tensor.dtype for tensor in module.state_dict().values() if tensor.is_floating_point()]
    return {
        "architectures": ["Model"],
        "model_type": KEY,
        "torch_dtype": str(dtypes[0] if dtypes else torch.float32).removeprefix("torch."),
        KEY: {
            "format": FORMAT,
            "version": __version__,
            "origin": dict(graph.origin),
            "source": _sha256(source),
            "weights": weights,
            **data,
            LEARNING: all_learning(graph),
        },
    }


def _number(array: np.ndarray) -> list[Any]:
    number = array.tolist()
    # JSON has no infinity.
    return [
        array.dtype.name,
        number if not isinstance(number, float) or math.isfinite(number) else str(number),
    ]


def _sha256(source: str) -> str:
    return hashlib.sha256(source.encode()).hexdigest()


def is_folder(source: Path) -> bool:
    """Whether a folder that a model comes from is one of these."""
    return source.is_dir() and file_kind(source) is FileKind.TORCH_FOLDER


@logged("torch_side.read_folder")
def read_folder(folder: str | os.PathLike[str]) -> Graph:
    """Read a folder, with the weights that are there by now: trained on, they are others than were written.

    Nothing is executed.

    Raises:
        FileError: it is no such folder, damaged, or ``model.py`` was changed since it was written.
    """
    target = Path(folder)
    data = _read_config(target)
    if data.get("format") != FORMAT:
        raise FileError(f"{target}: folder format {data.get('format')!r}; this biport reads format {FORMAT}")
    try:
        source = (target / SOURCE).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise FileError(f"{target / SOURCE}: cannot be read ({error})") from error
    if _sha256(source) != data.get("source"):
        raise FileError(
            f"{target}: {SOURCE} was changed since it was written, and what it computes now is not known; "
            f"give {target / SOURCE}:Model, which is imported and run"
        )
    state = _read_weights(target, data.get("weights"))
    try:
        return bundle.with_texts(_graph(data, state), target)
    except BiportError as error:
        raise FileError(f"{target}: {error}") from error
    except (KeyError, TypeError, AttributeError, ValueError, IndexError) as error:
        raise FileError(f"{target}: {CONFIG} does not describe a graph ({error!r})") from error


def _read_config(target: Path) -> Mapping[str, Any]:
    try:
        data = json.loads((target / CONFIG).read_text(encoding="utf-8"))
    except OSError as error:
        raise foreign(target, "a folder of plain PyTorch") from error
    except (ValueError, RecursionError) as error:
        raise FileError(f"{target / CONFIG}: is not valid JSON ({error})") from error
    own = data.get(KEY) if isinstance(data, dict) else None
    if not isinstance(own, dict):
        raise foreign(target, "a folder of plain PyTorch")
    return own


def _read_weights(target: Path, weights: Any) -> dict[str, np.ndarray]:
    if weights not in ("safetensors", "pt"):
        raise FileError(f"{target / CONFIG}: weights should be 'safetensors' or 'pt', found {weights!r:.60}")
    if weights == "safetensors":
        return _read_tensors(target / weights_file(weights))
    state = read_weights(target / weights_file("pt"))
    if not isinstance(state, Mapping) or not all(isinstance(one, torch.Tensor) for one in state.values()):
        raise FileError(f"{target / weights_file('pt')}: holds more than a state_dict")
    return {str(name): tensor.numpy() for name, tensor in state.items()}


def _read_tensors(path: Path) -> dict[str, np.ndarray]:
    if not path.is_file() or file_kind(path) not in (FileKind.SAFETENSORS, FileKind.BUNDLE_PART):
        raise foreign(path, "weights of safetensors")
    try:
        return load_tensors(path)
    except (SafetensorError, OSError, EOFError, LookupError, ValueError) as error:
        raise FileError(f"{path}: damaged, or cannot be read ({error})") from error


def _graph(data: Mapping[str, Any], state: Mapping[str, np.ndarray]) -> Graph:
    ops: dict[str, Op] = {}
    nodes = []
    for entry in data["nodes"]:
        name = entry["name"]
        ops[name] = ops[entry["shares"]] if "shares" in entry else _op(entry, state)
        inputs, outputs, masks = (tuple(entry[key]) for key in ("inputs", "outputs", "masks"))
        nodes.append(Node(name, ops[name], inputs, outputs, masks))
    values = (Value(value["name"], tuple(value["shape"]), value["dtype"]) for value in data["inputs"])
    origin = {str(key): str(value) for key, value in data["origin"].items()}
    graph = Graph(tuple(values), tuple(nodes), tuple(data["outputs"]), origin)
    return with_learning(graph, data.get(LEARNING, {}))


def _op(entry: Mapping[str, Any], state: Mapping[str, np.ndarray]) -> Op:
    """The op of a node, with the weights that its module has."""
    kind, settings = op_class(entry["kind"]), entry["settings"]
    numbers = {path: _array(*number) for path, number in entry.get("numbers", {}).items()}
    if numbers and "path" not in entry:
        return kind.build(settings, numbers)
    path = entry.get("path", "")
    shapes = {name: tuple(shape) for name, shape in entry.get("shapes", {}).items()}
    own = below(state, path) if path else {}
    wanted, given = (
        sum(map(math.prod, sizes)) for sizes in (shapes.values(), (one.shape for one in own.values()))
    )
    if wanted > given or any(size < 0 for shape in shapes.values() for size in shape):
        raise FileError(f"node {entry['name']!r}: has {given} weights, and {wanted} are described")
    owner = f"node {entry['name']!r}"
    if kind not in PARTS:
        return op_of(owner, kind, settings, shapes, own)
    blank = {path: np.zeros(shape, entry["dtype"]) for path, shape in shapes.items()}
    return with_state(owner, kind.build(settings, blank | numbers), own)


def _array(dtype: str, number: Any) -> np.ndarray:
    """What `_number` says."""
    return np.asarray(float(number) if isinstance(number, str) else number, dtype)


def load_folder(folder: str | os.PathLike[str]) -> nn.Module:
    """The module of a folder, as its own ``load`` gives it: ``model.py`` is imported and run.

    Raises:
        InputError: it cannot be, or has no ``load``.
    """
    path = Path(folder) / SOURCE
    # A name of its own, so that several folders can be loaded, and what is loaded can be pickled.
    name = f"biport_model_{uuid.uuid4().hex}"
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    python = importlib.util.module_from_spec(spec)
    sys.modules[name] = python
    writes, sys.dont_write_bytecode = sys.dont_write_bytecode, True
    try:
        spec.loader.exec_module(python)
        if not callable(getattr(python, "load", None)):
            raise InputError(f"{path}: has no load, which gives the module with its weights")
        return python.load(folder)
    except InputError:
        raise
    except ModuleNotFoundError as error:
        raise InputError(f"{path}: {error.name!r} is not installed") from error
    except Exception as error:
        raise InputError(f"{path}: cannot be imported and loaded: {type(error).__name__}: {error}") from error
    finally:
        sys.dont_write_bytecode = writes
