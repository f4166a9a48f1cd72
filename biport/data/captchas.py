"""Pictures of a few characters each, to be read from left to right: synthetic captchas, drawn on the spot.

Each character is a bitmap of 5 by 7 cells that is shifted, scaled, rotated and sheared; a stroke crosses the
picture, and every pixel is noisy. No fonts are needed, and no pictures are stored.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from biport.data.padding import pad
from biport.data.records import generator
from biport.errors import Argument, InputError

_FONT = {
    "2": ".###. #...# ....# ...#. ..#.. .#... #####",
    "3": "##### ...#. ..#.. ...#. ....# #...# .###.",
    "4": "...#. ..##. .#.#. #..#. ##### ...#. ...#.",
    "5": "##### #.... ####. ....# ....# #...# .###.",
    "6": "..##. .#... #.... ####. #...# #...# .###.",
    "7": "##### ....# ...#. ..#.. .#... .#... .#...",
    "8": ".###. #...# #...# .###. #...# #...# .###.",
    "9": ".###. #...# #...# .#### ....# ...#. .##..",
    "A": ".###. #...# #...# ##### #...# #...# #...#",
    "C": ".###. #...# #.... #.... #.... #...# .###.",
    "E": "##### #.... #.... ####. #.... #.... #####",
    "F": "##### #.... #.... ####. #.... #.... #....",
    "H": "#...# #...# #...# ##### #...# #...# #...#",
    "K": "#...# #..#. #.#.. ##... #.#.. #..#. #...#",
    "L": "#.... #.... #.... #.... #.... #.... #####",
    "M": "#...# ##.## #.#.# #.#.# #...# #...# #...#",
    "P": "####. #...# #...# ####. #.... #.... #....",
    "R": "####. #...# #...# ####. #.#.. #..#. #...#",
    "T": "##### ..#.. ..#.. ..#.. ..#.. ..#.. ..#..",
    "X": "#...# #...# .#.#. ..#.. .#.#. #...# #...#",
}
"""Rows of cells, from the top; characters that are easily taken for one another have been left out."""
ALPHABET = "".join(_FONT)
LENGTHS = (4, 5)
"""The least and the most characters of a text."""
HEIGHT, WIDTH = 32, 96


@dataclass(frozen=True, eq=False)
class Captchas:
    """Grey pictures and what is written in them.

    Args:
        images: of shape (N, H, W, 1), uint8: dark characters on a light ground.
        texts: N texts of characters of `ALPHABET`.
    """

    images: NDArray[np.uint8]
    texts: list[str]

    @property
    def ids(self) -> NDArray[np.int32]:
        """The texts as ids ``(N, 5)``: 1 is the first of `ALPHABET`, 0 fills up short rows."""
        return pad([[1 + ALPHABET.index(one) for one in text] for text in self.texts], LENGTHS[1])

    def part(self, which: slice) -> Captchas:
        """Some of them."""
        return Captchas(self.images[which], self.texts[which])


def load_captchas(n: int, seed: int) -> Captchas:
    """Draw ``n`` captchas of 32 by 96 pixels; the same arguments always give the same ones.

    Args:
        n: N, how many.
        seed: not negative.

    Raises:
        InputError: for a number out of range.

    Example:
        >>> drawn = load_captchas(2, seed=1)
        >>> drawn.images.shape, [len(text) in LENGTHS for text in drawn.texts]
        ((2, 32, 96, 1), [True, True])
    """
    if n < 0:
        raise InputError(Argument("n", n), ": there is no such number of captchas.")
    rng = generator(seed)
    images = np.empty((n, HEIGHT, WIDTH, 1), np.uint8)
    texts = []
    for image in images:
        length = rng.integers(LENGTHS[0], LENGTHS[1] + 1)
        texts.append("".join(ALPHABET[one] for one in rng.integers(len(ALPHABET), size=length)))
        image[..., 0] = _drawn(texts[-1], rng)
    return Captchas(images, texts)


def _drawn(text: str, rng: np.random.Generator) -> NDArray[np.uint8]:
    """A picture of a text, ``(H, W)``."""
    ink = np.maximum(_characters(text, rng).max(axis=0), 0.8 * _stroke(rng))
    ground, contrast = rng.uniform(190, 240), rng.uniform(110, 180)
    grey = ground - contrast * ink + rng.normal(0, 12, size=ink.shape)
    return np.clip(np.rint(grey), 0, 255).astype(np.uint8)


def _characters(text: str, rng: np.random.Generator) -> NDArray[np.float64]:
    """How much ink of each character is where, from 0 to 1: ``(L, H, W)``."""
    count, space = len(text), WIDTH / len(text)
    x = space * (np.arange(count) + 0.5) + rng.uniform(-2, 2, count)
    y = HEIGHT / 2 + rng.uniform(-3, 3, count)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    # From a pixel to the cell that is drawn there: turned and sheared back, then scaled down.
    down, right = rows - y[:, None, None], columns - x[:, None, None]
    angle = rng.uniform(-0.25, 0.25, (count, 1, 1))
    down, right = np.cos(angle) * down - np.sin(angle) * right, np.sin(angle) * down + np.cos(angle) * right
    right = right + rng.uniform(-0.25, 0.25, (count, 1, 1)) * down
    row = 3 + down / rng.uniform(2.4, 3.2, (count, 1, 1))
    column = 2 + right / rng.uniform(2.2, 2.9, (count, 1, 1))
    cells = np.stack([_cells(one) for one in text])
    return _between(cells, row, column)


def _cells(character: str) -> NDArray[np.float64]:
    """The bitmap of a character, ``(7, 5)``."""
    return np.array([[cell == "#" for cell in row] for row in _FONT[character].split()], np.float64)


def _between(cells: NDArray, row: NDArray, column: NDArray) -> NDArray[np.float64]:
    """Values of ``cells`` ``(L, R, C)`` at places between them, ``(L, H, W)``; 0 outside."""
    cells = np.pad(cells, ((0, 0), (1, 2), (1, 2)))
    row = np.clip(row + 1, 0, cells.shape[1] - 1.001)
    column = np.clip(column + 1, 0, cells.shape[2] - 1.001)
    top, left = row.astype(int), column.astype(int)
    below, beyond = row - top, column - left
    each = np.arange(len(cells))[:, None, None]
    upper = (1 - beyond) * cells[each, top, left] + beyond * cells[each, top, left + 1]
    lower = (1 - beyond) * cells[each, top + 1, left] + beyond * cells[each, top + 1, left + 1]
    return (1 - below) * upper + below * lower


def _stroke(rng: np.random.Generator) -> NDArray[np.float64]:
    """The ink of a thin line from the left edge to the right one, ``(H, W)``."""
    start, end = rng.uniform(2, HEIGHT - 2, 2)
    rows, columns = np.mgrid[:HEIGHT, :WIDTH]
    line = start + (end - start) * columns / WIDTH
    return np.clip(1.2 - np.abs(rows - line), 0, 1)
