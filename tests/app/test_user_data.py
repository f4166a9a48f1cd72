"""The user's rows as a model takes them: every row once, in batches whose padding nobody sees."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from biport import reference
from biport.analysis.text_model import with_tokenizer
from biport.app.user_data import Examples, Taken, read_examples, taken_by
from biport.data import Vocabulary
from biport.errors import BiportError, FileError, InputError
from biport.graph import Graph, Value
from biport.text import Tokenizer
from testing.graphs import classifier, two_inputs

WORDS = ("good", "bad", "film", "very", "the", "so", "long")
VOCABULARY = Vocabulary(("<pad>", "<unk>", *WORDS))
TEXTS = ["good film", "bad", "the film: so very, very long and so bad", "", "very good", "nobody knows it"]


def table(folder: Path, texts: list[str] = TEXTS, **columns: list[str]) -> Path:
    """A CSV of texts and whatever else."""
    path = folder / "reviews.csv"
    lines = [",".join(("review", *columns))]
    for number, text in enumerate(texts):
        lines.append(",".join((f'"{text}"', *(column[number] for column in columns.values()))))
    path.write_text("\n".join(lines) + "\n")
    return path


def taken(graph: Graph, **more: Any) -> Taken:
    return taken_by(with_tokenizer(graph, VOCABULARY), **more)


def classes(examples: Examples) -> list[int]:
    assert examples.labels is not None
    return examples.labels.tolist()


def each_by_itself(graph: Graph, texts: list[str]) -> np.ndarray:
    return np.concatenate(
        [reference.run(graph, [np.array([VOCABULARY.encode(text) or [0]])], "float64")[0] for text in texts]
    )


@pytest.mark.parametrize("masked", [True, False])
def test_every_row_is_there_once_and_gives_what_it_gives_by_itself(masked: bool, tmp_path: Path) -> None:
    graph = classifier(np.random.default_rng(0), masked=masked, merge="sum")
    examples = read_examples(table(tmp_path), taken(graph), text="review")
    assert sorted(np.concatenate(examples.rows).tolist()) == [*range(len(TEXTS))]
    assert examples.texts == TEXTS
    results = [reference.run(graph, arrays, "float64")[0] for arrays in examples.batches]
    np.testing.assert_allclose(
        examples.in_row_order(results), each_by_itself(graph, TEXTS), rtol=0, atol=1e-12
    )
    # What sees padding gets none; what does not is run in one batch, but for what is padding already.
    padded = [array for (array,) in examples.batches if (array == 0).any() and array.shape[1] > 1]
    assert bool(padded) is masked
    assert len(examples.batches) == (2 if masked else 4)
    assert examples.valid is not None
    assert examples.sources is not None
    for (ids,), valid, (texts,) in zip(examples.batches, examples.valid, examples.sources, strict=True):
        assert valid.sum(1).tolist() == [len(VOCABULARY.encode(text)) for text in texts]
        assert ids.dtype == "int32"


def test_labels_are_names_or_numbers(tmp_path: Path) -> None:
    graph = classifier(np.random.default_rng(0), classes=1)
    names = ["no", "yes", "no", "no", "yes", "yes"]
    file = table(tmp_path, mood=names, number=["0", "1", "0", "0", "1", "1"], three=[*"012012"])
    model = taken(graph, labels=("no", "yes"))
    for column in ("mood", "number"):
        examples = read_examples(file, model, text="review", label=column)
        assert classes(examples) == [0, 1, 0, 0, 1, 1]
    read = read_examples(file, taken(graph), text="review", label="mood", labels=("yes", "no"))
    assert classes(read) == [1, 0, 1, 1, 0, 0]
    assert read.names == ("yes", "no")
    assert f"6 rows of {file} (texts in review, labels in mood; sha256 " in read.described
    assert read.origin.digest == hashlib.sha256(file.read_bytes()).hexdigest()
    assert len(read_examples(file, model, text="review", label="mood", limit=2)) == 2
    for column, other, words in (
        ("mood", taken(graph), "'no' is the label, and nobody says which class"),
        ("three", model, "expected a label of '0', '1', found '2'"),
        ("mood", taken(graph, labels=("no", "maybe")), "expected a label of 'no', 'maybe', found 'yes'"),
        ("stars", model, "expected a column 'stars'"),
    ):
        with pytest.raises(BiportError, match=words):
            read_examples(file, other, text="review", label=column)
    with pytest.raises(InputError, match="the model has 2 classes, found 3"):
        read_examples(file, taken(graph), text="review", label="mood", labels=("a", "b", "c"))


def test_data_that_say_nothing_are_refused(tmp_path: Path) -> None:
    graph = classifier(np.random.default_rng(0), classes=1)
    model = taken(graph, labels=("no", "yes"))
    with pytest.raises(InputError, match="all 6 rows are labelled 'no'"):
        read_examples(table(tmp_path, mood=["no"] * 6), model, text="review", label="mood")
    with pytest.raises(InputError, match="holds no row"):
        read_examples(table(tmp_path, []), model, text="review")
    with pytest.raises(BiportError, match="'words'"):
        read_examples(table(tmp_path), model, text="words")
    with pytest.raises(InputError, match="says no tokeniser for its input 'ids'"):
        read_examples(table(tmp_path), graph)
    values = (*graph.inputs, Value("stars", ("N", 1), "float32"))
    several = Taken(values, tokenizers={"ids": Tokenizer(WORDS, source="ids")})
    with pytest.raises(InputError, match=r"one text a row, and the model takes ids, stars; give an \.npz"):
        read_examples(table(tmp_path), several)
    with pytest.raises(InputError, match="limit=0"):
        read_examples(table(tmp_path), model, limit=0)


def test_arrays_are_divided_and_labels_are_one_of_them(tmp_path: Path) -> None:
    graph = classifier(np.random.default_rng(0))
    ids = np.random.default_rng(1).integers(1, 9, (600, 40))
    labels = np.arange(600) % 3
    np.savez(tmp_path / "all.npz", ids=ids, labels=labels)
    examples = read_examples(tmp_path / "all.npz", graph, label="labels")
    assert classes(examples) == labels.tolist()
    np.testing.assert_array_equal(np.concatenate([batch[0] for batch in examples.batches]), ids)
    assert [len(batch[0]) for batch in examples.batches] == [204, 204, 192]
    assert len(read_examples(tmp_path / "all.npz", graph, label="labels", limit=7)) == 7
    np.savez(tmp_path / "short.npz", ids=ids, labels=labels[:5])
    np.savez(tmp_path / "wide.npz", ids=ids, labels=np.eye(600))
    np.save(tmp_path / "one.npy", ids)
    np.save(tmp_path / "none.npy", ids[:0])
    assert len(read_examples(tmp_path / "one.npy", graph)) == 600
    for name, label, words in (
        ("short.npz", "labels", "has 5 labels in 'labels' and 600 rows"),
        ("wide.npz", "labels", "should be a number or a name a row"),
        ("all.npz", "stars", "expected an array 'stars'"),
        ("one.npy", "labels", "found one array alone"),
        ("none.npy", None, "holds no row"),
    ):
        with pytest.raises(BiportError, match=words):
            read_examples(tmp_path / name, graph, label=label)
    np.save(tmp_path / "far.npy", ids + 90)
    with pytest.raises(InputError, match="ids should be in"):
        read_examples(tmp_path / "far.npy", graph)
    several = two_inputs()
    np.savez(tmp_path / "two.npz", one=ids[:5] % 11, two=ids[:5] % 11)
    assert [array.shape for array in read_examples(tmp_path / "two.npz", several).batches[0]] == [(5, 40)] * 2


def test_a_tokeniser_of_fixed_length_says_how_long_rows_are(tmp_path: Path) -> None:
    """Its padding is seen by a model without a mask, as it was in training."""
    tokenizer = Tokenizer(WORDS, length=5, source="ids")
    values = (Value("ids", ("N", 5), "int32"),)
    examples = read_examples(table(tmp_path), Taken(values, tokenizers={"ids": tokenizer}), text="review")
    assert [array.shape for (array,) in examples.batches] == [(6, 5)]
    assert examples.valid is not None
    assert examples.valid[0].sum(1).tolist() == [2, 1, 5, 0, 2, 3]
    short = Taken(values, tokenizers={"ids": Tokenizer(WORDS, source="ids")})
    with pytest.raises(InputError, match="rows of 5 steps; it sees padding, so none is added; 'good film'"):
        read_examples(table(tmp_path), short, text="review")


def test_json_lines_and_plain_lines(tmp_path: Path) -> None:
    graph = classifier(np.random.default_rng(0), classes=1)
    rows = [{"text": "good", "label": "yes"}, {"text": "bad", "label": "no"}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    (tmp_path / "rows.txt").write_text("good\n\nbad film\n")
    model = taken(graph, labels=("no", "yes"))
    examples = read_examples(tmp_path / "rows.jsonl", model, label="label")
    assert examples.origin.text == "text"
    assert classes(examples) == [1, 0]
    plain = read_examples(tmp_path / "rows.txt", model)
    assert plain.texts == ["good", "", "bad film"]
    assert plain.origin.text is None
    with pytest.raises(FileError, match="expected a column 'label'"):
        read_examples(tmp_path / "rows.txt", model, label="label")
