"""Pictures say which model they are of, and no legend lies over what it explains."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest

from biport.app.bench.command import draw
from biport.app.bench.run import Race, SizeTimes
from biport.app.measure import Times
from biport.app.train import merges
from biport.app.train.merges import Row
from biport.training import curves
from biport.training.progress import Epoch

EPOCHS = [Epoch(number, 0.1, 0.7 / number, 0.5, 0.8 / number, 0.5) for number in (1, 2)]


def check(figure: Any, *words: str) -> None:
    (legend,) = figure.legends
    # Drawn once: that is when things get their positions.
    figure.savefig(io.BytesIO())
    box = legend.get_window_extent()
    for axes in figure.axes:
        assert axes.get_legend() is None
        assert not box.overlaps(axes.get_window_extent())
    titles = [figure.get_suptitle(), *(axes.get_title() for axes in figure.axes)]
    assert all(any(word in title for title in titles) for word in words)


def test_of_the_bench() -> None:
    names = ["fused", "torch"]
    cells = [
        SizeTimes(N, 5, Times({name: [0.001] for name in names}, dict.fromkeys(names, 0.001)), {})
        for N in (1, 8, 32)
    ]
    check(draw(Race(names, {}, cells, 1, "a machine; versions"), "model.keras"), "model.keras", "a machine")


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    figures: list[Any] = []
    for module in (curves, merges):
        monkeypatch.setattr(module, "save_figure", lambda figure, path: figures.append(figure))
    return figures


def test_of_curves(drawn: list[Any]) -> None:
    curves.draw_curves({"one": EPOCHS, "two": EPOCHS}, Path("c.png"), "tagger, recipe tags")
    check(drawn[0], "recipe tags")


def test_of_merges(drawn: list[Any]) -> None:
    rows = [
        Row(merge, framework, 0.9, 0.1, 1.0, EPOCHS)
        for merge in merges.MERGES
        for framework in ("keras", "torch")
    ]
    merges._draw(rows, Path("m.png"), "sentiment, recipe imdb-sum")
    check(drawn[0], "recipe imdb-sum")
