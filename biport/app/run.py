"""``biport run``: a session of what is run; texts that are given, or a corpus of these or of pictures."""

from __future__ import annotations

import contextlib
import dataclasses
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from biport.app.arrays import load_inputs
from biport.app.ctc import CtcOptions
from biport.app.progress import show_progress
from biport.app.stored import is_stored, read_stored, texts_of
from biport.app.texts import TextOptions
from biport.data.images import SUFFIXES, ImageSettings, image_files, read_images
from biport.data.text_rows import FORMATS, STDIN, TextRow, count_rows, format_of
from biport.errors import Argument, InputError
from biport.inputs import in_order

STDOUT = STDIN
"""The output that is standard output."""
MOST_SHOWN = 100
"""Numbers of an output that are shown of a text."""


@contextlib.contextmanager
def opened(
    model: Path, device: str, texts: TextOptions | None = None, ctc: CtcOptions | None = None
) -> Iterator[Any]:
    """An ``export.Session`` of an ONNX file, or of one that is written of a folder of biport for the while.

    Args:
        model: the file or folder.
        device: of the session.
        texts: what makes ids of texts, in place of what the model says.
        ctc: what spells the texts of a CTC model, likewise.

    Raises:
        BiportError: the file cannot be run, or the folder not be read or written as ONNX; or a beam is
            asked for, and the model is none of CTC.
    """
    import export

    texts, ctc = texts or TextOptions(), ctc or CtcOptions()
    with contextlib.ExitStack() as stack:
        if is_stored(model):
            path = Path(stack.enter_context(tempfile.TemporaryDirectory())) / f"{model.resolve().name}.onnx"
            graph = ctc.spelled(texts.spoken(read_stored(model), stored=True))
            export.write(graph, path, vectors=False, **texts_of(model))
            session = export.Session(path, device=device)
        else:
            session = export.Session(model, device=device)
            if texts.given:
                session.tokenizer = texts.instead(session.tokenizer, session.input_values)
            if ctc.given:
                session.alphabet = ctc.alphabet(session.alphabet)
        ctc.check_reads(session.alphabet)
        session.beam_width = ctc.beam_width or 1
        yield session


def of_texts(source: Path, format: str | None) -> bool:
    """Whether an input is one of texts: all others are arrays."""
    named = source.suffix.lower().removeprefix(".") in FORMATS
    return format is not None or str(source) == STDIN or named


def of_images(source: Path, format: str | None) -> bool:
    """Whether an input is a picture, or a folder; one of Parquet has been looked for before."""
    return format is None and (source.is_dir() or source.suffix.lower() in SUFFIXES)


@dataclass(frozen=True)
class Corpus:
    """What is run, and how.

    Args:
        source: a file of texts, or ``-``; a picture, or a folder of some.
        output: a file, or ``-`` for standard output.
        format: of the source.
        delimiter: of its fields.
        images: what is said of pictures, where it is some; ``None`` of texts.
        arrays: whether it is a file of arrays.
        settings: others of ``export.corpus.scoring.score``.
    """

    source: Path
    output: Path
    format: str | None = None
    delimiter: str | None = None
    images: ImageSettings | None = None
    arrays: bool = False
    settings: dict[str, Any] = field(default_factory=dict)


def run_corpus(
    model: Path,
    corpus: Corpus,
    device: str,
    quiet: bool,
    stream: TextIO | None,
    texts: TextOptions | None = None,
    ctc: CtcOptions | None = None,
) -> tuple[dict[str, Any], str, int]:
    """Run ``model`` over a corpus; what to say, as data and as text, and the exit code.

    Args:
        model: what is run.
        corpus: over what.
        device: of a session.
        quiet: without a bar.
        stream: standard output, where rows go there.
        texts: what makes ids of texts, in place of what the model says.
        ctc: what spells the texts of a CTC model, likewise.

    Raises:
        BiportError: as ``export.corpus.scoring.score``.
    """
    from export.corpus.scoring import LAYOUTS, score

    of_texts = corpus.images is None and not corpus.arrays
    kind = format_of(corpus.source, corpus.format) if of_texts else "csv"
    output = corpus.output
    if stream is not None:
        # In the form that the rows came in, where that has room for results.
        output = Path(f"standard output.{kind if f'.{kind}' in LAYOUTS else 'jsonl'}")
    with opened(model, device, texts, ctc) as session, show_progress(quiet) as display:
        more = {"format": corpus.format, "delimiter": corpus.delimiter, **corpus.settings}
        if corpus.images is not None:
            more["images"] = session.image_input(corpus.images)
            total = len(image_files(corpus.source))
        elif corpus.arrays:
            more["array"] = only_array(session, corpus.source)
            total = len(more["array"])
        else:
            total = count_rows(corpus.source, corpus.format, corpus.delimiter)
        name, scored = "texts" if str(corpus.source) == STDIN else corpus.source.name, 0

        def show(rows: int) -> None:
            nonlocal scored
            scored += rows
            display.update(name, scored, None if total is None else max(total, scored), "rows")

        done = score(session, corpus.source, output, stream=stream, progress=show, **more)
    return _told(model, corpus, done)


def only_array(session: Any, source: Path) -> np.ndarray:
    """The rows that a file of arrays has for the one input of a model.

    Raises:
        InputError: the model has several inputs, or the file other arrays.
    """
    names = [value.name for value in session.input_values]
    given = in_order(names, load_inputs(source))
    if len(given) != 1:
        raise InputError(f"{source}: rows are run through models of one input, and this one takes {names}")
    return np.asarray(given[0])


