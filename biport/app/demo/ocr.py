"""``biport demo ocr``: captchas read by a CRNN, trained in Keras with CTC, ported there and back."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from biport import reference
from biport.analysis.text_model import with_alphabet
from biport.app.demo.folder import median_milliseconds, prepare, write_report
from biport.app.demo.readings import draw_readings
from biport.app.forms import Form, graph_form, keras_form, onnx_form, torch_form
from biport.app.progress import ProgressDisplay, show_progress
from biport.app.verify import verify
from biport.compare.report import Report
from biport.data import Captchas, load_captchas, read_rows
from biport.data.captchas import ALPHABET
from biport.data.image_file import require_pillow
from biport.decoding.ctc import transcribe
from biport.graph import Graph, weight_differences
from biport.tables import text_table

TRAIN, TEST, EPOCHS = 2000, 200, 12
BATCH = 32
BLANK = 0
SHOWN = 10
"""Captchas of the picture."""
OWN_FILES = (
    "ocr.keras",
    "ocr-torch",
    "ocr.onnx",
    "again.keras",
    "images",
    "texts.csv",
    "texts.csv.run",
    "readings.png",
    "report.json",
)


@dataclass(frozen=True)
class ReaderRow:
    """One form of the model, as measured.

    Args:
        form: what runs it.
        right: the share of captchas that it reads as they were written.
        others: how many it reads otherwise than the oracle.
        error: the largest of its probabilities.
        milliseconds: for a batch of `BATCH`.
        nodes: of the form.
    """

    form: str
    right: float
    others: int
    error: float
    milliseconds: float
    nodes: int


@dataclass(frozen=True)
class OcrResult:
    """What the demo measured.

    Args:
        rows: one for each form.
        report: the verdicts on the test captchas.
        weights_equal: whether the weights read back from the file, from the folder of plain PyTorch and from
            the Keras file that was made of that are the live model's, bit for bit.
        from_files: how many captchas are read otherwise when they are PNG files.
        output: the folder with all files.
        seconds: how long everything took.
    """

    rows: Sequence[ReaderRow]
    report: Report
    weights_equal: bool
    from_files: int
    output: Path
    seconds: float

    @property
    def ok(self) -> bool:
        """Whether every form is the same, and reads the same in every captcha."""
        others = sum(row.others for row in self.rows) + self.from_files
        return self.report.ok and self.weights_equal and not others

    @property
    def text(self) -> str:
        """The table and the verdict."""
        cells = [("form", "read right", "other texts", "max error", f"ms/batch of {BATCH}", "nodes")]
        cells += [
            (
                row.form,
                f"{row.right:.2%}",
                str(row.others),
                f"{row.error:.1e}",
                f"{row.milliseconds:.2f}",
                str(row.nodes),
            )
            for row in self.rows
        ]
        bits = "equal bit for bit" if self.weights_equal else "NOT equal"
        files = "read alike" if not self.from_files else f"{self.from_files} READ OTHERWISE"
        return "\n".join(
            [
                *text_table(cells, ">"),
                "",
                f"weights, live = file = torch = Keras again: {bits}",
                f"the captchas as PNG files, through onnxruntime: {files}",
                f"verdict: {self.report.verdict}" + ("" if self.ok else " (see report.json)"),
                f"written to {self.output} in {self.seconds:.0f} s; look at {self.output / 'readings.png'}",
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
            "from_files": self.from_files,
            "output": str(self.output),
            "seconds": self.seconds,
            "report": self.report.to_json(),
        }


def run_demo(output: Path, *, epochs: int | None, seed: int, force: bool, quiet: bool) -> OcrResult:
    """Train, port to PyTorch and ONNX and back, run, read and compare.

    Raises:
        InputError: ``output`` is not an empty folder; with ``force``, it holds files that are not the demo's.
        MissingDependencyError: a framework, or pillow, is not installed.
    """
    start = time.perf_counter()
    prepare(output, OWN_FILES, force)
    require_pillow()
    import torch  # noqa: F401  Importing torch after tensorflow has been seen to crash.

    from keras_side.require import require_keras

    require_keras()
    import keras

    import keras_side
    import torch_side

    keras.utils.set_random_seed(seed)
    with show_progress(quiet) as display:
        display.step(f"drawing {TRAIN + TEST} captchas")
        drawn = load_captchas(TRAIN + TEST, seed)
        train, test = drawn.part(slice(TRAIN)), drawn.part(slice(TRAIN, None))
        model = _train(train, epochs or EPOCHS, display)
        display.step("saving, and reading the file without Keras")
        model.save(output / "ocr.keras")
        graph = with_alphabet(keras_side.read(output / "ocr.keras"), ALPHABET, BLANK)
        display.step("writing plain PyTorch and ONNX, and a Keras model of the PyTorch one")
        again = _write_files(graph, output)
        graphs = keras_side.read(model), torch_side.read_folder(output / "ocr-torch"), keras_side.read(again)
        equal = not any(weight_differences(graph, one) for one in graphs)
        display.step(f"running all forms on {len(test.texts)} test captchas")
        rows, report, readings = _measure(graph, _forms(graph, model, again, output), test)
        display.step("reading the captchas as PNG files")
        from_files = _read_files(output, test)
        draw_readings(output / "readings.png", test.part(slice(SHOWN)), readings[:SHOWN])
    others = sum(one != two for one, two in zip(from_files, readings, strict=True))
    result = OcrResult(rows, report, equal, others, output, time.perf_counter() - start)
    write_report(output, result.to_json())
    return result


def _train(captchas: Captchas, epochs: int, display: ProgressDisplay) -> Any:
    import keras

    from keras_side.models.crnn import crnn

    model = crnn(1 + len(ALPHABET))
    batches = math.ceil(len(captchas.texts) / BATCH)
    rate: Any = keras.optimizers.schedules.CosineDecay(4e-3, epochs * batches)
    model.compile(keras.optimizers.Adam(rate, clipnorm=1.0), _ctc)

    class Show(keras.callbacks.Callback):
        """Tell the progress bar of every batch, and of every epoch's end."""

        epoch = 0

        def on_epoch_begin(self, epoch: int, logs: dict | None = None) -> None:
            self.epoch = epoch

        def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
            done = self.epoch * batches + batch + 1
            display.update(f"training in Keras, epoch {self.epoch + 1}/{epochs}", done, epochs * batches)

        def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
            loss = (logs or {}).get("loss", math.nan)
            display.step(f"trained in Keras, epoch {epoch + 1}/{epochs}, CTC loss {loss:.2f}")

    pixels = captchas.images.astype("float32")
    # Keras annotates verbose as str but documents 0.
    quiet: Any = 0
    model.fit(pixels, captchas.ids, batch_size=BATCH, epochs=epochs, verbose=quiet, callbacks=[Show()])
    return model


