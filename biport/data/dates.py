"""Dates as people write them, and as ISO 8601 does: "Wed, the 3rd of March 2021" is "2021-03-03".

Pairs of texts for a model that reads characters and writes characters. Every surface form means one date and
no other, given only what `YEARS` says of two digits:

- day and month both as numbers, in either order, only where the day cannot be a month or is the same number;
- a year of two digits only behind an apostrophe, or where no day and no month has that number.

Source: translating dates is a common first task for attention; the forms are biport's own.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence

import numpy as np

from biport.data.records import Pairs, PairSplit, generator
from biport.errors import Argument, InputError

YEARS = range(1950, 2050)
"""The years that dates are drawn from; each pair of digits ends one of them."""

MONTHS = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
_TEENS = (
    *("first", "second", "third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth"),
    *("eleventh", "twelfth", "thirteenth", "fourteenth", "fifteenth", "sixteenth", "seventeenth"),
    *("eighteenth", "nineteenth"),
)
ORDINALS = (
    *_TEENS,
    "twentieth",
    *(f"twenty-{ordinal}" for ordinal in _TEENS[:9]),
    *("thirtieth", "thirty-first"),
)

# d, dd: 3, 03. th: 3rd. ordinal: third. m, mm: 3, 03. mon: Mar. yyyy, yy: 2021, 21. wd: Wed.
WORD_FORMS = (
    *("{d} {month} {yyyy}", "{dd} {month} {yyyy}", "{th} {month} {yyyy}", "{th} of {month}, {yyyy}"),
    *("{th} of {month} {yyyy}", "the {th} of {month}, {yyyy}", "{month} {d}, {yyyy}"),
    *("{month} {th}, {yyyy}", "{month} the {th}, {yyyy}", "{d} {mon} {yyyy}", "{d} {mon}. {yyyy}"),
    *("{mon} {d}, {yyyy}", "{mon}. {d}, {yyyy}", "{mon} {th} {yyyy}", "{dd}-{mon}-{yyyy}"),
    *("{d}/{mon}/{yyyy}", "{dd}.{mon}.{yyyy}", "{yyyy} {month} {d}", "{yyyy}, {month} {d}"),
    *("{yyyy}-{mon}-{dd}", "{yyyy} {mon} {dd}", "the {ordinal} of {month} {yyyy}"),
    *("the {ordinal} of {month}, {yyyy}", "{month} the {ordinal}, {yyyy}", "{weekday}, {d} {month} {yyyy}"),
    *("{weekday}, {month} {d}, {yyyy}", "{weekday} {month} {th}, {yyyy}"),
    *("{weekday} the {th} of {month}, {yyyy}", "{weekday}, the {ordinal} of {month}, {yyyy}"),
    *("{wd} {d} {mon} {yyyy}", "{wd}, {dd} {mon} {yyyy}", "{wd} {mon} {dd} {yyyy}"),
    *("{wd}. {mon}. {d}, {yyyy}", "{month} {d} of the year {yyyy}", "in {yyyy}, on the {th} of {month}"),
    *("{d}{mon}{yyyy}", "{d} {month} '{yy}", "{month} {d}, '{yy}", "{th} of {month} '{yy}"),
    *("{wd} {d} {mon} '{yy}", "{d} {mon} {yy}", "{dd}-{mon}-{yy}", "{mon} {d}, {yy}", "{month} {th}, {yy}"),
    "{dd}{mon}{yy}",
)
NUMBER_FORMS = (
    *("{yyyy}/{mm}/{dd}", "{yyyy}.{mm}.{dd}", "{yyyy} {mm} {dd}", "{yyyy}{mm}{dd}", "{yyyy}-{m}-{d}"),
    *("{yyyy}/{m}/{d}", "{d}/{m}/{yyyy}", "{dd}/{mm}/{yyyy}", "{m}/{d}/{yyyy}", "{mm}/{dd}/{yyyy}"),
    *("{d}.{m}.{yyyy}", "{dd}.{mm}.{yyyy}", "{d}. {m}. {yyyy}", "{dd}-{mm}-{yyyy}", "{mm}-{dd}-{yyyy}"),
    *("{d}/{m}/{yy}", "{mm}/{dd}/{yy}", "{d}.{m}.{yy}", "{m}-{d}-{yy}", "{d}.{m}.'{yy}"),
    *("{wd} {m}/{d}/{yyyy}", "{yyyy}-{mm}-{dd}"),
)
FORMS = WORD_FORMS + NUMBER_FORMS

MOST_PAIRS = 500_000
"""More are not drawn: there are over a million, but the last ones take long to meet."""


def ordinal(day: int) -> str:
    """The day with its ending: 1st, 2nd, 3rd, 4th, 11th."""
    ending = "th" if day in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")
    return f"{day}{ending}"


def is_clear(form: str, date: datetime.date) -> bool:
    """Whether ``date`` written in ``form`` can be read as no other date."""
    short = form.find("{yy}")
    if short >= 0 and form[short - 1] != "'" and 0 < date.year % 100 <= 31:
        return False
    year_first = form.startswith("{yyyy}")
    return form in WORD_FORMS or year_first or date.day > 12 or date.day == date.month


def write_date(form: str, date: datetime.date) -> str:
    """``date`` in ``form``, one of `FORMS`."""
    month, weekday = MONTHS[date.month - 1], WEEKDAYS[date.weekday()]
    return form.format(
        d=date.day,
        dd=f"{date.day:02}",
        th=ordinal(date.day),
        ordinal=ORDINALS[date.day - 1],
        m=date.month,
        mm=f"{date.month:02}",
        month=month,
        mon=month[:3],
        yyyy=date.year,
        yy=f"{date.year % 100:02}",
        weekday=weekday,
        wd=weekday[:3],
    )


def date_pairs(n: int, seed: int) -> Pairs:
    """Draw ``n`` dates in a form each; fewer with the same seed are the first of them.

    For a model, the characters of the sources and of the targets::

        source = Vocabulary.fit(pairs.sources, unit="character")
        target = Vocabulary.fit(pairs.targets, unit="character", ends=True)

    Args:
        n: how many, `MOST_PAIRS` at most; no two sources are the same.
        seed: not negative.

    Raises:
        InputError: for an ``n`` out of range or a negative ``seed``.
    """
    if not 0 <= n <= MOST_PAIRS:
        raise InputError(Argument("n", n), f": from 0 to {MOST_PAIRS} dates can be drawn.")
    rng = generator(seed)
    drawn: dict[str, str] = {}
    while len(drawn) < n:
        for source, target in _draw(rng):
            drawn.setdefault(source, target)
    return Pairs(list(drawn)[:n], list(drawn.values())[:n], [""] * n)


def load_dates(n_train: int, n_validation: int, n_test: int, seed: int) -> PairSplit:
    """Draw dates in three parts; no text of one is in another.

    Raises:
        InputError: for negative numbers, too many dates, or a negative ``seed``.
    """
    sizes = n_train, n_validation, n_test
    if min(sizes) < 0:
        raise InputError(f"{n_train=}, {n_validation=}, {n_test=}: there are no such numbers of dates.")
    pairs = date_pairs(sum(sizes), seed)
    cut = n_train + n_validation
    parts = range(n_train), range(n_train, cut), range(cut, cut + n_test)
    return PairSplit(*(pairs.part(part) for part in parts))


def _draw(rng: np.random.Generator, most: int = 1024) -> Sequence[tuple[str, str]]:
    """At most so many pairs: forms that would not be clear are left out."""
    first = datetime.date(YEARS[0], 1, 1).toordinal()
    end = datetime.date(YEARS[-1] + 1, 1, 1).toordinal()
    days = rng.integers(first, end, size=most).tolist()
    forms = rng.integers(len(FORMS), size=most).tolist()
    # Half as they are; the rest all small or all capital letters.
    cases = rng.integers(4, size=most).tolist()
    pairs = []
    for day, form, case in zip(days, forms, cases, strict=True):
        date = datetime.date.fromordinal(day)
        if is_clear(FORMS[form], date):
            text = write_date(FORMS[form], date)
            pairs.append(({2: text.lower(), 3: text.upper()}.get(case, text), date.isoformat()))
    return pairs
