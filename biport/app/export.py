"""A Keras model, its file or a folder of biport to an ONNX file that has been tried before it is kept.

Two routes lead there. ``fused`` reads the model into a graph and writes that, without tensorflow. ``tf2onnx``
traces a live Keras model, also one with layers biport does not know; recurrent layers it does know are still
written as fused nodes. ``auto`` takes the first where it can, and says why where it cannot.
"""

from __future__ import annotations

import functools
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from biport.analysis.text_model import with_tokenizer
from biport.app.cost import Cost
from biport.app.ctc import CtcOptions
from biport.app.forms import unread_form
from biport.app.other_route import MAY_WRITE, advise, keeps_states
from biport.app.precision import Chosen, Smaller, write_smaller
from biport.app.stored import is_stored, read_stored, texts_of
from biport.app.texts import TextOptions
from biport.app.unread import UnreadModel
from biport.app.verify import verify as verify_forms
from biport.compare.check_vectors import make_vectors
from biport.compare.report import Report
from biport.compare.tolerance import Verdict
from biport.errors import Argument, BiportError, DifferentError, InputError, UnsupportedError
from biport.files import check_target
from biport.graph import Graph

ROUTES = ("fused", "tf2onnx", "auto")
VERSIONS = ("opset", "ir_version", "runtime")
"""The options of `export.write` that the other route has too."""


@dataclass(frozen=True)
class Trial:
    """How a file was tried before it was kept.

    Args:
        against: what its numbers were compared with.
        verdict: `Verdict.SAME`, or `Verdict.ILL_CONDITIONED` where rounding alone makes such errors.
        error: the largest, of the output that came closest to what it is allowed.
        allowed: what that one was allowed, in float32.
    """

    against: str
    verdict: Verdict
    error: float
    allowed: float

    @property
    def line(self) -> str:
        """The trial for a person."""
        figures = f"largest error {self.error:.2g}, allowed {self.allowed:.2g}"
        if self.verdict is Verdict.SAME:
            return f"verified against {self.against}: {figures}"
        return (
            f"neither verified nor refuted against {self.against}: {figures}, and the model amplifies "
            "rounding so much (ill-conditioned) that two correct programs differ as visibly"
        )

    def to_json(self) -> dict[str, Any]:
        """The trial as plain data."""
        return vars(self) | {"verdict": str(self.verdict)}


@dataclass(frozen=True)
class Exported:
    """What was written.

    Args:
        written: the file; an ``export.publish.Written``.
        graph: the model, where biport reads it.
        trial: how the file was tried; ``None`` where it was not, and of smaller numbers, which are judged by
            what they cost.
        notes: what somebody who deploys it should know.
        smaller: of smaller numbers, which were tried, what they gain and cost, and which limits they keep.
        float32: of smaller numbers, how the float32 file was tried that they were made of.
    """

    written: Any
    graph: Graph | None
    trial: Trial | None
    notes: Sequence[str] = field(default=())
    smaller: Chosen | None = None
    float32: Trial | None = None

    @property
    def cost(self) -> Cost | None:
        """Of smaller numbers, what they gain and cost."""
        return None if self.smaller is None else self.smaller.cost

    @property
    def verified(self) -> str:
        """Against what the file was verified; empty where it was not."""
        same = self.trial is not None and self.trial.verdict is Verdict.SAME
        return f"against {self.trial.against}" if self.trial is not None and same else ""

    def lines(self) -> list[str]:
        """What was tried, for a person: of this file, and of the one it was made of."""
        beside = [] if self.written.check is None else [f"check vectors beside it: {self.written.check}"]
        if self.smaller is None:
            return ["not tried" if self.trial is None else self.trial.line, *beside]
        chosen, cost = self.smaller, self.smaller.cost
        limits = [f"limit kept: {gate.text}" for gate in chosen.gates] or ["no limits were given"]
        return [
            f"the float32 file, not kept: {'not tried' if self.float32 is None else self.float32.line}",
            f"the {cost.name} file was run beside it:",
            *cost.lines(),
            *limits,
            *([chosen.why] if chosen.why else []),
            *beside,
        ]

    def to_json(self) -> dict[str, Any]:
        """The same as plain data."""
        return {
            "verified": self.verified or None,
            "trial": self.trial and self.trial.to_json(),
            "float32": self.float32 and self.float32.to_json(),
            "cost": self.cost and self.cost.to_json(),
            "tried": [] if self.smaller is None else [cost.to_json() for cost in self.smaller.tried],
            "gates": [] if self.smaller is None else [gate.to_json() for gate in self.smaller.gates],
            "notes": list(self.notes),
        }


