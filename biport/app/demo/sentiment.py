"""``biport demo sentiment``: a BiLSTM all the way from training in Keras to ONNX, against the oracle."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from biport import bundle, reference
from biport.app.demo.folder import median_milliseconds, prepare, write_report
from biport.app.forms import Form, graph_form, keras_form, onnx_form, torch_form
from biport.app.progress import ProgressDisplay, show_progress
from biport.app.verify import verify
from biport.compare.report import Report
from biport.compare.tolerance import label_agreement, labels
from biport.data import Reviews, Vocabulary, load_synthetic
from biport.graph import Graph, weight_differences
from biport.tables import text_table

TRAIN, TEST, EPOCHS = 4000, 1000, 14
BATCH = 32
OWN_FILES = (
    "sentiment.keras",
    "sentiment-torch",
    "fused.onnx",
    "tf2onnx.onnx",
    "report.json",
    "vocabulary.json",
)


@dataclass(frozen=True)
class FormRow:
    """One form of the model, as measured."""

    form: str
    accuracy: float
    agreement: float
    outside_ties: int
    error: float
    milliseconds: float
    nodes: int


@dataclass(frozen=True)
class SentimentResult:
    """What the demo measured.

    Args:
        rows: one for each form.
        report: the verdicts, float32 on the test reviews and float64 where a form has it.
        weights_equal: whether the weights read back from the file and from the torch module are the live
            model's, bit for bit.
        output: the folder with all files.
        seconds: how long everything took.
    """

    rows: Sequence[FormRow]
    report: Report
    weights_equal: bool
    output: Path
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether every form is the same, with the same labels."""
        return self.report.ok and self.weights_equal and not any(row.outside_ties for row in self.rows)

    @property
    def text(self) -> str:
        """The table and the verdict."""
        cells = [("form", "accuracy", "agreement", "max error", f"ms/batch of {BATCH}", "nodes")]
        cells += [
            (
                row.form,
                f"{row.accuracy:.2%}",
                f"{row.agreement:.2%}",
                f"{row.error:.1e}",
                f"{row.milliseconds:.2f}",
                str(row.nodes),
            )
            for row in self.rows
        ]
        bits = "equal bit for bit" if self.weights_equal else "NOT equal"
        return "\n".join(
            [
                *text_table(cells, ">"),
                "",
                f"weights, live = file = torch: {bits}",
                f"verdict: {self.report.verdict}" + ("" if self.ok else " (see report.json)"),
                f"written to {self.output} in {self.seconds:.0f} s",
            ]
        )

    def to_json(self) -> dict[str, Any]:
        """Everything as plain data."""
        return {
            "ok": self.ok,
            "rows": [
                vars(row) | {"error": row.error if math.isfinite(row.error) else None} for row in self.rows
            ],
            "weights_equal": self.weights_equal,
            "output": str(self.output),
            "seconds": self.seconds,
            "report": self.report.to_json(),
        }


def run_demo(output: Path, *, epochs: int | None, seed: int, force: bool, quiet: bool) -> SentimentResult:
    """Train, port, export, run and compare.

    Raises:
        InputError: ``output`` is not an empty folder; with ``force``, it holds files that are not the demo's.
        MissingDependencyError: a framework is not installed.
    """
    start = time.perf_counter()
    prepare(output, OWN_FILES, force)
    import torch  # noqa: F401  Importing torch after tensorflow has been seen to crash.

    from keras_side.require import require_keras

    require_keras()
    import keras

    import keras_side
    import torch_side

    keras.utils.set_random_seed(seed)
    reviews = load_synthetic(TRAIN, TEST, seed)
    vocabulary = Vocabulary.fit(reviews.train_texts)
    vocabulary.save(output / "vocabulary.json")
    tokens = vocabulary.encode_batch(reviews.test_texts)
    with show_progress(quiet) as display:
        model = _train(vocabulary, reviews, epochs or EPOCHS, display)
        display.step("saving, and reading the file without Keras")
        model.save(output / "sentiment.keras")
        graph = keras_side.read(output / "sentiment.keras")
        display.step("writing the torch module and both ONNX routes")
        module = torch_side.write(graph)
        _write_files(graph, model, output)
        equal = graph == keras_side.read(model) and not weight_differences(graph, torch_side.read(module))
        display.step(f"running all forms on {len(tokens)} test reviews")
        rows, report = _measure(graph, _forms(graph, model, module, output), tokens, reviews.test_labels)
    result = SentimentResult(rows, report, equal, output, time.perf_counter() - start)
    write_report(output, result.to_json())
    return result


