"""The recipes by name."""

from __future__ import annotations

from biport.errors import Argument, InputError
from biport.training.recipe import Recipe

_RECIPES = (
    Recipe(
        name="reviews",
        task="sentiment",
        data="reviews",
        family="sentiment",
        settings={"embedding_size": 32, "units": [32], "merge": "concat", "dropout": 0.0, "masked": True},
        # An exclusive or at a distance: accuracy stays near a half for a few epochs, then jumps.
        learning_rate=7e-3,
        decay="cosine",
        clip_norm=1.0,
        epochs=14,
        limit=4000,
    ),
    Recipe(
        name="reviews-attention",
        task="sentiment",
        data="reviews",
        family="attentive_sentiment",
        settings={"embedding_size": 32, "units": [32], "attention_units": 32, "dropout": 0.0, "masked": True},
        learning_rate=7e-3,
        decay="cosine",
        clip_norm=1.0,
        epochs=14,
        limit=4000,
    ),
    Recipe(
        name="imdb-sum",
        task="sentiment",
        data="imdb",
        family="sentiment",
        settings={"embedding_size": 15, "units": [10], "merge": "sum", "dropout": 0.0, "masked": False},
        epochs=5,
        batch_size=128,
        validation_share=0.2,
        vocabulary_limit=5000,
        max_length=300,
    ),
    Recipe(
        name="tags",
        task="tagger",
        data="tags",
        family="tagger",
        settings={"embedding_size": 16, "units": 32, "lstm_units": 32, "join": "concat", "dropout": 0.0},
        learning_rate=5e-3,
        decay="cosine",
        clip_norm=1.0,
        limit=4000,
    ),
    Recipe(
        name="steps",
        task="tagger",
        data="steps",
        family="tagger",
        settings={"units": 32, "lstm_units": 32, "join": "learned", "dropout": 0.0},
        learning_rate=5e-3,
        decay="cosine",
        clip_norm=1.0,
        limit=4000,
    ),
    Recipe(
        name="dates",
        task="seq2seq",
        data="dates",
        family="seq2seq",
        settings={"embedding_size": 32, "units": [64], "cell": "lstm", "attention": "dot"},
        learning_rate=5e-3,
        decay="cosine",
        clip_norm=1.0,
        epochs=6,
        limit=30_000,
        unit="character",
    ),
    Recipe(
        name="pairs",
        task="seq2seq",
        data="pairs.tsv",
        family="seq2seq",
        settings={"embedding_size": 128, "units": [128], "cell": "lstm", "attention": "dot"},
        decay="cosine",
        clip_norm=1.0,
        vocabulary_limit=10_000,
        max_length=50,
    ),
)

RECIPES = {recipe.name: recipe for recipe in _RECIPES}


def find_recipe(task: str, name: str | None, data: str | None) -> Recipe:
    """The recipe called ``name``, or the default one of a task and its data, with ``data`` in it.

    Raises:
        InputError: there is none of that name for the task.
    """
    known = {recipe.name: recipe for recipe in _RECIPES if recipe.task == task}
    if name is None:
        suited = [recipe.name for recipe in known.values() if recipe.data == data]
        pairs = ["pairs"] if task == "seq2seq" and data not in (None, "dates") else []
        name = [*suited, *pairs, *known][0]
    if name not in known:
        raise InputError(Argument("recipe", name), f": for {task} there are {', '.join(known)}.")
    return known[name].but(data=data)
