"""``biport translate``: texts through a sequence-to-sequence model: a decoder on disk, or a training run."""

from __future__ import annotations

import contextlib
import math
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

from biport import bundle
from biport.app.decoder import Languages, run_tokenizers
from biport.app.progress import show_progress
from biport.data.tables import read_pairs
from biport.data.text_rows import STDIN, TextRow, format_of, read_rows
from biport.decoding.stepper import Stepper, reference_stepper
from biport.decoding.texts import Translation, Translator
from biport.errors import Argument, InputError
from biport.file_kind import FileKind, file_kind
from biport.files import atomic_file, check_target
from biport.graph import Graph
from biport.rewrite.encoder_decoder import split
from biport.training import folder as files

FORMS = ("onnx", "torch", "keras", "numpy")
OUTPUTS = (".tsv", ".csv", ".jsonl", ".txt")
BATCH = 256
"""Texts that are translated at once."""


@dataclass(frozen=True)
class Texts:
    """What is translated.

    Args:
        given: texts.
        path: or a file of them, ``-`` for standard input.
        column: where they are in it.
        format: of the file, where its name does not say it.
    """

    given: Sequence[str]
    path: Path | None = None
    column: str | None = None
    format: str | None = None

    def rows(self) -> Iterator[TextRow]:
        """The texts, one at a time.

        Raises:
            InputError: there are none or two sources of them.
            FileError: the file cannot be read.
        """
        if bool(self.given) == (self.path is not None):
            raise InputError("give texts, or a file of them as ", Argument("inputs"))
        if self.path is None:
            if self.column is not None or self.format is not None:
                raise InputError(Argument("column", self.column), ", format: of a file of texts alone")
            return (TextRow(number, text) for number, text in enumerate(self.given, 1))
        kind = format_of(self.path, self.format)
        if self.column is not None and kind not in ("csv", "jsonl"):
            raise InputError(Argument("column", self.column), ": of a .csv or .jsonl file alone")
        if kind == "tsv" and str(self.path) != STDIN:
            sources = read_pairs(self.path).sources
            return (TextRow(number, text) for number, text in enumerate(sources, 1))
        return read_rows(self.path, self.column, format=kind)


def run_command(
    model: Path,
    texts: Texts,
    output: Path | None,
    *,
    languages: Languages,
    form: str,
    device: str,
    search: Mapping[str, Any],
    max_length: int,
    overwrite: bool,
    quiet: bool,
) -> tuple[dict[str, Any], str]:
    """Translate texts, or those of a file; the results as data and as text, one line each.

    Raises:
        InputError: there are no texts, the model is none of sequences, or an option is none.
        FileError: a file cannot be read or written.
    """
    if form not in FORMS:
        raise InputError(Argument("form", form), f": should be one of {', '.join(FORMS)}")
    if output is not None:
        if output.suffix not in OUTPUTS:
            raise InputError(f"{output}: translations are written to files that end in {', '.join(OUTPUTS)}")
        if texts.path is not None and output.resolve() == texts.path.resolve():
            raise InputError(f"{output}: is the input")
        check_target(output, overwrite)
    rows = texts.rows()
    told = _Told()
    with contextlib.ExitStack() as stack:
        display = stack.enter_context(show_progress(quiet))
        translate = stack.enter_context(_translator(model, languages, form, device, max_length))
        first = next(rows, None)
        write = _nowhere if output is None else stack.enter_context(_written(output, first))
        every = chain([] if first is None else [first], rows)
        while batch := [*islice(every, BATCH)]:
            translations = translate([row.text for row in batch], **search)
            for row, one in zip(batch, translations, strict=True):
                told.add(row, one, kept=output is None)
                write(row, one)
            display.update("translating", told.count, None, "texts")
        display.line(told.summary)
    data = {"model": str(model), "form": form, "output": None if output is None else str(output)}
    if output is not None:
        return data | {"texts": told.count}, f"{output}: {told.count:,} translations"
    return data | {"rows": told.rows}, "\n".join(row["text"] for row in told.rows)