def _told(model: Path, corpus: Corpus, done: Any) -> tuple[dict[str, Any], str, int]:
    side = corpus.settings.get("skip_bad")
    where = "standard output" if str(corpus.output) == STDOUT else str(corpus.output)
    text = f"{where}: {_rows(done.rows)}, {done.rows - done.resumed:,} of them in {done.seconds:.1f} s"
    lines = [text + (f", {done.resumed:,} were there already" if done.resumed else "")]
    if done.cut:
        lines.append(f"longer than the model takes, and cut: {_rows(done.cut)}")
    lines += [f"the input's column {name!r} is called {here!r}" for name, here in done.renamed.items()]
    if side is not None:
        why = "" if done.problem is None else f", such as {done.problem}"
        lines.append(f"{side}: {_rows(done.left_out)} left out{why}")
    return scored_data(model, corpus.output, side, done), "\n".join(lines), scored_code(done)


def scored_data(model: Path, output: Path | None, side: Path | None, done: Any) -> dict[str, Any]:
    """A corpus that was scored, ``export.corpus.scoring.Scored``, as plain data."""
    return {
        "model": str(model),
        "written": str(output),
        "rows": done.rows,
        "resumed": done.resumed,
        "seconds": done.seconds,
        "left_out": done.left_out,
        "skip_bad": None if side is None else str(side),
        "cut": done.cut,
        "renamed": dict(done.renamed),
    }


def scored_code(done: Any) -> int:
    """The exit code: rows were left out, and none was left."""
    return 2 if done.left_out and not done.rows else 0


def _rows(count: int) -> str:
    return f"{count:,} row{'s' * (count != 1)}"


def run_texts(
    model: Path,
    texts: Sequence[str],
    device: str,
    truncate: bool,
    options: TextOptions | None = None,
    ctc: CtcOptions | None = None,
) -> tuple[dict[str, Any], str]:
    """Run ``model`` over some texts; what it says of each, as data and as text.

    Raises:
        InputError: the model does not take one of them, or is none of texts.
    """
    for text in texts:
        if text == STDIN or (Path(text).suffix and len(text) < 256 and Path(text).is_file()):
            what = "standard input" if text == STDIN else "a file"
            raise InputError(f"{text} is {what}, not a text; give it as ", Argument("inputs"))
    from export.corpus.sources import check_reads_texts

    with opened(model, device, options, ctc) as session:
        check_reads_texts(session)
        return _run_rows(model, session, [TextRow(*row) for row in enumerate(texts, 1)], truncate)


def are_images(texts: Sequence[str]) -> bool:
    """Whether what is given are files of pictures, all of them."""
    return bool(texts) and all(
        Path(text).suffix.lower() in SUFFIXES and Path(text).is_file() for text in texts
    )


def run_images(
    model: Path, files: Sequence[str], device: str, settings: ImageSettings, ctc: CtcOptions | None = None
) -> tuple[dict[str, Any], str]:
    """Run ``model`` over some pictures; what it says of each, as data and as text.

    Raises:
        BiportError: one of them cannot be read, or the model is none of pictures.
    """
    with opened(model, device, ctc=ctc) as session:
        image = session.image_input(settings)
        rows = [row for file in files for row in read_images(file, image)]
        numbered = [dataclasses.replace(row, number=number) for number, row in enumerate(rows, 1)]
        return _run_rows(model, session, numbered, truncate=False)


def _run_rows(
    model: Path, session: Any, rows: Sequence[TextRow], truncate: bool
) -> tuple[dict[str, Any], str]:
    """What ``session`` says of each row, as data and as text."""
    from export.corpus.results import described

    told_rows = []
    results = session.predict_each([row.content for row in rows], truncate=truncate, workers=1)
    for row, result in zip(rows, results, strict=True):
        if result.error is not None:
            raise InputError(f"{row.owner}: ", *result.error.why.parts)
        # A text that a model gives has the name that the one it was given has else.
        given = "text" if session.alphabet is None else "input_text"
        told = {"row": row.number, **(row.fields or {given: row.text}), "cut": result.cut}
        told_rows.append(told | described(session, row.text, result))
    names = [[]] if len(rows) == 1 else [[row.text] for row in rows]
    blocks = [_block(told, name) for told, name in zip(told_rows, names, strict=True)]
    between = "\n\n" if any("\n" in block for block in blocks) else "\n"
    return {"model": str(model), "rows": told_rows}, between.join(blocks)


def _block(row: dict[str, Any], name: list[str]) -> str:
    """What the model says of one text: a line, or a line a token; with its name, where it has one."""
    cut = [f"({row['cut']} tokens were cut off)"] if row["cut"] else []
    if "tokens" in row:
        lines = [[one["token"], one["label"], _share(one["probability"])] for one in row["tokens"]]
        widths = [max((len(str(line[column])) for line in lines), default=0) for column in (0, 1)]
        table = [f"{token!s:<{widths[0]}}  {label:<{widths[1]}}  {share}" for token, label, share in lines]
        return "\n".join([*name, *cut, *table])
    if "confidence" in row:
        return "  ".join([row["text"], _share(row["confidence"]), *cut, *name])
    if "label" in row:
        return "  ".join([row["label"], _share(row["probability"]), *cut, *name])
    return "\n".join([*name, *cut, *(f"{name}: {_numbers(value)}" for name, value in row["outputs"].items())])


def _share(probability: float | None) -> str:
    return "nan" if probability is None else f"{probability:.4f}"


def _numbers(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 20 * MOST_SHOWN else f"{text[: 20 * MOST_SHOWN]} ... (--json has all)"
