"""Short film and product reviews, made on the spot, whose meaning hangs on the order of the words.

Each review comes from an `Outline`, and its label is what the outline means, never a count of words:

- negation turns one clause: "the plot was never boring";
- contrast leaves the main clause to decide: "although the plot was dull, the acting saved it";
- a clue at one end turns all that the rest says, ten tokens away or more: "Said nobody ever."

Affirmations made of the same words ("nothing but good", "Said everybody always.") stand beside them, and
words of praise and of criticism are drawn alike for both labels, so that a bag of words learns little.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from biport.errors import Argument, InputError

# In every table below, True marks what is good, or what leaves the meaning as it is.
FRAMES = {
    "was {}": True,
    "was truly {}": True,
    "was nothing but {}": True,
    "was {} all along": True,
    "was not {} at all": False,
    "was never {}": False,
    "was anything but {}": False,
    "was far from {}": False,
}
VERB_FRAMES = {"{}": True, "almost {}": False}
VERBS = {"saved it": True, "carried it": True, "ruined it": False, "spoiled it": False}

CONTRASTS = (
    "{aside}, but {main}",
    "although {aside}, {main}",
    "at first {aside}, in the end {main}",
    "{main}, even though {aside}",
)

OPENINGS = {
    "I mean the opposite of what I say next:": False,
    "My friends are right to say the reverse of this:": False,
    "Nothing in this review is true:": False,
    "Here is what I would say to tell a lie:": False,
    "I mean every word of what I say next:": True,
    "My friends are right to say the same as this:": True,
    "Everything in this review is true:": True,
    "Here is what I would say to tell the truth:": True,
}
CLOSINGS = {
    "Said nobody ever.": False,
    "Just kidding, I think the reverse.": False,
    "Not a word of that was true.": False,
    "That was a lie, as my friends know.": False,
    "Said everybody always.": True,
    "No kidding, I think just the same.": True,
    "Every word of that was true.": True,
    "That was the truth, as my friends know.": True,
}


@dataclass(frozen=True)
class Topic:
    """What a review can be about: words for its parts, for praise and criticism, and neutral clauses."""

    subjects: tuple[str, ...]
    praise: tuple[str, ...]
    criticism: tuple[str, ...]
    fillers: tuple[str, ...]


_PRAISE = ("good", "great", "superb", "lovely", "excellent", "brilliant", "impressive", "wonderful")
_CRITICISM = ("bad", "poor", "awful", "weak", "clumsy", "dreadful", "disappointing", "terrible")
# Five to seven words each, which keeps the distances and lengths that the module promises.
_FILLERS = (
    "my friends talked about it at lunch",
    "my brother paid for it this time",
    "I read about it last week",
    "I wrote this on the train",
    "we had made no other plans",
)

FILM = Topic(
    subjects=("acting", "plot", "music", "ending", "dialogue", "pacing", "camera work", "opening scene"),
    praise=(*_PRAISE, "gripping", "charming", "moving"),
    criticism=(*_CRITICISM, "boring", "dull", "lifeless"),
    fillers=(
        *_FILLERS,
        "we saw it on a rainy Tuesday",
        "my sister sat just behind me",
        "the room was about half full",
        "it runs for just over two hours",
        "we took the late bus home",
        "a man in front wore a hat",
        "the lights went down at eight",
        "it is set in a small port",
    ),
)
PRODUCT = Topic(
    subjects=("battery", "screen", "handle", "sound", "charger", "software", "build quality", "support team"),
    praise=(*_PRAISE, "reliable", "handy", "pleasing"),
    criticism=(*_CRITICISM, "useless", "annoying", "shoddy"),
    fillers=(
        *_FILLERS,
        "it came in a plain brown box",
        "I ordered it from work on Monday",
        "the parcel took four days",
        "I keep it on the kitchen shelf",
        "my cousin owns the older model",
        "the label is printed in green",
        "it weighs as much as a mug",
        "the leaflet comes in six languages",
    ),
)

OPINIONS = {
    **dict.fromkeys((*FILM.praise, *PRODUCT.praise), True),
    **dict.fromkeys((*FILM.criticism, *PRODUCT.criticism), False),
    **VERBS,
}


@dataclass(frozen=True)
class Judgement:
    """One clause that judges: "the plot" + "was never {}" + "boring".

    Args:
        subject: what is judged, such as ``the plot``.
        frame: a key of `FRAMES` or, for a verb, of `VERB_FRAMES`.
        opinion: a key of `OPINIONS`.
    """

    subject: str
    frame: str
    opinion: str

    @property
    def negated(self) -> bool:
        """Whether the frame turns the opinion into its opposite."""
        return not (FRAMES | VERB_FRAMES)[self.frame]

    @property
    def positive(self) -> bool:
        """What the clause says, taken at its word."""
        return OPINIONS[self.opinion] != self.negated

    def __str__(self) -> str:
        return f"{self.subject} {self.frame.format(self.opinion)}"


@dataclass(frozen=True)
class Outline:
    """The parts of one review, in the order they are read.

    Args:
        main: the clause that decides.
        aside: the clause that ``main`` outweighs, if any.
        contrast: one of `CONTRASTS`, which joins the two; needed with ``aside`` only.
        opening: a key of `OPENINGS`, or nothing.
        closing: a key of `CLOSINGS`, or nothing.
        before: neutral clauses ahead of the judgement.
        after: neutral clauses behind it.
    """

    main: Judgement
    aside: Judgement | None = None
    contrast: str = CONTRASTS[0]
    opening: str = ""
    closing: str = ""
    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    @property
    def flipped(self) -> bool:
        """Whether the opening or the closing, but not both, turns the meaning of the rest."""
        return OPENINGS.get(self.opening, True) != CLOSINGS.get(self.closing, True)


def is_positive(outline: Outline) -> bool:
    """What the review means: its main clause, or the opposite where the review is flipped."""
    return outline.main.positive != outline.flipped


def render(outline: Outline) -> str:
    """The review as text, one sentence for the judgement and one for each neutral clause."""
    judgement = str(outline.main)
    if outline.aside is not None:
        judgement = outline.contrast.format(main=outline.main, aside=outline.aside)
    clauses = (*outline.before, judgement, *outline.after)
    sentences = (f"{clause[0].upper()}{clause[1:]}." for clause in clauses)
    return " ".join(part for part in (outline.opening, *sentences, outline.closing) if part)


@dataclass(frozen=True)
class Mix:
    """How often each phenomenon occurs, as probabilities.

    Args:
        negation: that a clause is negated.
        contrast: that the main clause has one beside it that says the opposite.
        long_range: that an opening or a closing flips the review.
    """

    negation: float = 0.25
    contrast: float = 0.4
    long_range: float = 0.2

    def __post_init__(self) -> None:
        for name, share in vars(self).items():
            if not 0 <= share <= 1:
                raise InputError(Argument(name, share), ": a probability is between 0 and 1.")


DEFAULT_MIX = Mix()


def draw_outlines(n: int, seed: int, mix: Mix = DEFAULT_MIX) -> list[Outline]:
    """Draw ``n`` outlines, no two with the same text, every two in a row with opposite meanings.

    Raises:
        InputError: for a negative ``n`` or ``seed``.
    """
    if n < 0:
        raise InputError(Argument("n", n), ": there is no such number of reviews.")
    rng = _random(seed)
    drawn: dict[str, Outline] = {}
    wanted: list[bool] = []
    while len(drawn) < n:
        wanted = wanted or rng.sample((True, False), 2)
        outline = _draw_outline(rng, wanted[-1], mix)
        # Even the plainest mix has millions of texts, so that drawing again soon gives a new one.
        if drawn.setdefault(render(outline), outline) is outline:
            wanted.pop()
    return list(drawn.values())


def synthetic_reviews(n: int, seed: int, mix: Mix = DEFAULT_MIX) -> tuple[list[str], NDArray[np.int32]]:
    """Make ``n`` different reviews; the same arguments always give the same ones.

    Args:
        n: how many; half of them are positive, and so is one of every two in turn.
        seed: not negative.
        mix: how often each phenomenon occurs.

    Returns:
        The texts, and labels of shape (n,): 1 for positive, 0 for negative.

    Raises:
        InputError: for a negative ``n`` or ``seed``.
    """
    outlines = draw_outlines(n, seed, mix)
    labels = np.array([is_positive(outline) for outline in outlines], dtype=np.int32)
    return [render(outline) for outline in outlines], labels


@dataclass(frozen=True, eq=False)
class Reviews:
    """Texts with labels of shape (N,), 1 for positive, for training and for testing."""

    train_texts: list[str]
    train_labels: NDArray[np.int32]
    test_texts: list[str]
    test_labels: NDArray[np.int32]


def load_synthetic(n_train: int, n_test: int, seed: int, mix: Mix = DEFAULT_MIX) -> Reviews:
    """Make reviews for training and different ones for testing, each half positive to within one.

    Raises:
        InputError: for a negative number or ``seed``.
    """
    if min(n_train, n_test) < 0:
        raise InputError(f"n_train={n_train}, n_test={n_test}: there are no such numbers of reviews.")
    texts, labels = synthetic_reviews(n_train + n_test, seed, mix)
    return Reviews(texts[:n_train], labels[:n_train], texts[n_train:], labels[n_train:])


def split(texts: Sequence[str], labels: ArrayLike, test_fraction: float, seed: int) -> Reviews:
    """Divide reviews for training and testing, all copies of a text on the same side.

    Args:
        texts: N reviews, of which at least two differ.
        labels: whole numbers of shape (N,).
        test_fraction: the share of the different texts to test on; each side gets one at least.
        seed: not negative; the same arguments always give the same division.

    Returns:
        All the reviews, on each side in the order they came in.

    Raises:
        InputError: for labels that do not match the texts, a fraction not between 0 and 1, too few
            different texts, or a negative ``seed``.
    """
    values = _labels_of(texts, labels)
    if not 0 < test_fraction < 1:
        raise InputError(Argument("test_fraction", test_fraction), ": it is above 0 and below 1.")
    # A dict and not a set: the order of a set of strings changes from one process to the next.
    different = list(dict.fromkeys(texts))
    if len(different) < 2:
        raise InputError(f"{len(different)} different texts cannot be divided; at least 2 can.")
    n_test = min(max(round(test_fraction * len(different)), 1), len(different) - 1)
    chosen = set(_random(seed).sample(different, n_test))
    in_test = np.array([text in chosen for text in texts])
    train, test = ([text for text in texts if (text in chosen) is side] for side in (False, True))
    return Reviews(train, values[~in_test], test, values[in_test])


def _labels_of(texts: Sequence[str], labels: ArrayLike) -> NDArray[np.int32]:
    values = np.asarray(labels)
    if values.shape != (len(texts),):
        raise InputError(f"{len(texts)} texts do not match labels of shape {values.shape}.")
    # An empty list has no kind of its own; NumPy calls it float.
    if values.size and values.dtype.kind not in "biu":
        raise InputError(f"labels are {values.dtype}, not whole numbers.")
    return values.astype(np.int32)


def _random(seed: int) -> random.Random:
    # `Random` drops the sign, so that -1 would silently repeat 1.
    if seed < 0:
        raise InputError(Argument("seed", seed), ": it cannot be negative.")
    return random.Random(seed)


def _draw_outline(rng: random.Random, positive: bool, mix: Mix) -> Outline:
    topic = rng.choice((FILM, PRODUCT))
    contrasted = rng.random() < mix.contrast
    opening, closing = _draw_clue(rng, mix)
    before, after = _draw_fillers(rng, topic, opening, closing, 2 if contrasted else 3)
    decided = positive == (OPENINGS | CLOSINGS).get(opening or closing, True)
    main, aside = _draw_judgements(rng, topic, decided, contrasted, mix)
    return Outline(main, aside, rng.choice(CONTRASTS), opening, closing, before, after)


def _draw_clue(rng: random.Random, mix: Mix) -> tuple[str, str]:
    flips = rng.random() < mix.long_range
    if not flips and rng.random() < 0.7:
        return "", ""
    if rng.random() < 0.5:
        return _pick(rng, OPENINGS, not flips), ""
    return "", _pick(rng, CLOSINGS, not flips)


def _draw_fillers(
    rng: random.Random, topic: Topic, opening: str, closing: str, most: int
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    if not opening and not closing:
        fillers = tuple(rng.sample(topic.fillers, rng.randint(0, 2)))
        cut = rng.randint(0, len(fillers))
        return fillers[:cut], fillers[cut:]
    # All of them go between the clue and the clause it is about, to keep the two apart.
    fillers = tuple(rng.sample(topic.fillers, rng.randint(2, most)))
    return (fillers, ()) if opening else ((), fillers)


def _draw_judgements(
    rng: random.Random, topic: Topic, positive: bool, contrasted: bool, mix: Mix
) -> tuple[Judgement, Judgement | None]:
    first, second = (f"the {subject}" for subject in rng.sample(topic.subjects, 2))
    if not contrasted:
        subject = "it" if rng.random() < 0.2 else first
        return _draw_judgement(rng, topic, subject, positive, mix.negation), None
    aside = _draw_judgement(rng, topic, second, not positive, mix.negation)
    if rng.random() < 0.2:
        return _draw_verdict(rng, first, positive, mix.negation), aside
    return _draw_judgement(rng, topic, first, positive, mix.negation), aside


def _draw_judgement(
    rng: random.Random, topic: Topic, subject: str, positive: bool, negation: float
) -> Judgement:
    negated = rng.random() < negation
    words = topic.praise if positive != negated else topic.criticism
    return Judgement(subject, _pick(rng, FRAMES, not negated), rng.choice(words))


def _draw_verdict(rng: random.Random, subject: str, positive: bool, negation: float) -> Judgement:
    negated = rng.random() < negation
    return Judgement(subject, _pick(rng, VERB_FRAMES, not negated), _pick(rng, VERBS, positive != negated))


def _pick(rng: random.Random, table: dict[str, bool], value: bool) -> str:
    return rng.choice([entry for entry, entry_value in table.items() if entry_value == value])