def _ctc(truth: Any, probabilities: Any) -> Any:
    """The CTC loss, whose blank is class 0; Keras' takes logits, and logarithms of probabilities are such."""
    import keras

    return keras.losses.ctc(truth, keras.ops.log(probabilities + 1e-7))


def _write_files(graph: Graph, output: Path) -> Any:
    """The folder, the ONNX file, and a Keras model of the folder, which is saved, too."""
    import export
    import keras_side
    import torch_side

    torch_side.write_folder(graph, output / "ocr-torch")
    export.write(graph, output / "ocr.onnx")
    again = keras_side.write(torch_side.read_folder(output / "ocr-torch"))
    again.save(output / "again.keras")
    return again


def _forms(graph: Graph, model: Any, again: Any, output: Path) -> dict[str, Form]:
    """Each form under the name that the table has for it."""
    import torch_side
    from export import Session

    def keras_of(name: str, model: Any) -> Form:
        return dataclasses.replace(
            keras_form(name, model), run=lambda arrays: [model.predict_on_batch(arrays[0])]
        )

    return {
        "Keras": keras_of("keras", model),
        "PyTorch": torch_form("torch", torch_side.load_folder(output / "ocr-torch"), graph),
        "ONNX": onnx_form("onnx", Session(output / "ocr.onnx", "cpu")),
        "Keras again": keras_of("again", again),
    }


def _measure(
    graph: Graph, forms: dict[str, Form], test: Captchas
) -> tuple[list[ReaderRow], Report, list[str]]:
    """A row for each form, the verdicts, and what the oracle reads."""
    pixels = test.images.astype("float32")
    report = verify(*forms.values(), inputs=[pixels], float64=True)
    lines = {line.form: line for line in report.lines if line.level == "L2"}
    oracle = dataclasses.replace(graph_form("oracle", graph), run=lambda arrays: reference.run(graph, arrays))
    truth: list[str] = []
    rows = []
    assert graph.alphabet is not None
    for title, form in {"oracle (numpy float64)": oracle, **forms}.items():
        readings = [one.text for one in transcribe(graph.alphabet, form.run([pixels])[0])]
        truth = truth or readings
        right = sum(one == two for one, two in zip(readings, test.texts, strict=True))
        rows.append(
            ReaderRow(
                form=title,
                right=right / len(readings),
                others=sum(one != two for one, two in zip(readings, truth, strict=True)),
                error=lines[form.name].error.maximum if form.name in lines else 0.0,
                milliseconds=median_milliseconds(form.run, [pixels[:BATCH]]),
                nodes=form.size(),
            )
        )
    return rows, report, truth


def _read_files(output: Path, captchas: Captchas) -> list[str]:
    """What the ONNX file reads of the captchas as ``biport run`` does, from files in a folder of the demo."""
    from export import Session
    from export.corpus.scoring import score

    folder, texts = output / "images", output / "texts.csv"
    folder.mkdir()
    for number, image in enumerate(captchas.images):
        require_pillow().fromarray(image[..., 0]).save(folder / f"{number:03}.png")
    session = Session(output / "ocr.onnx", "cpu")
    score(session, folder, texts, images=session.image_input())
    return [row.text for row in read_rows(texts)]
