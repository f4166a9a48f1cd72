"""Running ONNX files with onnxruntime: inputs checked, providers explicit, no empty batch that kills."""

from __future__ import annotations

import dataclasses
import json
import math
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np

from biport.analysis.lengths import check_steps
from biport.analysis.text_model import check_characters
from biport.data.images import ImageInput, ImageSettings
from biport.decoding.ctc import Transcript, transcribe
from biport.dims import bound
from biport.errors import Argument, FileError, InputError
from biport.file_kind import foreign
from biport.graph import Value
from biport.inputs import Inputs, check_arrays, in_order, letters
from biport.streaming import Stream
from biport.text import Tokenizer
from biport.text.alphabet import Alphabet
from biport.text.inputs import has_texts, with_ids
from export.runtime import streams
from export.runtime.batcher import MAX_ROWS, MAX_WAITING, Batcher
from export.runtime.batching import call_cost
from export.runtime.opening import open_file
from export.runtime.providers import DEVICES, create, reason, warn_once
from export.runtime.signature import load, with_tokenizer
from export.streaming import read_stream
from export.text.labels import label_of
from export.text.refusals import explain


class Session:
    """An ONNX model ready to run; files of both routes of this package, and others.

    One smallest batch is run at once, so that what does not work is found here and not at the first request.

    Args:
        path: the ONNX file; nothing else is opened but the external data it names.
        device: ``"cpu"``, ``"cuda"``, or ``"auto"``: CUDA where it works, otherwise the CPU, with a warning
            once a process where CUDA is installed and does not work.
        threads: for one operator; by default every core this process may use.

    Raises:
        FileError: the file is missing, truncated, foreign, or not something onnxruntime can run.
        InputError: the device or the number of threads is none.
        MissingDependencyError: onnxruntime is not installed, or ``"cuda"`` was asked for and does not work;
            the message says why and what helps.
        UnsupportedError: ``"cuda"`` was asked for, and recurrent nodes or products of matrices would run on
            the CPU.
    """

    def __init__(self, path: str | PathLike[str], device: str = "auto", threads: int | None = None) -> None:
        if device not in DEVICES:
            raise InputError(Argument("device", device), f": should be one of {', '.join(DEVICES)}")
        if threads is not None and threads < 1:
            raise InputError(f"threads should be 1 or more, found {threads}")
        self.path = Path(path)
        if not self.path.is_file():
            raise foreign(self.path, "an ONNX graph")
        self.threads = threads or streams.cores()
        """For one operator."""
        self._written = _stamp(self.path)
        opened = open_file(self.path, device, self.threads)
        self._session, self._signature = opened.session, opened.signature
        self._lock, self._second = threading.Lock(), None
        self.device = opened.device
        """Where the model runs."""
        self.placement = opened.placement
        """Which provider runs how many nodes of each operator; ``None`` where onnxruntime does not tell."""
        self.metadata = dict(opened.signature.metadata)
        """The file's ``metadata_props``; those of this package begin with ``biport.``."""
        self.contract: str | None = self.metadata.get("biport.contract")
        """What inputs have to keep, see `export.write`; the file itself checks it."""
        self.input_values: list[Value] = list(opened.signature.inputs)
        """Name, shape and dtype of each input, in order."""
        self.id_bounds = dict(opened.signature.bounds)
        """For each input of ids V, which they are below."""
        self.output_values: list[Value] = list(opened.signature.outputs)
        """Name, shape and dtype of each output, in order."""
        self.output_names: list[str] = [value.name for value in self.output_values]
        """The names of what `run` returns, in order."""
        self.characters = opened.signature.characters
        """By inputs of texts, ranges of the characters that they may have, where it is not all."""
        self.labels = opened.signature.labels
        """What the classes are called; ``None`` where the file does not say it."""
        self.beam_width = 1
        """Of the beam by which texts are read off a CTC model, see `biport.decoding.ctc`; 1 is greedy."""
        self.images = opened.signature.images
        """What the file says of the pictures that the model takes."""
        self.masked = opened.signature.time_axes is not None
        """Whether zeros behind a row's end change nothing: known of files of `export.write` alone."""
        self.time_axes = dict(opened.signature.time_axes or {})
        """The axes of each output that are time, where the model is `masked`."""

    @property
    def tokenizers(self) -> dict[str, Tokenizer]:
        """By inputs of ids, how they are made of texts, where the file says it."""
        given = {value.name for value in self.input_values if value.dtype != "str"}
        return {name: one for name, one in self._signature.tokenizers.items() if name in given}

    @property
    def tokenizer(self) -> Tokenizer | None:
        """What makes ids of texts where one input is of texts; ``None`` where none is, or several are.

        It may be set, whatever the file says.

        Raises:
            InputError: it gives ids, or a length of rows, that the model does not take.
            UnsupportedError: the model does not take ids in one of its inputs.
        """
        return next(iter(self.tokenizers.values())) if len(self.tokenizers) == 1 else None

    @tokenizer.setter
    def tokenizer(self, tokenizer: Tokenizer) -> None:
        self._signature = with_tokenizer(self._signature, tokenizer, self.path)

    @property
    def reads_texts(self) -> bool:
        """Whether `predict` takes texts."""
        return streams.reads_texts(self._signature)

    @property
    def alphabet(self) -> Alphabet | None:
        """What the classes of a CTC model are called; ``None`` where the file does not say it.

        It may be set, whatever the file says.

        Raises:
            InputError: it has more or fewer classes than the first output.
            UnsupportedError: that is no sequence of CTC.
        """
        return self._signature.alphabet

    @alphabet.setter
    def alphabet(self, alphabet: Alphabet) -> None:
        first = self.output_values[0]
        check_characters(alphabet.characters, self.input_values[0].shape[0], first.name, first.tensor)
        self._signature = dataclasses.replace(self._signature, alphabet=alphabet)

    def image_input(self, settings: ImageSettings | None = None) -> ImageInput:
        """The pictures that the model takes, for `biport.data.read_images`.

        Args:
            settings: what is said of them, before what the file says.

        Raises:
            InputError: it takes none, or several inputs, or what has to be said is not.
        """
        if len(self.input_values) != 1:
            names = ", ".join(value.name for value in self.input_values)
            raise InputError(f"pictures are run through models of one input, and this one takes {names}")
        return ImageInput.of(self.input_values[0], (settings or ImageSettings()).over(self.images))

    def steps(self, text: str, truncate: bool = False) -> list[str | None]:
        """The token of each step that `predict` gives the model of a text: ``None`` for padding.

        Raises:
            InputError: as for `predict`.
        """
        return streams.steps(self._signature, text, truncate)

    @cached_property
    def node_count(self) -> int:
        """How many nodes the file has, those inside of loops included.

        Raises:
            MissingDependencyError: onnx-ir is not installed.
        """
        return sum(1 for _ in load(self.path).graph.all_nodes())

    def run(self, inputs: Inputs | Sequence[Any] | Mapping[str, Any]) -> list[np.ndarray]:
        """The outputs for ``inputs``, in order.

        Args:
            inputs: one array for each input, in order or by name; for ids that the file makes of texts
                (`tokenizers`), lists of texts too.

        Raises:
            InputError: the inputs do not suit the model: their number, names, ranks, sizes or dtypes, an id
                outside of ``[0, V)``, numbers that are not finite, or an empty batch or sequence over which
                the model is not defined.
        """
        return self._run(self._session, inputs)

    def predict(
        self,
        rows: Iterable[Any],
        *,
        window: int = streams.WINDOW,
        tokens: int = streams.TOKENS,
        workers: int | None = None,
        truncate: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> Iterator[tuple[np.ndarray, ...]]:
        """What the model says of each row of a corpus, in the order of the rows and in constant memory.

        Rows of like length go through the model together. A model that does not see padding (`masked`) takes
        rows of several lengths padded to the longest; any other only takes rows of one length at a time. The
        numbers are those of running each row by itself, but for the rounding of sums; not so those of an int8
        file, which scales by all of a batch: they move with what is beside a row, within what int8 costs.
        A file of a fixed batch (`export.write`, ``fix_batch``) is given rows of 0 where there are not enough,
        and what it says of them is left out; one of a fixed length takes shorter rows where it is `masked`.

        Args:
            rows: any number of rows, for a model of one input: ids ``(T,)``, features ``(T, I)``, or texts
                where the file carries a vocabulary or a tokeniser. A text without tokens is one of padding.
            window: how many rows are sorted together; two windows are in memory at a time.
            tokens: the steps in a batch, N · T, at most; a longer row is a batch by itself.
            workers: how many batches are in flight, by default `threads`, and 1 on CUDA. More than one run
                on one thread each, in a second session that holds the weights again.
            truncate: cut the end off rows that are longer than a model of fixed length takes.
            progress: called with how many rows are done since it was called last.

        Returns:
            For each row an array for each output, without the batch's axis; where an output has steps, those
            of the row.

        Raises:
            RowError: as for `run`, from the row at fault on; texts for a file without a vocabulary; or a row
                that a model of fixed length does not take.
            InputError: a model of several inputs, or one in which rows meet.
            FileError: with several workers, the file is not any more the one that was opened.
        """
        options = {"window": window, "tokens": tokens, "workers": workers, "truncate": truncate}
        return _outputs(self.predict_each(rows, progress=progress, **options))

    def predict_each(
        self,
        rows: Iterable[Any],
        *,
        window: int = streams.WINDOW,
        tokens: int = streams.TOKENS,
        workers: int | None = None,
        truncate: bool = False,
        progress: Callable[[int], None] | None = None,
    ) -> Iterator[streams.RowResult]:
        """As `predict`, with what became of each row: a row that the model does not take ends nothing.

        Where a batch fails, its rows are run one by one.

        Args:
            rows: as for `predict`, and so are all others.
            window: of rows.
            tokens: of a batch.
            workers: batches in flight.
            truncate: rows that are too long.
            progress: counts rows.

        Raises:
            InputError: a model of several inputs, or one in which rows meet.

        Example:
            >>> import tempfile
            >>> from biport import ops
            >>> from biport.graph import Graph, Node
            >>> from export import write
            >>> table = ops.Embedding(num_embeddings=2, embedding_dim=1, weight=np.float32([[0], [0.5]]))
            >>> graph = Graph((Value("ids", ("N", "T"), "int32"),), (Node("y", table, ("ids",)),), ("y",))
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     _ = write(graph, f"{folder}/table.onnx")
            ...     session = Session(f"{folder}/table.onnx", device="cpu", threads=1)
            >>> for row in session.predict_each([[1, 1], [2]]):
            ...     print(row.error or row.outputs[0].tolist())
            [[0.5], [0.5]]
            row 2: input 'ids': ids should be in [0, 2), found 2
        """
        if isinstance(rows, str):
            raise InputError("predict takes several rows, found one text; put it in a list")
        workers = streams.default_workers(self.device, self.threads) if workers is None else workers
        streams.check_numbers(window=window, tokens=tokens, workers=workers)
        run = self._batches(workers)
        options = {"window": window, "tokens": tokens, "workers": workers, "truncate": truncate}
        call = call_cost(self.device)
        alone = self._batches(1)
        return streams.predict(self._signature, rows, run, alone, call=call, progress=progress, **options)

    def classify(self, rows: Iterable[Any], **options: Any) -> Iterator[tuple[Any, Any]]:
        """The label of each row and its probability, from the first output; lists of them for one of steps.

        Args:
            rows: as for `predict`.
            options: those of `predict`.

        Raises:
            InputError: as for `predict`; or the file does not say what its classes are called.
        """
        label = self._label()
        return (label(outputs) for outputs in self.predict(rows, **options))

    def transcribe(
        self, rows: Iterable[Any], *, width: int | None = None, **options: Any
    ) -> Iterator[Transcript]:
        """The text that a CTC model gives of each row, with how sure it is, from the first output.

        Args:
            rows: as for `predict`.
            width: of the beam; `beam_width` where nobody says.
            options: those of `predict`.

        Raises:
            InputError: as for `predict`; or the file does not say what its classes are called.

        Example:
            >>> import tempfile
            >>> from biport import ops
            >>> from biport.analysis.text_model import with_alphabet
            >>> from biport.graph import Graph, Node
            >>> from export import write
            >>> node = Node("y", ops.Activation(function="softmax"), ("x",))
            >>> graph = with_alphabet(Graph((Value("x", ("N", 4, 3), "float32"),), (node,), ("y",)), "ab", 2)
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     _ = write(graph, f"{folder}/ctc.onnx")
            ...     session = Session(f"{folder}/ctc.onnx", device="cpu", threads=1)
            >>> [one.text for one in session.transcribe([9 * np.eye(3, dtype="float32")[[1, 1, 2, 0]]])]
            ['ba']
        """
        alphabet = self._known_alphabet()
        return (
            transcribe(alphabet, outputs[0][None], width=width or self.beam_width)[0]
            for outputs in self.predict(rows, **options)
        )

    def decode(self, outputs: Sequence[np.ndarray], *, width: int | None = None) -> list[Transcript]:
        """The texts of what `run` gave, one a row, each with how sure it is.

        Args:
            outputs: all of them.
            width: as for `transcribe`.

        Raises:
            InputError: the file does not say what its classes are called.
        """
        alphabet = self._known_alphabet()
        axis = self._signature.row_axes[0] if self._signature.row_axes else 0
        return transcribe(alphabet, np.moveaxis(outputs[0], axis, 0), width=width or self.beam_width)

    def _known_alphabet(self) -> Alphabet:
        if self.alphabet is None:
            raise InputError(
                f"{self.path}: does not say what its classes are called; export it with ",
                Argument("characters"),
            )
        return self.alphabet

    def batcher(
        self,
        *,
        classify: bool = False,
        max_rows: int = MAX_ROWS,
        max_tokens: int = streams.TOKENS,
        max_delay: float = 0.0,
        max_waiting: int = MAX_WAITING,
        workers: int | None = None,
        truncate: bool = False,
    ) -> Batcher:
        """What answers requests of many threads or tasks together: dynamic batching, for services.

        Args:
            classify: requests are answered with labels and probabilities, as `classify` gives them, in place
                of outputs, as `predict` does.
            max_rows: how many rows go together; they may be of several requests.
            max_tokens: the steps in a batch, N · T, at most; a longer row is a batch by itself.
            max_delay: seconds that a request waits for others, at most, while a worker is free.
            max_waiting: how many rows may wait for a worker; beyond them `UnavailableError` is raised.
            workers: how many batches are in flight, as for `predict`.
            truncate: cut rows that are too long, as for `predict`.

        Raises:
            InputError: a model of several inputs, or one in which rows meet; a number is too small; or the
                file does not say what its classes are called.
        """
        label = self._label() if classify else lambda outputs: outputs
        workers = streams.default_workers(self.device, self.threads) if workers is None else workers
        streams.check_numbers(workers=workers)
        if workers > 1:
            # The first request should not wait for it.
            self._narrow()
        return Batcher(
            self._signature,
            self._batches(workers),
            answer=label,
            max_rows=max_rows,
            max_tokens=max_tokens,
            max_delay=max_delay,
            max_waiting=max_waiting,
            workers=workers,
            truncate=truncate,
            call=call_cost(self.device),
        )

    def stream(
        self, *, initial: Mapping[str, np.ndarray] | None = None, states: Mapping[str, str] | None = None
    ) -> Stream:
        """The model fed chunk by chunk: what one left in the states, the next one goes on from.

        Files of `export.write` say which inputs are states, and whether chunks make a difference. They make
        none to stateful Keras models read with ``states="explicit"``, to graphs of
        `biport.rewrite.states.explicit_states`, and to models whose states are inputs and outputs.

        Args:
            initial: by the names of states what they are before the first step, ``(N, H)``; others are zeros.
            states: the inputs that are states, and for each the output that is the state after the steps, for
                a file that does not say. Nothing is known of its layers then, and nothing is checked.

        Raises:
            UnsupportedError: chunks make a difference: the layer is named that looks at several steps, scans
                backwards, or starts each call from zeros; or the file does not say.
            InputError: ``initial`` or ``states`` names what is none.

        Example:
            >>> import tempfile
            >>> from biport import ops
            >>> from biport.graph import Graph, Node
            >>> from biport.rewrite.states import explicit_states
            >>> from export import write
            >>> weights = dict.fromkeys(("weight_ih", "weight_hh"), {"h": np.float32([[0.5]])})
            >>> cell = ops.RNN(input_size=1, hidden_size=1, **weights, bias_ih=None, bias_hh=None)
            >>> graph = Graph((Value("x", ("N", "T", 1), "float32"),), (Node("rnn", cell, ("x",)),), ("rnn",))
            >>> with tempfile.TemporaryDirectory() as folder:
            ...     _ = write(explicit_states(graph), f"{folder}/rnn.onnx")
            ...     session = Session(f"{folder}/rnn.onnx", device="cpu")
            >>> x = np.ones((2, 5, 1), "float32")
            >>> whole, _ = session.run([x, np.zeros((2, 1), "float32")])
            >>> with session.stream() as stream:
            ...     for chunk in (x[:, :2], x[:, 2:]):
            ...         (last,) = stream.feed([chunk])
            >>> np.allclose(last, whole)
            True
        """
        plan = read_stream(str(self.path), self.metadata, self.input_values, self.output_values, states)
        return Stream(plan, self.run, initial)

    def _label(self) -> Callable[[streams.Outputs], tuple[Any, Any]]:
        """What makes a label and a probability of the outputs for a row."""
        if self.labels is None:
            raise InputError(f"{self.path}: does not say what its classes are called; export it with labels")
        names = self.labels
        return lambda outputs: label_of(names, outputs[0])

    def _batches(self, workers: int) -> Callable[[np.ndarray], list[np.ndarray]]:
        """What runs a batch of rows that have nothing to do with each other, so many of them side by side."""
        mixer = self.metadata.get("biport.rows_meet")
        if mixer is not None and self._signature.row_axes is None:
            raise InputError(f"{self.path}: the rows of a batch meet in {mixer!r}; use run, batch by batch")
        if workers == 1:
            return lambda array: self._run(self._session, [array])
        return lambda array: self._run(self._narrow(), [array])

    def _narrow(self) -> Any:
        """The model once more, for batches that run side by side: one thread each."""
        if self.threads == 1 or self.device == "cuda":
            return self._session
        # Several threads may be the first to ask.
        with self._lock:
            if self._second is None:
                if _stamp(self.path) != self._written:
                    raise FileError(
                        f"{self.path}: has been written or removed since this session was opened, and "
                        "several workers need it again; open a new session, or take one worker"
                    )
                self._second = create(self.path, self.device, 1)
            return self._second

    def _run(self, session: Any, inputs: Any) -> list[np.ndarray]:
        names = [value.name for value in self.input_values]
        ids = with_ids(names, self.tokenizers, inputs)
        if ids is not inputs and self._signature.unsaid and has_texts(inputs):
            warn_once(self._signature.unsaid)
        given = in_order(names, ids)
        arrays = check_arrays(self.input_values, self.id_bounds, given)
        check_steps(self.input_values, self._signature.needs_steps, arrays)
        if self.metadata.get("biport.route") != "fused" and any(array.size == 0 for array in arrays):
            return self._empty(arrays)
        feed = {value.name: array for value, array in zip(self.input_values, arrays, strict=True)}
        try:
            return list(session.run(None, feed))
        except Exception as error:  # onnxruntime's errors share no class but this one
            if self.contract is not None and f"/{self.contract}/" in str(error):
                raise InputError(
                    f"{self.path}: found a valid step behind a masked one; the file is written under the "
                    f"contract {self.contract!r}, other inputs need one that is written without it"
                ) from error
            inside = json.loads(self.metadata.get("biport.needs_tokens", "{}"))
            explain(str(error), feed, self.characters, self._signature.tokenizers, inside)
            shapes = {name: array.shape for name, array in feed.items()}
            raise InputError(f"{self.path}: cannot run inputs of shapes {shapes}: {reason(error)}") from error

    def _empty(self, arrays: Sequence[np.ndarray]) -> list[np.ndarray]:
        """The outputs of a graph that cannot be run over empty inputs, where they are empty as well."""
        sizes = letters(self.input_values, arrays)
        shapes = [bound(value.shape, sizes) for value in self.output_values]
        known = all(isinstance(dim, int) for shape in shapes for dim in shape)
        if not known or any(math.prod(shape) for shape in shapes):  # type: ignore[arg-type]
            given = {value.name: a.shape for value, a in zip(self.input_values, arrays, strict=True)}
            raise InputError(
                f"{self.path}: found empty inputs {given}, over which this file is not defined; "
                "a file written by export.write, the fused route, is"
            )
        return [
            np.empty(shape, value.dtype)  # type: ignore[arg-type]
            for shape, value in zip(shapes, self.output_values, strict=True)
        ]


def _stamp(path: Path) -> tuple[int, ...] | None:
    """What changes when another file is written to ``path``; ``None`` where there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def _outputs(results: Iterable[streams.RowResult]) -> Iterator[tuple[np.ndarray, ...]]:
    for result in results:
        if result.error is not None:
            raise result.error
        yield result.outputs
