"""A Keras model, its file or a bundle to an ONNX file that has been tried before it is kept.

Two routes lead there. ``fused`` reads the model into a graph and writes that, without tensorflow. ``tf2onnx``
traces a live Keras model, also one with layers biport does not know; recurrent layers it does know are still
written as fused nodes. ``auto`` takes the first where it can, and says why where it cannot.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from biport import bundle
from biport.app.cost import Cost, cost
from biport.app.verify import verify as verify_forms
from biport.compare.cases import random_inputs
from biport.data.vocabulary import Vocabulary
from biport.errors import Argument, DifferentError, InputError, UnsupportedError
from biport.files import check_target
from biport.graph import Graph, Value

ROUTES = ("fused", "tf2onnx", "auto")
ALLOWED = 2e-5
"""By how much a file may differ from a live Keras model that has no graph, in parts of its largest output or
of 1: ten times what float32 does over a few hundred steps."""


@dataclass(frozen=True)
class Exported:
    """What was written.

    Args:
        written: the file; an ``export.publish.Written``.
        graph: the model, where biport reads it.
        verified: how the file was tried; empty where it was not.
        notes: what somebody who deploys it should know.
        cost: of smaller numbers, what they gain and cost.
    """

    written: Any
    graph: Graph | None
    verified: str
    notes: Sequence[str] = field(default=())
    cost: Cost | None = None


def export_model(
    source: Any,
    output: str | Path,
    *,
    route: str = "fused",
    config: Any = None,
    verify: bool = True,
    overwrite: bool = False,
    precision: str = "float32",
    options: Mapping[str, Any] | None = None,
) -> Exported:
    """Write ``source`` as an ONNX file.

    Args:
        source: a graph, a live Keras model, or the path of a Keras file or a bundle.
        output: the file to write.
        route: one of `ROUTES`.
        config: the configuration of a Keras file of weights alone.
        verify: try the file with onnxruntime before it is put in its place: against the oracle, or where
            there is no graph against the live model.
        overwrite: replace a file that is there.
        precision: ``"float32"``, or what of `export.deploy.precision.PRECISIONS` is made of the float32
            file, after that one has been tried.
        options: of `export.write`, for the fused route alone.

    Raises:
        DifferentError: the file computes something else; it is not left behind.
        UnsupportedError: the route does not take the model.
        InputError: there is no such route, or the file exists.
        BiportError: the source cannot be read.
    """
    if route not in ROUTES:
        raise InputError(Argument("route", route), f": should be one of {', '.join(ROUTES)}")
    if precision != "float32" and "embed_tokenizer" in (options or {}):
        raise InputError(
            Argument("precision", precision), ": its cost is measured over ids; the tokeniser takes none"
        )
    if precision != "float32" and "contract" in (options or {}):
        raise InputError(
            Argument("precision", precision),
            ": its cost is measured under every mask, which no contract allows",
        )
    output = Path(output)
    check_target(output, overwrite)
    read = _read(source, config)
    if precision == "float32":
        return _float32(source, output, read, route, verify, overwrite, options or {})
    with tempfile.TemporaryDirectory() as folder:
        exact = _float32(source, Path(folder) / "float32.onnx", read, route, verify, False, options or {})
        return _smaller(exact, output, precision, overwrite)


Read = tuple[Graph | None, Sequence[str], UnsupportedError | None]
"""The graph, notes on it, and why there is none."""


def _float32(
    source: Any,
    output: Path,
    read: Read,
    route: str,
    verify: bool,
    overwrite: bool,
    options: Mapping[str, Any],
) -> Exported:
    graph, notes, problem = read
    if route != "tf2onnx" and graph is not None:
        import export

        check = _checked(graph, options) if verify else None
        written = export.write(graph, output, overwrite=overwrite, check=check, **options)
        return Exported(written, graph, "against the oracle" if verify else "", (*notes, *written.notes))
    if problem is not None and route == "fused":
        raise problem
    if options:
        raise InputError(f"{', '.join(options)}: of the fused route alone")
    if problem is not None:
        notes = [*notes, f"by way of tf2onnx: {str(problem).splitlines()[0]}"]
    return _traced(source, output, graph, verify=verify, overwrite=overwrite, notes=notes)


def _smaller(exact: Exported, output: Path, precision: str, overwrite: bool) -> Exported:
    import export
    from export.deploy.precision import write_precision

    costs: list[Cost] = []

    def compare(path: Path) -> None:
        session, other = (export.Session(file, device="cpu") for file in (exact.written.path, path))
        shapes = [(64, 12), (64, 40), (64, 90), (8, 100)]
        cases = {f"{N}x{T}": _random_inputs(session.input_values, session.id_bounds, N, T) for N, T in shapes}
        costs.append(cost(session, other, precision, cases))

    written = write_precision(exact.written.path, output, precision, overwrite=overwrite, check=compare)
    return Exported(written, exact.graph, exact.verified, exact.notes, costs[0])


def _read(source: Any, config: Any) -> Read:
    if isinstance(source, Graph):
        return source, [], None
    if isinstance(source, str | Path) and bundle.is_bundle(Path(source)):
        return bundle.read(Path(source)), [], None
    import keras_side

    if isinstance(source, str | Path):
        inspection = keras_side.inspect(source, config)
        return inspection.graph, [*inspection.notes], inspection.problem
    try:
        return keras_side.read(source), [], None
    except UnsupportedError as error:
        return None, [], error


def _traced(
    source: Any, output: Path, graph: Graph | None, *, verify: bool, overwrite: bool, notes: Sequence[str]
) -> Exported:
    import export
    import keras_side
    from keras_side.load_file import load_file

    if isinstance(source, Graph) or (isinstance(source, str | Path) and bundle.is_bundle(Path(source))):
        assert graph is not None
        model = keras_side.write(graph)
    elif isinstance(source, str | Path):
        if graph is None:
            _refuse_old(Path(source))
        model = load_file(source)
    else:
        model = source
    check = None
    if verify:
        check = _against_keras(model) if graph is None else _against_the_oracle(graph)
    written = export.write_tf2onnx(
        model, output, overwrite=overwrite, op_of=keras_side.recurrent_op, check=check
    )
    against = "against Keras" if graph is None else "against the oracle"
    return Exported(written, graph, against if verify else "", (*notes, *written.notes))


def _refuse_old(path: Path) -> None:
    """Keras 3 gives some files of Keras 1 and 2 other numbers, and without a graph nothing would tell."""
    from keras_side.file.model_file import ModelFile

    with ModelFile(path) as file:
        if file.origin.generation < 3:
            raise UnsupportedError(
                f"{path.name}: the route tf2onnx", "Keras", file.origin.version, "files of Keras 3"
            )


def _checked(graph: Graph, options: Mapping[str, Any]) -> Callable[[Path], None]:
    if not options.get("embed_tokenizer"):
        return _against_the_oracle(graph)

    def check(path: Path) -> None:
        import export
        from export.deploy.tokenizer_check import same_numbers

        # The oracle knows no strings: the file is compared with one of ids, and that one with the oracle.
        plain = path.with_name("ids.onnx")
        export.write(graph, plain, check=_against_the_oracle(graph), vocabulary=options["vocabulary"])
        same = same_numbers(path, plain)
        for file in (plain, plain.with_name(f"{plain.name}.data")):
            file.unlink(missing_ok=True)
        if not same:
            raise DifferentError(f"{path.name} was not kept: over texts it differs from the model over ids")

    return check


def text_options(
    source: Path, vocabulary: Path | None, labels: str | None, embed_tokenizer: bool, route: str
) -> dict[str, Any]:
    """The options of `export.write` about texts; of a bundle, what travels with it.

    Raises:
        FileError: a vocabulary or labels cannot be read.
    """
    options: dict[str, Any] = {
        "vocabulary": None if vocabulary is None else Vocabulary.load(vocabulary),
        "labels": None if labels is None else [name.strip() for name in labels.split(",")],
    }
    if bundle.is_bundle(source) and route != "tf2onnx":
        options["vocabulary"] = options["vocabulary"] or bundle.read_vocabulary(source)
        options["labels"] = options["labels"] or bundle.read_labels(source)
    if embed_tokenizer:
        options["embed_tokenizer"] = True
    return {name: value for name, value in options.items() if value is not None}


def _against_the_oracle(graph: Graph) -> Callable[[Path], None]:
    def check(path: Path) -> None:
        report = verify_forms(graph, path)
        if not report.ok:
            raise DifferentError(f"{path.name} was not kept: it differs from the model\n{report.table}")

    return check


def _against_keras(model: Any) -> Callable[[Path], None]:
    import keras

    import export

    def check(path: Path) -> None:
        session = export.Session(path, device="cpu")
        for N, T in ((4, 9), (1, 5), (3, 30)):
            arrays = _random_inputs(session.input_values, session.id_bounds, N, T)
            flat = arrays if len(arrays) > 1 else arrays[0]
            truth = [np.asarray(part) for part in keras.tree.flatten(model(flat, training=False))]
            for name, given, exact in zip(session.output_names, session.run(arrays), truth, strict=True):
                allowed = ALLOWED * max(1.0, float(np.abs(exact).max(initial=0)))
                error = float(np.abs(given - exact).max(initial=0))
                if not error <= allowed:
                    raise DifferentError(
                        f"{path.name} was not kept: output {name!r} differs from Keras' own by {error:.2g}, "
                        f"allowed {allowed:.2g}"
                    )

    return check


def _random_inputs(
    values: Sequence[Value],
    bounds: Mapping[str, int],
    N: int,
    T: int,
) -> list[np.ndarray]:
    """Ids with zeros at the right, at the left and in between, and features."""
    # No row is all padding: where a model has no number for one, a NaN, nothing can be compared.
    return random_inputs(
        values,
        N,
        T,
        np.random.default_rng(0),
        patterns=("right", "left", "holes", "full"),
        id_bounds=bounds,
        unbounded=2,
    )
