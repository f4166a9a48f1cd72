"""Recipes: their table, plain data, differences, and the data they name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from biport.data import BatchPosition, Vocabulary
from biport.errors import FileError, InputError
from biport.training import RECIPES, SGD, Adam, Recipe, RMSprop, find_recipe
from biport.training import data as training_data
from biport.training.data import class_a_step, load_data, next_token
from biport.training.optimizers import rate_at
from biport.training.recipe import differences


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(training_data, "EVALUATION_ROWS", 6)


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_come_back_from_plain_data(name: str) -> None:
    recipe = RECIPES[name].but(optimizer=SGD(0.5, nesterov=True), seed=3)
    again = Recipe.from_json(json.loads(json.dumps(recipe.to_json())))
    assert again == recipe
    assert not differences(recipe.to_json(), again.to_json())


def test_the_default_recipe_of_a_task_and_its_data() -> None:
    names = {
        ("sentiment", None): "reviews",
        ("sentiment", "imdb"): "imdb-sum",
        ("sentiment", "mine.csv"): "reviews",
        ("tagger", None): "tags",
        ("tagger", "steps"): "steps",
        ("seq2seq", None): "dates",
        ("seq2seq", "deu.tsv"): "pairs",
    }
    for (task, data), name in names.items():
        recipe = find_recipe(task, None, data)
        assert recipe.name == name
        assert data in (None, recipe.data)
    assert find_recipe("sentiment", "reviews-attention", "a.csv").family == "attentive_sentiment"
    with pytest.raises(InputError, match="recipe='dates': for tagger there are tags, steps"):
        find_recipe("tagger", "dates", None)


def test_differences_are_named() -> None:
    one, two = RECIPES["dates"], RECIPES["dates"].but(epochs=3, optimizer=Adam(epsilon=1e-8))
    assert differences(one.to_json(), two.to_json()) == [
        "optimizer.epsilon: 1e-07 there, 1e-08 now",
        f"epochs: {one.epochs} there, 3 now",
    ]
    assert differences({"optimizer": {"kind": "sgd"}}, {"optimizer": {"kind": "adam"}, "x": 1}) == [
        "optimizer.kind: 'sgd' there, 'adam' now",
        "x: None there, 1 now",
    ]


BAD: dict[str, dict[str, Any]] = {
    "task": {"task": "vision"},
    "decay": {"decay": "linear"},
    "unit": {"unit": "byte"},
    "tags": {"tags": "crf"},
    "dtype": {"dtype": "float16"},
    "epochs": {"epochs": 0},
    "limit": {"limit": 0},
    "seed": {"seed": -1},
    "learning_rate": {"learning_rate": 0.0},
    "clip_norm": {"clip_norm": float("nan")},
    "validation_share": {"validation_share": 1.0},
}


@pytest.mark.parametrize("name", BAD)
def test_settings_out_of_range_are_refused(name: str) -> None:
    with pytest.raises(InputError, match=f"^{name}="):
        RECIPES["tags"].but(**BAD[name])


def test_optimizers_out_of_range_are_refused() -> None:
    for make in (
        lambda: SGD(1.0),
        lambda: SGD(nesterov=True),
        lambda: Adam(beta_2=-0.1),
        lambda: Adam(epsilon=0.0),
        lambda: RMSprop(rho=2.0),
        lambda: RMSprop(epsilon=float("nan")),
    ):
        with pytest.raises(InputError):
            make()
    with pytest.raises(InputError, match="optimizer='lion': it is one of sgd, adam, rmsprop"):
        Recipe.from_json(RECIPES["tags"].to_json() | {"optimizer": {"kind": "lion"}})
    with pytest.raises(InputError, match="no recipe"):
        Recipe.from_json({"name": "x", "optimizer": {"kind": "sgd"}})


def test_rates() -> None:
    assert [rate_at(step, 4, 0.2, "constant") for step in range(4)] == [0.2] * 4
    cosine = [rate_at(step, 4, 0.2, "cosine") for step in range(5)]
    np.testing.assert_allclose(cosine, [0.2, 0.1 + 0.1 / 2**0.5, 0.1, 0.1 - 0.1 / 2**0.5, 0], atol=1e-15)


def test_tags_are_cut_to_the_longest_row() -> None:
    recipe = find_recipe("tagger", None, None).but(limit=5, batch_size=3, tags="softmax")
    data = load_data(recipe)
    assert data.sizes == {"vocabulary_size": 50, "tags": 3}
    for rows in data.batches(data.train, recipe, BatchPosition()):
        batch = data.arrange(rows)
        assert batch.inputs[0].shape == batch.truth.shape == batch.weight.shape
        assert batch.weight[:, -1].any()
        np.testing.assert_array_equal(batch.weight, batch.inputs[0] != 0)
    steps = load_data(find_recipe("tagger", None, "steps").but(limit=5))
    assert steps.sizes == {"features": 4, "tags": 1}
    empty = class_a_step((np.zeros((2, 3), np.int32), np.zeros((2, 3), np.int32), np.zeros((2, 3), bool)))
    assert empty.truth.shape == (2, 1)


def test_dates_are_read_one_character_ahead() -> None:
    recipe = find_recipe("seq2seq", None, None).but(limit=9, batch_size=4)
    data = load_data(recipe)
    target = data.vocabularies["target_vocabulary.json"]
    assert data.sizes["target_size"] == len(target)
    batch = data.arrange(next(iter(data.batches(data.train, recipe, BatchPosition()))))
    read, truth = batch.inputs[1], batch.truth
    assert read.shape == truth.shape == (4, 11)
    assert (read[:, 0] == 2).all()
    assert (truth[:, -1] == 3).all()
    np.testing.assert_array_equal(read[:, 1:], truth[:, :-1])
    assert len(data.test[0]) == len(data.validation[0]) == 6
    short = next_token((np.ones((1, 2), np.int32), np.array([[2, 4, 3, 0]], np.int32)))
    assert short.inputs[1].tolist() == [[2, 4, 3]]
    assert short.truth.tolist() == [[4, 3, 0]]
    assert short.weight.tolist() == [[1, 1, 0]]


def test_pairs_and_texts_from_files(tmp_path: Path) -> None:
    tsv = tmp_path / "pairs.tsv"
    tsv.write_text("".join(f"source {n}\tziel {n}\n" for n in range(30)))
    data = load_data(find_recipe("seq2seq", None, str(tsv)).but(limit=7))
    assert [len(part[0]) for part in (data.train, data.validation, data.test)] == [7, 3, 3]
    assert data.vocabularies["source_vocabulary.json"].unit == "word"

    rows = [f"good film {n},up\nbad film {n},down\nfilm {n},level\n" for n in range(10)]
    csv = tmp_path / "texts.csv"
    csv.write_text("text,label\n" + "".join(rows))
    data = load_data(find_recipe("sentiment", None, str(csv)))
    assert data.labels == ("down", "level", "up")
    assert data.sizes["classes"] == 3
    assert sum(len(part[0]) for part in (data.train, data.validation, data.test)) == 30
    csv.write_text("text,label\ngood,up\nbetter,up\nbest,up\n")
    with pytest.raises(FileError, match=r"two classes or more, found \['up'\]"):
        load_data(find_recipe("sentiment", None, str(csv)))


def test_imdb_from_its_folder(tmp_path: Path) -> None:
    for side in ("train", "test"):
        for number, label in enumerate(("neg", "pos")):
            folder = tmp_path / "aclImdb" / side / label
            folder.mkdir(parents=True)
            for n in range(5):
                (folder / f"{n}_{1 + 9 * number}.txt").write_text(f"{label} film number {n}")
    recipe = find_recipe("sentiment", "imdb-sum", str(tmp_path / "aclImdb"))
    data = load_data(recipe)
    assert [np.asarray(part[0]).shape for part in (data.train, data.validation, data.test)] == [
        (8, 300),
        (2, 300),
        (10, 300),
    ]
    assert data.sizes == {"vocabulary_size": 5000, "classes": 1}


def test_unknown_data_are_refused() -> None:
    for task in ("sentiment", "tagger", "seq2seq"):
        with pytest.raises(InputError, match=f"data='no/such': for {task} give"):
            load_data(find_recipe(task, None, "no/such"))


def test_the_summary_of_data_changes_with_them() -> None:
    recipe = find_recipe("sentiment", None, None).but(limit=20)
    one, same = load_data(recipe).summary(), load_data(recipe).summary()
    assert one == same
    assert one["rows"] == {"train": 20, "validation": 6, "test": 6}
    assert one["labels"] == ["negative", "positive"]
    other = load_data(recipe.but(seed=1)).summary()
    assert other["digest"] != one["digest"]
    assert isinstance(load_data(recipe).vocabularies["vocabulary.json"], Vocabulary)