def _train(vocabulary: Vocabulary, reviews: Reviews, epochs: int, display: ProgressDisplay) -> Any:
    import keras

    from keras_side.models.sentiment import sentiment

    model = sentiment(len(vocabulary), embedding_size=32, units=(32,), dropout=0.2)
    tokens = vocabulary.encode_batch(reviews.train_texts)
    batches = math.ceil(len(tokens) / 64)
    # The task is an exclusive or at a distance: accuracy stays near a half for a few epochs, then jumps.
    # Without clipping, some seeds fall back after that.
    rate: Any = keras.optimizers.schedules.CosineDecay(7e-3, epochs * batches)
    optimizer = keras.optimizers.Adam(rate, clipnorm=1.0)
    model.compile(optimizer, "binary_crossentropy", metrics=["accuracy"])

    class Show(keras.callbacks.Callback):
        """Tell the progress bar of every batch, and of every epoch's end."""

        epoch = 0

        def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
            self.epoch = epoch

        def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
            done = self.epoch * batches + batch + 1
            display.update(f"training in Keras, epoch {self.epoch + 1}/{epochs}", done, epochs * batches)

        def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
            accuracy = (logs or {}).get("accuracy", math.nan)
            display.step(f"trained in Keras, epoch {epoch + 1}/{epochs}, training accuracy {accuracy:.1%}")

    # Keras annotates verbose as str but documents 0.
    quiet: Any = 0
    model.fit(tokens, reviews.train_labels, batch_size=64, epochs=epochs, verbose=quiet, callbacks=[Show()])
    return model


def _write_files(graph: Graph, model: Any, output: Path) -> None:
    import export

    bundle.write(graph, output / "sentiment-torch")
    export.write(graph, output / "fused.onnx")
    export.write_tf2onnx(model, output / "tf2onnx.onnx")


def _forms(graph: Graph, model: Any, module: Any, output: Path) -> dict[str, Form]:
    """Each form under the name that the table has for it."""
    from export import Session

    keras = dataclasses.replace(
        keras_form("keras", model), run=lambda arrays: [model.predict_on_batch(arrays[0])]
    )
    files = {"ONNX fused": "fused.onnx", "ONNX tf2onnx": "tf2onnx.onnx"}
    return {
        "Keras": keras,
        "PyTorch": torch_form("torch", module),
        **{title: onnx_form(name, Session(output / name, "cpu")) for title, name in files.items()},
    }


def _measure(
    graph: Graph, forms: dict[str, Form], tokens: np.ndarray, truth: np.ndarray
) -> tuple[list[FormRow], Report]:
    report = verify(*forms.values(), inputs=[tokens], float64=True)
    lines = {line.form: line for line in report.lines if line.level == "L2"}
    oracle = dataclasses.replace(graph_form("oracle", graph), run=lambda arrays: reference.run(graph, arrays))
    exact = oracle.run([tokens])[0]
    rows = []
    for title, form in {"oracle (numpy float64)": oracle, **forms}.items():
        probabilities = np.asarray(form.run([tokens])[0])
        line = lines.get(form.name)
        agreement, outside = label_agreement(probabilities, exact, line.allowed if line else 0.0)
        rows.append(
            FormRow(
                form=title,
                accuracy=float((labels(probabilities) == truth).mean()),
                agreement=agreement,
                outside_ties=outside,
                error=line.error.maximum if line else 0.0,
                milliseconds=median_milliseconds(form.run, [tokens[:BATCH]]),
                nodes=form.size(),
            )
        )
    return rows, report
