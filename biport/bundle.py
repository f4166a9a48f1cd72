"""A ported model on disk: a folder with ``graph.json``, ``model.safetensors`` and a README.

Where the model reads texts, ``tokenizers.json`` and ``labels.json`` travel with it, where it reads pictures
``images.json``, and where it writes texts by CTC ``alphabet.json``; bundles of earlier versions have a
``vocabulary.json`` instead of the first.

The folder holds data only. Reading it executes nothing and needs no framework.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from biport.analysis.images import check_images
from biport.analysis.text_model import check_labels, with_tokenizer
from biport.data.images import ImageSettings
from biport.data.vocabulary import Vocabulary
from biport.errors import BiportError, FileError, InputError
from biport.file_kind import FileKind, file_kind, foreign
from biport.files import atomic_folder, check_folder_name, check_target
from biport.graph import Graph, Node, Value, all_learning, structure, with_learning
from biport.json_file import read_json, write_json
from biport.log import logged
from biport.ops import Op, op_class
from biport.text import alphabet
from biport.text.inputs import from_data, to_data
from biport.text.read_file import read_tokenizer
from biport.text.tokenizer import Tokenizer
from biport.version import __version__
from biport.weight_files import load_tensors, save_tensors

GRAPH, WEIGHTS, README = "graph.json", "model.safetensors", "README.md"
VOCABULARY, LABELS, TOKENIZERS = "vocabulary.json", "labels.json", "tokenizers.json"
"""Of texts; the first is what earlier versions wrote in place of the last."""
ALPHABET = "alphabet.json"
"""What the classes of a CTC model are called."""
IMAGES = "images.json"
FORMAT = 1
LEARNING = "learning"
"""The key in ``graph.json`` of what training does with the weights; the digest does not depend on it."""

_README = """# A recurrent model ported by biport

```python
import torch_side
from biport import bundle
module = torch_side.write(bundle.read("{name}"))  # an nn.Module in eval mode
```

Inputs: {inputs}. Outputs: {outputs}. {parameters:,} parameters. `graph.json` is the model's structure,
`model.safetensors` its weights, an array for each gate: biport's own format, which nothing else reads.
`biport port {name} --to torch -o ported/` makes plain PyTorch of it, `--to onnx -o model.onnx` an ONNX graph.
"""


@logged("bundle.write")
def write(
    graph: Graph,
    folder: str | os.PathLike[str],
    *,
    overwrite: bool = False,
    vocabulary: Vocabulary | Tokenizer | None = None,
    labels: Sequence[str] | None = None,
    images: ImageSettings | None = None,
    check: Callable[[Path], None] | None = None,
) -> Path:
    """Write ``graph`` as a bundle.

    The folder appears whole or not at all.

    Args:
        graph: the model.
        folder: where; its parent must exist.
        overwrite: replace a bundle that is there already; anything else there is never touched.
        vocabulary: what makes ids of texts, where the graph has no tokeniser.
        labels: what its classes are called.
        images: how rows are made of pictures.
        check: called with the folder before it is put in its place; what it raises keeps it from that.

    Raises:
        InputError: something is there, the parent folder is missing, or the vocabulary, the labels or the
            pictures are not those of this model.
        UnsupportedError: the model does not take ids, or does not give probabilities.

    Example:
        >>> import tempfile
        >>> from biport import ops
        >>> node = Node("y", ops.PReLU(alpha=np.full((1, 3), 0.25, "float32")), ("x",))
        >>> graph = Graph((Value("x", ("N", "T", 3), "float32"),), (node,), ("y",))
        >>> with tempfile.TemporaryDirectory() as parent:
        ...     folder = write(graph, Path(parent) / "model")
        ...     print(sorted(path.name for path in folder.iterdir()), read(folder) == graph)
        ['README.md', 'graph.json', 'model.safetensors'] True
    """
    target = Path(folder)
    _check_target(target, overwrite)
    graph = with_tokenizer(graph, vocabulary)
    if labels is not None:
        check_labels(graph, labels)
    if images is not None:
        check_images(graph, images)
    data = {
        "format": FORMAT,
        "biport": __version__,
        "origin": dict(graph.origin),
        "digest": graph.digest(),
        **structure(graph),
        LEARNING: all_learning(graph),
    }
    owners = {entry["name"] for entry in data["nodes"] if "settings" in entry}
    arrays = {
        f"{node.name}/{path}": np.asarray(array, order="C")
        for node in graph.nodes
        if node.name in owners
        for path, array in node.op.weights().items()
    }
    text = _README.format(
        name=target.name,
        inputs=", ".join(f"`{value.name}` {value.tensor}" for value in graph.inputs),
        outputs=", ".join(f"`{name}` {graph.tensors[name]}" for name in graph.outputs),
        parameters=graph.parameter_count(),
    )
    with atomic_folder(target) as draft:
        (draft / GRAPH).write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
        save_tensors(draft / WEIGHTS, arrays)
        (draft / README).write_text(text, encoding="utf-8")
        write_texts(draft, graph, labels, images)
        if check is not None:
            check(draft)
    return target


def write_texts(
    folder: Path, graph: Graph, labels: Sequence[str] | None, images: ImageSettings | None = None
) -> None:
    """Put what travels with a model, as far as there is such, into its folder."""
    if graph.tokenizers:
        write_json(folder / TOKENIZERS, to_data(graph.tokenizers))
    if graph.alphabet is not None:
        write_json(folder / ALPHABET, alphabet.to_data(graph.alphabet))
    if labels is not None:
        write_json(folder / LABELS, list(labels))
    if images is not None and images.given:
        write_json(folder / IMAGES, images.to_data())


def _check_target(target: Path, overwrite: bool) -> None:
    check_folder_name(target)
    check_target(target, overwrite, replaces="a bundle")
    if target.exists() and not is_replaceable(target):
        raise InputError(f"{target}: is not a bundle, or holds other files too; it is left as it is")


def is_bundle(source: Path) -> bool:
    """Whether a folder that a model comes from is biport's."""
    return source.is_dir() and file_kind(source) is FileKind.BUNDLE