@contextlib.contextmanager
def _translator(
    model: Path, languages: Languages, form: str, device: str, max_length: int
) -> Iterator[Translator]:
    import export
    from export.decode import is_decoder, read_tokenizers

    if is_decoder(model):
        if form != "onnx":
            raise InputError(Argument("form", form), f": {model} is in ONNX; that runs a training run")
        tokenizers = languages.tokenizers(read_tokenizers(model))
        if tokenizers is None:
            raise InputError(
                f"{model}: no vocabularies travel with it; give ",
                Argument("source_vocabulary", "FILE"),
                " and ",
                Argument("target_vocabulary", "FILE"),
            )
        yield Translator(export.stepper(model, device), *tokenizers, max_length=max_length)
        return
    if not model.is_dir() or file_kind(model) is not FileKind.RUN:
        there = file_kind(model).what if model.exists() else "nothing"
        raise InputError(f"{model}: expected a decoder, or a training run of seq2seq, found {there}")
    tokenizers = languages.tokenizers(run_tokenizers(model))
    assert tokenizers is not None
    with tempfile.TemporaryDirectory() as folder:
        stepper = _stepper(bundle.read(model / files.MODEL), form, Path(folder))
        yield Translator(stepper, *tokenizers, max_length=max_length)


@dataclass
class _Told:
    """What there is to say of translations."""

    count: int = 0
    rows: list[dict[str, Any]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)
    closest: float = math.inf

    def add(self, row: TextRow, one: Translation, kept: bool) -> None:
        hypothesis = one.hypothesis
        self.count += 1
        self.closest = min(self.closest, hypothesis.margin)
        kinds = {
            "with unknown tokens": bool(one.unknown),
            "unfinished": not hypothesis.finished,
            "of a source that was cut": hypothesis.truncated,
        }
        for kind, is_one in kinds.items():
            self.counts[kind] = self.counts.get(kind, 0) + is_one
        if kept:
            self.rows.append({"source": row.text, "text": one.text, **_more(one)})

    @property
    def summary(self) -> str:
        """What there is to know before one trusts them."""
        told = [f"{count} {what}" for what, count in self.counts.items() if count]
        if math.isfinite(self.closest):
            told.append(f"the closest choice was made by {self.closest:.2g}")
        return ", ".join([f"{self.count:,} text{'s' * (self.count != 1)}", *told])


Write = Callable[[TextRow, Translation], object]


def _nowhere(row: TextRow, one: Translation) -> None:
    return None


@contextlib.contextmanager
def _written(output: Path, first: TextRow | None) -> Iterator[Write]:
    """The file of results, which appears whole or not at all."""
    with atomic_file(output) as draft, draft.open("w", encoding="utf-8", newline="") as file:
        if output.suffix in (".tsv", ".txt"):
            pairs = output.suffix == ".tsv"
            # Neither has quotes: a line is a line.
            yield lambda row, one: file.write(
                "\t".join([*([_line(row.text)] if pairs else []), _line(one.text)]) + "\n"
            )
            return
        from export.corpus.columns import Columns
        from export.corpus.records import LAYOUTS

        layout = LAYOUTS[output.suffix]
        own = ["source", "translation", "score", "finished", "truncated", "unknown"]
        columns = Columns(None, own, first, fixed=layout.delimiter is not None)
        file.write(layout.head([columns.id, *columns.others.values(), *columns.own]))

        def write(row: TextRow, one: Translation) -> None:
            columns.check(row)
            more = _more(one)
            values = [row.text, one.text, *(more[name] for name in own[2:])]
            record = {columns.id: columns.identity(row), **columns.beside(row)}
            file.write(layout.record(record | dict(zip(columns.own, values, strict=True))))

        yield write


def _line(text: str) -> str:
    return " ".join(text.split()) if any(mark in text for mark in "\t\n\r") else text


def _stepper(graph: Graph, form: str, folder: Path) -> Stepper:
    if form == "numpy":
        return reference_stepper(split(graph), "float32")
    if form == "onnx":
        import export

        return export.stepper(export.write_decoder(graph, folder / "decoder"), "cpu")
    if form == "torch":
        import torch_side

        return torch_side.stepper(graph)
    import keras_side

    return keras_side.stepper(graph)


def _more(translation: Translation) -> dict[str, Any]:
    hypothesis = translation.hypothesis
    return {
        "score": hypothesis.score,
        "margin": hypothesis.margin if math.isfinite(hypothesis.margin) else None,
        "finished": hypothesis.finished,
        "truncated": hypothesis.truncated,
        "unknown": list(translation.unknown),
    }
