"""``biport export --decoder``: a sequence-to-sequence model as an encoder and a step that write texts."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from biport.app.open_source import read_source
from biport.app.progress import show_progress
from biport.app.source import Source
from biport.decoding import Hypothesis, agreement, greedy, reference_stepper, split
from biport.errors import Argument, DifferentError, InputError
from biport.file_kind import FileKind, file_kind
from biport.graph import Graph
from biport.text import Tokenizer, read_tokenizer
from biport.training import folder as run_files
from biport.training.recipe import Recipe

SIDES = ("source", "target")
ENDS = (
    ("<start>", "<end>"),
    ("startseq", "endseq"),
    ("<sos>", "<eos>"),
    ("<bos>", "<eos>"),
    ("<s>", "</s>"),
    ("[START]", "[END]"),
    ("[start]", "[end]"),
    ("start", "end"),
    ("\t", "\n"),
)
"""What people call the first and the last token of a target."""
ROWS, LONGEST = 12, 12
"""How many sources a decoder is tried on, and how long they and what is written may be."""
SCORE_ALLOWED = 1e-3
"""Of the logarithm of a sequence's probability, for each of its tokens."""


@dataclass(frozen=True)
class Languages:
    """What a decoder reads and writes, as a command is told of it.

    Args:
        source: the file of the tokeniser of what it reads; ``None`` for the one that travels with it.
        target: of what it writes.
        start: the token that a target begins with; ``None`` for what the file or custom says.
        end: the one that ends it.
    """

    source: Path | None = None
    target: Path | None = None
    start: str | None = None
    end: str | None = None

    def tokenizers(self, own: tuple[Tokenizer, Tokenizer] | None) -> tuple[Tokenizer, Tokenizer] | None:
        """Both tokenisers; of a model's ``own`` those that nothing else is said of.

        Raises:
            BiportError: one is missing or cannot be read, or the target has no start and end.
        """
        files = self.source, self.target
        if own is None and not any(files):
            if self.start or self.end:
                raise InputError(Argument("start", self.start), " and end are of a target's vocabulary")
            return None
        every = [
            read_tokenizer(path) if path is not None else own and own[side] for side, path in enumerate(files)
        ]
        for side, tokenizer in zip(SIDES, every, strict=True):
            if tokenizer is None:
                raise InputError("give both vocabularies, also ", Argument(f"{side}_vocabulary", "FILE"))
        source, target = every
        assert source is not None
        assert target is not None
        return source, self._with_ends(target)

    def _with_ends(self, target: Tokenizer) -> Tokenizer:
        if self.start is None and self.end is None and target.start is not None and target.end is not None:
            return target
        known = target.known
        custom = [pair for pair in ENDS if known.keys() >= set(pair)] or [(None, None)]
        ends = {"start": self.start or custom[0][0], "end": self.end or custom[0][1]}
        for name, token in ends.items():
            if token not in known:
                raise InputError(
                    Argument(name, token or "TOKEN"),
                    f": {'is not' if token else 'say which token is that'} in the target's vocabulary, "
                    "which a target begins with and ends in",
                )
        return dataclasses.replace(target, **{name: known[str(token)] for name, token in ends.items()})


def run_tokenizers(run: Path) -> tuple[Tokenizer, Tokenizer]:
    """What a run of a sequence-to-sequence model has learned to read and to write.

    Raises:
        InputError: there is no run, or it is of something else.
        FileError: a file is damaged.
    """
    recipe = Recipe.from_json(run_files.read_description(run)["recipe"])
    if recipe.task != "seq2seq":
        raise InputError(f"{run}: is a run of {recipe.task}, not of seq2seq")
    source, target = (read_tokenizer(run / f"{side}_vocabulary.json") for side in SIDES)
    return dataclasses.replace(source, max_length=recipe.max_length), target


def export_decoder(
    source: Source, output: Path, languages: Languages, *, verified: bool, overwrite: bool, quiet: bool
) -> tuple[dict[str, Any], str]:
    """Write a model as ``encoder.onnx`` and ``step.onnx`` with its vocabularies; as data and as text.

    Raises:
        DifferentError: what is written writes something else; it is not left behind.
        BiportError: the model cannot be read, taken apart or written.
    """
    import export
    from export.decode import SOURCE, TARGET

    is_run = source.path.is_dir() and file_kind(source.path) is FileKind.RUN
    tokenizers = languages.tokenizers(run_tokenizers(source.path) if is_run else None)
    told: list[str] = []
    with show_progress(quiet) as display:
        display.step(f"reading {source}, writing {output}" + (" and trying it" if verified else ""))
        graph, notes = read_source(source)

        def check(folder: Path) -> None:
            told.append(_tried(graph, folder, output, tokenizers))

        export.write_decoder(
            graph, output, overwrite=overwrite, tokenizers=tokenizers, check=check if verified else None
        )
    files = sorted(path.name for path in output.iterdir())
    if tokenizers is None:
        notes = [*notes, f"no {SOURCE} and {TARGET} travel with it: biport translate has to be given both"]
    data = {
        "source": str(source),
        "output": str(output),
        "files": files,
        "verified": told[0] if told else None,
        "notes": [*notes],
    }
    size = sum((output / name).stat().st_size for name in files)
    lines = [f"{output}: {', '.join(files)}, {size:,} bytes", told[0] if told else "not tried"]
    return data, "\n".join([*lines, *(f"note: {note}" for note in notes)])


def _tried(graph: Graph, folder: Path, output: Path, tokenizers: tuple[Tokenizer, Tokenizer] | None) -> str:
    """How a decoder writes beside the oracle.

    Raises:
        DifferentError: something else.
    """
    import export
    from export.decode import ENCODER

    stepper = export.stepper(folder, "cpu")
    encoder = export.Session(folder / ENCODER, "cpu")
    sources = _sources(encoder)
    last = stepper.size - 1
    ends = (last - 1, last) if tokenizers is None else (tokenizers[1].start, tokenizers[1].end)
    if tokenizers is not None:
        from biport.decoding import Translator

        Translator(stepper, *tokenizers)
    options: dict[str, Any] = {"start": ends[0], "end": ends[1], "max_length": LONGEST, "never": ()}
    written = greedy(stepper, sources, **options)
    wanted = greedy(reference_stepper(split(graph)), sources, **options)
    compared = agreement(written, wanted)
    apart = _apart(written, wanted)
    line = f"written greedily beside the oracle: {compared}, scores at most {apart:.2g} a token apart"
    if not compared.ok or not apart <= SCORE_ALLOWED:
        raise DifferentError(f"{output} was not kept: it differs from the model: {line}")
    return line


def _sources(encoder: Any) -> Any:
    """Sources to try a decoder on: rows of ids of many lengths, or features."""
    (value,) = encoder.input_values
    rng = np.random.default_rng(0)
    steps = value.shape[1] if isinstance(value.shape[1], int) else None
    if value.dtype.startswith("float"):
        return rng.normal(size=(ROWS, steps or LONGEST, *value.shape[2:])).astype(value.dtype)
    bound = encoder.id_bounds.get(value.name, 2)
    lengths = rng.integers(1, (steps or LONGEST) + 1, ROWS)
    return [rng.integers(1, max(bound, 2), length) for length in lengths]


def _apart(written: Sequence[Hypothesis], wanted: Sequence[Hypothesis]) -> float:
    """The largest difference of two scores of the same sequence, a token."""
    return max(
        (
            abs(one.score - two.score) / (len(one.tokens) + 1)
            for one, two in zip(written, wanted, strict=True)
            if one.tokens == two.tokens
        ),
        default=0.0,
    )
