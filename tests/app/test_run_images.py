"""``biport run`` over pictures: what is read of a model, what is said, and what becomes of each file."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

import export
from biport import bundle, ops
from biport.app.cli import app
from biport.data import ImageSettings, read_images
from biport.graph import Graph, Node, Value

LABELS = ("day", "night")


def biport(*arguments: object) -> Any:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result


def classifier(*sizes: Any, first: ops.Op | None = None) -> Graph:
    """Two classes of a picture of 6 by 8 pixels."""
    rng = np.random.default_rng(3)
    pixels = Value("pixels", ("N", *sizes), "float32")
    weight, bias = rng.normal(0, 0.3, (2, 48)).astype("float32"), rng.normal(0, 0.3, 2).astype("float32")
    head = ops.Dense(input_size=48, output_size=2, activation="softmax", weight=weight, bias=bias)
    scaled = [] if first is None else [Node("scaled", first, ("pixels",))]
    name = scaled[0].name if scaled else "pixels"
    nodes = *scaled, Node("flat", ops.Flatten(), (name,)), Node("y", head, ("flat",))
    return Graph((pixels,), nodes, ("y",))


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "images"
    folder.mkdir()
    rng = np.random.default_rng(7)
    for number in range(7):
        Image.fromarray(rng.integers(0, 256, (6, 8), np.uint8)).save(folder / f"{number}.png")
    return folder


def probabilities(model: Path, folder: Path) -> np.ndarray:
    session = export.Session(model, device="cpu", threads=1)
    pixels = np.stack([np.asarray(Image.open(path)) for path in sorted(folder.glob("*.png"))])
    return session.run([pixels[..., None].astype("float32") / np.float32(255)])[0]


def test_a_folder_of_pictures(tmp_path: Path, folder: Path) -> None:
    model, scores = tmp_path / "m.onnx", tmp_path / "scores.csv"
    export.write(classifier(6, 8, 1), model, labels=LABELS)
    refused = biport("run", model, "--input", folder, "-o", scores)
    assert refused.exit_code == 2
    assert "give --image-scale 1/255 for 0 to 1" in refused.stderr
    done = biport("run", model, "--input", folder, "-o", scores, "--image-scale", "1/255")
    assert done.exit_code == 0
    assert "scores.csv: 7 rows" in done.stdout
    rows = list(csv.DictReader(scores.read_text().splitlines()))
    wanted = probabilities(model, folder)
    assert [row["file"] for row in rows] == [f"{number}.png" for number in range(7)]
    assert [row["row"] for row in rows] == [str(number) for number in range(1, 8)]
    assert [row["label"] for row in rows] == [LABELS[one.argmax()] for one in wanted]
    assert np.allclose([float(row["probability"]) for row in rows], wanted.max(axis=1), atol=1e-6)
    # One alone, named by its file, in other forms.
    more = "--image-scale", "1/255"
    one = biport("run", model, "--input", folder / "3.png", "-o", "-", "--id", "file", *more)
    assert one.stdout.splitlines() == ["file,label,probability", ",".join([*rows[3].values()][1:])]
    arrays = tmp_path / "scores.npz"
    assert biport("run", model, "--input", folder, "-o", arrays, *more).exit_code == 0
    assert np.allclose(np.load(arrays)["y"], wanted, atol=1e-6)
    assert np.load(arrays)["file"].tolist() == [row["file"] for row in rows]


def test_pictures_on_the_command_line(tmp_path: Path, folder: Path) -> None:
    model = tmp_path / "m.onnx"
    export.write(classifier(6, 8, 1), model, labels=LABELS, images=ImageSettings(scale=1 / 255))
    wanted = [(LABELS[one.argmax()], f"{one.max():.4f}") for one in probabilities(model, folder)]
    alone = biport("run", model, folder / "2.png")
    assert alone.stdout == "  ".join(wanted[2]) + "\n"
    several = biport("run", model, folder / "2.png", folder / "0.png")
    assert several.stdout.splitlines() == [f"{'  '.join(wanted[k])}  {k}.png" for k in (2, 0)]
    rows = json.loads(biport("run", model, folder / "2.png", folder / "0.png", "--json").stdout)["rows"]
    assert all("text" not in row for row in rows)
    assert [(row["row"], row["file"], row["label"]) for row in rows] == [
        (1, "2.png", wanted[2][0]),
        (2, "0.png", wanted[0][0]),
    ]
    assert biport("run", model, folder / "2.png", "a text").exit_code == 2
    assert biport("run", model, folder / "2.png", "--truncate").exit_code == 2
    (tmp_path / "cut.png").write_bytes((folder / "2.png").read_bytes()[:40])
    assert "cut.png: cannot be read" in biport("run", model, tmp_path / "cut.png").stderr


def test_settings_travel_with_the_file(tmp_path: Path, folder: Path) -> None:
    """Said when the file is written, or stated by the model, and overruled where it is run."""
    bare, said, stated = (tmp_path / f"{name}.onnx" for name in ("bare", "said", "stated"))
    export.write(classifier(6, 8, 1), bare)
    export.write(classifier(8, 6, 1), said, images=ImageSettings("WHC", 1 / 255, resize="pil-nearest"))
    export.write(classifier(6, 8, 1, first=ops.Rescaling(scale=1 / 255)), stated)
    assert export.Session(stated, device="cpu").images == ImageSettings(scale=1.0)
    session = export.Session(said, device="cpu")
    image = session.image_input()
    assert (image.settings.layout, image.height, image.width) == ("WHC", 6, 8)
    rows = list(read_images(folder, image))
    for row, result in zip(rows, session.predict_each([row.content for row in rows]), strict=True):
        pixels = np.asarray(Image.open(folder / row.text)).T[None, ..., None] / np.float32(255)
        assert np.allclose(result.outputs[0], session.run([pixels.astype("float32")])[0][0], atol=1e-6)
    for model, options in ((bare, ["--image-scale", "1/255"]), (stated, [])):
        assert biport("run", model, "--input", folder, "-o", f"{model}.jsonl", *options).exit_code == 0
    outputs = [[row["outputs"]["y"] for row in records(Path(f"{model}.jsonl"))] for model in (bare, stated)]
    assert np.allclose(*outputs, atol=1e-5)
    run = "run", said, "--input", folder, "--image-layout"
    assert biport(*run, "HWC", "-o", tmp_path / "o.csv").exit_code == 0
    assert biport(*run, "HW", "-o", tmp_path / "p.csv").exit_code == 2


def test_bad_files_and_going_on(tmp_path: Path, folder: Path) -> None:
    model, scores, bad = tmp_path / "m.onnx", tmp_path / "scores.csv", tmp_path / "bad.csv"
    export.write(classifier(6, 8, 1), model, images=ImageSettings(scale=1 / 255))
    run = "run", model, "--input", folder, "-o", scores
    (folder / "2.txt").write_text("two")
    Image.fromarray(np.zeros((3, 3), np.uint8)).save(folder / "5a.png")
    refused = biport(*run)
    assert refused.exit_code == 2
    assert (
        "2.txt: is no picture; those are read whose names end in .png, .jpg, .jpeg; --skip-bad"
        in refused.stderr
    )
    assert "leaves such rows out" in refused.stderr
    done = biport(*run, "--force", "--skip-bad", bad)
    assert done.exit_code == 0, done.stderr
    assert "2 rows left out" in done.stdout
    left = list(csv.DictReader(bad.read_text().splitlines()))
    assert [(row["row"], row["text"]) for row in left] == [("4", "2.txt"), ("8", "5a.png")]
    assert left[1]["reason"].startswith("is 3 by 3 pixels, the model takes 6 by 8; image_resize")
    whole, kept = scores.read_bytes(), bad.read_bytes()
    # As if it had been cut off in its third row.
    scores.write_bytes(b"".join(whole.splitlines(keepends=True)[:3]) + b"4,3.p")
    again = biport(*run, "--skip-bad", bad, "--resume")
    assert again.exit_code == 0, again.stderr
    assert (scores.read_bytes(), bad.read_bytes()) == (whole, kept)
    assert "2 were there already" in again.stdout
    # Pictures may be added behind; one in front, or other numbers, is another run.
    Image.fromarray(np.zeros((6, 8), np.uint8)).save(folder / "9.png")
    assert "8 rows" in biport(*run, "--skip-bad", bad, "--resume").stdout
    other = biport(*run, "--skip-bad", bad, "--resume", "--image-scale", "1")
    assert "rows of another image" in other.stderr
    Image.fromarray(np.zeros((6, 8), np.uint8)).save(folder / "00.png")
    assert "rows of another input" in biport(*run, "--skip-bad", bad, "--resume").stderr


@pytest.mark.parametrize(
    ("more", "why"),
    [
        (["--input", "images", "--text", "review"], "go with texts"),
        (["--input", "images", "--maxlen", "3"], "go with texts"),
        (["--input", "tokens.npz", "--image-scale", "1"], "go with pictures"),
        (["a text", "--image-scale", "1"], "go with pictures"),
        (["--input", "images", "--image-scale", "1/0"], "should be numbers such as 1/255"),
        (["--input", "images", "--image-scale", "1,2,3"], "is one number"),
        (["--input", "images", "--image-mean", "0.5"], "--image-mean and std go with --image-scale"),
        (["--input", "images"], "needs an --output"),
    ],
)
def test_options_that_do_not_go_together(
    more: list[str], why: str, tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    result = biport("run", "m.onnx", *more)
    assert result.exit_code == 2
    assert why in result.stderr.replace("\n", " ")


def test_batches_of_free_width(tmp_path: Path) -> None:
    """Rows of one width go together, others by themselves; nothing is padded."""
    rng = np.random.default_rng(1)
    mean = ops.Reduction(function="mean", axes=(2,))
    graph = Graph((Value("pixels", ("N", 4, "W", 1), "float32"),), (Node("y", mean, ("pixels",)),), ("y",))
    model, folder = tmp_path / "m.onnx", tmp_path / "images"
    export.write(graph, model, images=ImageSettings(scale=1))
    folder.mkdir()
    for number, width in enumerate((5, 9, 5, 3, 9)):
        Image.fromarray(rng.integers(0, 256, (4, width), np.uint8)).save(folder / f"{number}.png")
    assert biport("run", model, "--input", folder, "-o", tmp_path / "o.jsonl").exit_code == 0
    for row in records(tmp_path / "o.jsonl"):
        wanted = np.asarray(Image.open(folder / row["file"])).mean(axis=1)
        assert np.allclose(np.array(row["outputs"]["y"])[:, 0], wanted, rtol=1e-6)


def test_settings_travel_through_folders(tmp_path: Path, folder: Path) -> None:
    graph = tmp_path / "graph"
    bundle.write(classifier(8, 6, 1), graph, labels=LABELS, images=ImageSettings("WHC"))
    assert bundle.read_image_settings(graph) == ImageSettings("WHC")
    ported = tmp_path / "ported"
    more = "--image-scale", "1/255", "--image-mean", "0.5"
    assert biport("port", graph, "--to", "torch", "-o", ported, *more).exit_code == 0
    wanted = ImageSettings("WHC", 1 / 255, (0.5,))
    assert bundle.read_image_settings(ported) == wanted
    model, other = tmp_path / "m.onnx", tmp_path / "other.onnx"
    assert biport("export", ported, "-o", model, "--image-resize", "tf-bilinear").exit_code == 0
    assert export.Session(model, device="cpu").images == ImageSettings(
        "WHC", 1 / 255, (0.5,), (), "tf-bilinear"
    )
    assert biport("port", ported, "--to", "onnx", "-o", other).exit_code == 0
    session = export.Session(other, device="cpu")
    assert (session.images, session.labels) == (wanted, LABELS)
    # A folder is run as it is.
    assert biport("run", ported, "--input", folder, "-o", tmp_path / "folder.csv").exit_code == 0
    assert biport("run", other, "--input", folder, "-o", tmp_path / "file.csv").exit_code == 0
    assert (tmp_path / "folder.csv").read_text() == (tmp_path / "file.csv").read_text()
    assert "file,label,probability" in (tmp_path / "file.csv").read_text()
    wrong = biport("port", graph, "--to", "torch", "-o", tmp_path / "wrong", "--image-layout", "HW")
    assert (wrong.exit_code, (tmp_path / "wrong").exists()) == (2, False)
    assert biport("port", graph, "--to", "keras", "-o", tmp_path / "m.keras", *more).exit_code == 2