def export_model(
    source: Any,
    output: str | Path,
    *,
    route: str = "fused",
    config: Any = None,
    states: str | None = None,
    verify: bool = True,
    overwrite: bool = False,
    precision: str | Smaller = "float32",
    options: Mapping[str, Any] | None = None,
    texts: TextOptions | None = None,
    ctc: CtcOptions | None = None,
    rewrite: Callable[[Graph], Graph] | None = None,
) -> Exported:
    """Write ``source`` as an ONNX file.

    Args:
        source: a graph, a live Keras model, or the path of a Keras file or a folder of biport.
        output: the file to write.
        route: one of `ROUTES`.
        config: the configuration of a Keras file of weights alone.
        states: what is read of the states that a stateful Keras model keeps, see `keras_side.read`.
        verify: try the file with onnxruntime before it is put in its place: against the oracle, or where
            there is no graph against Keras itself in float64. An ill-conditioned model, whose numbers say
            nothing either way, is kept, and the `Trial` says so.
        overwrite: replace a file that is there.
        precision: ``"float32"``, or what of `export.deploy.precision.PRECISIONS` is made of the float32
            file, after that one has been tried; a `Smaller` also says how, and what it is judged on.
        options: of `export.write`, for the fused route alone.
        texts: what makes ids of texts, for the same.
        ctc: what the classes of a CTC model are called, for the same.
        rewrite: what is done to the graph before it is written, for the same.

    Raises:
        DifferentError: the file computes something else; it is not left behind.
        LimitError: no smaller numbers keep the limits; likewise.
        UnsupportedError: the route does not take the model.
        InputError: there is no such route, or the file exists.
        BiportError: the source cannot be read.
    """
    if route not in ROUTES:
        raise InputError(Argument("route", route), f": should be one of {', '.join(ROUTES)}")
    output = Path(output)
    check_target(output, overwrite)
    read = _read(source, config, states)
    stored = isinstance(source, str | Path) and is_stored(Path(source))
    read = _spoken(read, texts or TextOptions(), ctc or CtcOptions(), route, stored)
    if rewrite is not None and read[0] is not None:
        read = (rewrite(read[0]), *read[1:])
    if precision == "float32":
        return _float32(source, output, read, route, verify, overwrite, options or {})
    with tempfile.TemporaryDirectory() as folder:
        exact = _float32(source, Path(folder) / "float32.onnx", read, route, verify, False, options or {})
        how = Smaller(precision) if isinstance(precision, str) else precision
        chosen = write_smaller(exact.written.path, output, how, graph=exact.graph, overwrite=overwrite)
    return Exported(chosen.written, exact.graph, None, exact.notes, chosen, exact.trial)


Read = tuple[Graph | None, Sequence[str], UnsupportedError | None]
"""The graph, notes on it, and why there is none."""


def _spoken(read: Read, texts: TextOptions, ctc: CtcOptions, route: str, stored: bool) -> Read:
    """With the tokeniser and the alphabet that the graph is to have."""
    graph, notes, problem = read
    if graph is None or route == "tf2onnx":
        if texts.given and route != "fused":
            raise InputError(Argument("vocabulary", texts.vocabulary), ": of the fused route alone")
        if ctc.given and route != "fused":
            raise InputError(Argument("characters", ctc.characters), ": of the fused route alone")
        return read
    graph = ctc.spelled(texts.spoken(graph, stored))
    return graph, [*notes, *texts.notes(graph), *ctc.notes(graph)], problem


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

        trials: list[Trial] = []
        spoken = with_tokenizer(graph, options.get("vocabulary"))
        check = _against_the_oracle(spoken, trials) if verify else None
        written = export.write(graph, output, overwrite=overwrite, check=check, **options)
        return Exported(written, graph, trials[0] if trials else None, (*notes, *written.notes))
    if problem is not None and route == "auto" and keeps_states(problem):
        raise problem
    if problem is not None and route == "fused":
        advise(problem, source, Argument("route", "auto"), f" {MAY_WRITE}")
        raise problem
    versions = {name: value for name, value in options.items() if name in VERSIONS}
    if others := options.keys() - versions.keys():
        raise InputError(f"{', '.join(sorted(others))}: of the fused route alone")
    if problem is not None:
        notes = [*notes, *(f"by way of tf2onnx: {line}" for line in problem.lines())]
    return _traced(source, output, graph, versions, verify=verify, overwrite=overwrite, notes=notes)