def is_replaceable(target: Path) -> bool:
    """Whether nothing but a bundle's own files is there, and not only a README."""
    if not target.is_dir():
        return False
    entries = list(target.iterdir())
    names = {entry.name for entry in entries}
    own = {GRAPH, WEIGHTS, README, VOCABULARY, LABELS, TOKENIZERS, IMAGES, ALPHABET}
    ours = names <= own and all(entry.is_file() for entry in entries)
    return ours and (GRAPH in names or not names)


@logged("bundle.read")
def read(folder: str | os.PathLike[str]) -> Graph:
    """Read a bundle.

    Raises:
        FileError: not a bundle, damaged, or changed since it was written.
    """
    target = Path(folder)
    data = _read_json(target / GRAPH)
    if data.get("format") != FORMAT:
        raise FileError(f"{target}: bundle format {data.get('format')!r}; this biport reads format {FORMAT}")
    arrays = _read_weights(target / WEIGHTS)
    try:
        graph = graph_of(data, arrays)
    except BiportError as error:
        raise FileError(f"{target}: {error}") from error
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise FileError(f"{target}: {GRAPH} does not describe a graph ({error!r})") from error
    if graph.digest() != data.get("digest"):
        raise FileError(f"{target}: was changed since it was written, its digest does not match")
    try:
        return with_texts(with_learning(graph, data.get(LEARNING, {})), target)
    except BiportError as error:
        raise FileError(f"{target}: {error}") from error


def with_texts(graph: Graph, folder: Path) -> Graph:
    """The graph with the tokenisers and the alphabet that travel with it in a folder.

    Raises:
        BiportError: they are damaged, or of another model.
    """
    path, older = folder / TOKENIZERS, folder / VOCABULARY
    if path.exists():
        graph = dataclasses.replace(graph, tokenizers=from_data(read_json(path), str(path)))
    elif older.exists():
        graph = with_tokenizer(graph, read_tokenizer(older))
    path = folder / ALPHABET
    if not path.exists():
        return graph
    return dataclasses.replace(graph, alphabet=alphabet.from_data(read_json(path), str(path)))


def read_labels(folder: str | os.PathLike[str]) -> tuple[str, ...] | None:
    """What a bundle calls the model's classes, if it does.

    Raises:
        FileError: that is damaged.
    """
    path = Path(folder) / LABELS
    if not path.exists():
        return None
    labels = read_json(path)
    if not isinstance(labels, list) or not all(isinstance(name, str) for name in labels):
        raise FileError(f"{path}: should hold a list of texts")
    return tuple(labels)


def read_image_settings(folder: str | os.PathLike[str]) -> ImageSettings | None:
    """What a folder says of the pictures that its model takes, if it does.

    Raises:
        FileError: that is damaged.
    """
    path = Path(folder) / IMAGES
    return ImageSettings.from_data(read_json(path), str(path)) if path.exists() else None


def _read_json(path: Path) -> Mapping[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        if path.parent.is_dir() and file_kind(path.parent) in (FileKind.BUNDLE, FileKind.FOLDER):
            raise FileError(f"{path.parent}: not a bundle ({path.name}: {error.strerror})") from error
        raise foreign(path.parent, "a bundle") from error
    except (ValueError, RecursionError) as error:
        raise FileError(f"{path}: is not valid JSON ({error})") from error
    if not isinstance(data, dict):
        raise FileError(f"{path}: should hold a mapping")
    return data


def _read_weights(path: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError

    try:
        return load_tensors(path)
    except (OSError, EOFError) as error:
        raise FileError(f"{path}: cannot be read ({error})") from error
    except (SafetensorError, ValueError, TypeError, LookupError, AttributeError) as error:
        # The last three: a dtype that numpy does not have unless some package has added it.
        raise FileError(f"{path}: damaged, or no array of plain numbers ({error})") from error


def graph_of(data: Mapping[str, Any], arrays: dict[str, np.ndarray]) -> Graph:
    """The graph of what `biport.graph.structure` gives, with where it comes from.

    Args:
        data: this.
        arrays: the weights, as ``node/path``; they are taken out.

    Raises:
        BiportError: the two do not describe a graph, or not one and the same.
        LookupError, TypeError, ValueError: something is missing, or of another type.
    """
    ops: dict[str, Op] = {}
    nodes = []
    for entry in data["nodes"]:
        name = entry["name"]
        if "shares" in entry:
            op = ops[entry["shares"]]
        else:
            # A node's name may have a slash, the path of a weight has none.
            owned = [key for key in arrays if key.rpartition("/")[0] == name]
            own = {key.rpartition("/")[2]: arrays.pop(key) for key in owned}
            op = op_class(entry["kind"]).build(entry["settings"], own)
        ops[name] = op
        nodes.append(Node(name, op, tuple(entry["inputs"]), tuple(entry["outputs"]), tuple(entry["masks"])))
    if arrays:
        raise FileError(f"weights left over: {sorted(arrays)}")
    inputs = tuple(Value(v["name"], tuple(v["shape"]), v["dtype"]) for v in data["inputs"])
    origin = {str(key): str(value) for key, value in data["origin"].items()}
    return Graph(inputs, tuple(nodes), tuple(data["outputs"]), origin)