def _read(source: Any, config: Any, states: str | None) -> Read:
    if isinstance(source, Graph):
        return source, [], None
    if isinstance(source, str | Path) and is_stored(Path(source)):
        return read_stored(Path(source)), [], None
    import keras_side

    if isinstance(source, str | Path):
        inspection = keras_side.inspect(source, config, states=states)
        return inspection.graph, [*inspection.notes], inspection.problem
    try:
        graph = keras_side.read(source, states=states)
        return graph, graph.notes, None
    except UnsupportedError as error:
        return None, [], error


def _traced(
    source: Any,
    output: Path,
    graph: Graph | None,
    versions: Mapping[str, Any],
    *,
    verify: bool,
    overwrite: bool,
    notes: Sequence[str],
) -> Exported:
    import export
    import keras_side
    from keras_side.load_file import load_file, load_original

    if isinstance(source, Graph) or (isinstance(source, str | Path) and is_stored(Path(source))):
        assert graph is not None
        model = keras_side.write(graph)
    elif isinstance(source, str | Path):
        model = load_file(source) if graph is not None else load_original(source)
        notes = [*notes, *([] if graph is not None else _other_release(source, model))]
    else:
        model = keras_side.prediction_model(source)
    trials: list[Trial] = []
    if graph is None:
        unread = UnreadModel(model)
        check, make = _against_keras(unread, trials), unread.vectors
    else:
        check, make = _against_the_oracle(graph, trials), functools.partial(make_vectors, graph)
    try:
        vectors = make()
    except BiportError as error:
        vectors, notes = None, [*notes, f"the file carries no check vectors: {error}"]
    written = export.write_tf2onnx(
        model,
        output,
        overwrite=overwrite,
        op_of=keras_side.recurrent_op,
        check=check if verify else None,
        vectors=vectors,
        **versions,
    )
    return Exported(written, graph, trials[0] if trials else None, (*notes, *written.notes))


def _other_release(source: str | Path, model: Any) -> list[str]:
    """What traced a file where that is not the release that wrote it."""
    from export.tf2onnx.live_model import keras_of
    from keras_side.load_file import refuse_unloadable
    from keras_side.release import Release

    written, traced = refuse_unloadable(source), Release(keras_of(model).__version__)
    if written.numbers[:2] == traced.numbers[:2]:
        return []
    return [f"written by Keras {written.version}, computed as Keras {traced.version} does"]


def text_arguments(
    source: Path, labels: Sequence[str] | None, embed_tokenizer: bool, refuse_characters: bool, route: str
) -> dict[str, Any]:
    """The options of `export.write` about texts; of a folder, what travels with it.

    Raises:
        FileError: labels cannot be read.
        InputError: the options do not go together.
    """
    options: dict[str, Any] = {} if labels is None else {"labels": labels}
    if route != "tf2onnx":
        options = {**texts_of(source), **options}
    if refuse_characters and not embed_tokenizer:
        raise InputError(Argument("refuse_characters", True), ": with ", Argument("embed_tokenizer", True))
    asked = {"embed_tokenizer": embed_tokenizer, "refuse_characters": refuse_characters}
    return options | {name: value for name, value in asked.items() if value}


def _against_the_oracle(graph: Graph, trials: list[Trial]) -> Callable[[Path], None]:
    def check(path: Path) -> None:
        trials.append(_judged(verify_forms(graph, path), path, "the oracle"))

    return check


def _against_keras(unread: UnreadModel, trials: list[Trial]) -> Callable[[Path], None]:
    def check(path: Path) -> None:
        keras = unread_form("Keras", unread)
        report = verify_forms(keras, path)
        narrow = [note for note in report.notes if note.startswith("in float32")]
        dtype = f"float64 ({narrow[0]})" if narrow else "float64"
        trials.append(_judged(report, path, f"Keras in {dtype}"))

    return check


def _judged(report: Report, path: Path, against: str) -> Trial:
    """What a report says of the file.

    Raises:
        DifferentError: it differs, or what it is compared with does not agree with itself.
    """
    if report.verdict is Verdict.DIFFERENT:
        raise DifferentError(f"{path.name} was not kept: it differs from the model\n{report.table}")
    lines = [line for line in report.lines if line.form == path.name]
    worst = max(lines, key=lambda line: line.error.maximum / line.allowed if line.allowed else 0.0)
    return Trial(against, report.verdict, worst.error.maximum, worst.allowed)
