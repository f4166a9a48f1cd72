"""Each form of a date against a reader that knows nothing of the forms, and lists all a text can mean."""

from __future__ import annotations

import datetime
import itertools
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from biport.data import Vocabulary
from biport.data.dates import (
    FORMS,
    MONTHS,
    ORDINALS,
    WEEKDAYS,
    YEARS,
    date_pairs,
    is_clear,
    load_dates,
    ordinal,
    write_date,
)
from biport.errors import InputError

DATES = st.dates(datetime.date(1950, 1, 1), datetime.date(2049, 12, 31))


def _roles(token: str) -> set[tuple[str, int]]:
    """What one word or number of a date can stand for."""
    for names, role in ((MONTHS, "month"), (WEEKDAYS, "weekday")):
        for number, name in enumerate(names, start=1):
            if token in (name.lower(), name[:3].lower()):
                return {(role, number)}
    if token in ORDINALS:
        return {("day", ORDINALS.index(token) + 1)}
    if match := re.fullmatch(r"(\d+)(st|nd|rd|th)", token):
        return {("day", int(match[1]))}
    if match := re.fullmatch(r"'(\d\d)", token):
        return {("year", 1900 + int(match[1]) if int(match[1]) >= 50 else 2000 + int(match[1]))}
    if len(token) == 4:
        return {("year", int(token))}
    roles = {("day", int(token)), ("month", int(token))}
    if len(token) == 2:
        roles.add(("year", 1900 + int(token) if int(token) >= 50 else 2000 + int(token)))
    return roles


def _meanings(text: str) -> set[datetime.date]:
    """Every date that the text can stand for."""
    plain = re.sub(r"^(\d{4})(\d\d)(\d\d)$", r"\1 \2 \3", text.lower())
    plain = re.sub(r"(?<=\d)(?=[a-z])(?!st\b|nd\b|rd\b|th\b)|(?<=[a-z])(?=\d)", " ", plain)
    tokens = re.findall(r"'?\d+(?:st|nd|rd|th)?|[a-z]+(?:-[a-z]+)?", plain)
    tokens = [token for token in tokens if token not in ("the", "of", "in", "on", "year")]
    meanings = set()
    for roles in itertools.product(*map(_roles, tokens)):
        named = dict(roles)
        # A number behind the year is the month: nobody writes year, day, month.
        swapped = re.fullmatch(r"\d{4}", tokens[0]) and tokens[1].isdigit() and roles[1][0] != "month"
        if swapped or len(named) < len(roles) or not {"day", "month", "year"} <= set(named):
            continue
        try:
            date = datetime.date(named["year"], named["month"], named["day"])
        except ValueError:
            continue
        if named.get("weekday", date.isoweekday()) == date.isoweekday():
            meanings.add(date)
    return meanings


@pytest.mark.parametrize(
    "text, meanings",
    [
        ("3/4/2021", {"2021-03-04", "2021-04-03"}),
        ("3/14/2021", {"2021-03-14"}),
        ("13 March 21", {"2021-03-13", "2013-03-21"}),
        ("Saturday 3/4/2021", {"2021-04-03"}),
        ("the twenty-first of March '50", {"1950-03-21"}),
    ],
)
def test_the_reader_sees_what_is_ambiguous(text: str, meanings: set[str]) -> None:
    assert {date.isoformat() for date in _meanings(text)} == meanings


@pytest.mark.parametrize("form", FORMS)
@given(date=DATES)
def test_a_date_in_a_clear_form_means_itself_alone(form: str, date: datetime.date) -> None:
    text = write_date(form, date)
    meanings = _meanings(text)
    assert date in meanings
    assert not is_clear(form, date) or meanings == {date}, text


@pytest.mark.parametrize("form", FORMS)
def test_no_form_is_left_out(form: str) -> None:
    days = [datetime.date(1999, month, day) for month in (1, 9, 12) for day in (1, 9, 12, 13, 28)]
    assert sum(is_clear(form, day) for day in days) >= 6


@pytest.mark.parametrize(
    "form, text",
    [
        ("{th} of {month}, {yyyy}", "3rd of March, 2021"),
        ("the {ordinal} of {month} {yyyy}", "the third of March 2021"),
        ("{wd}. {mon}. {d}, {yyyy}", "Wed. Mar. 3, 2021"),
        ("{d} {month} '{yy}", "3 March '21"),
        ("{yyyy} {mm} {dd}", "2021 03 03"),
    ],
)
def test_a_form_is_written(form: str, text: str) -> None:
    assert form in FORMS
    assert write_date(form, datetime.date(2021, 3, 3)) == text


def test_ordinals() -> None:
    written = " ".join(map(ordinal, (1, 2, 3, 4, 11, 12, 13, 21, 22, 23, 30, 31)))
    assert written == "1st 2nd 3rd 4th 11th 12th 13th 21st 22nd 23rd 30th 31st"
    assert len(ORDINALS) == len(set(ORDINALS)) == 31
    assert (ORDINALS[20], ORDINALS[29], ORDINALS[30]) == ("twenty-first", "thirtieth", "thirty-first")


def test_pairs_are_different_and_what_they_mean() -> None:
    pairs = date_pairs(3000, seed=1)
    assert len(pairs) == len(set(pairs.sources)) == len(pairs.targets) == 3000
    for source, target in zip(pairs.sources, pairs.targets, strict=True):
        assert {date.isoformat() for date in _meanings(source)} == {target}
    assert {int(target[:4]) for target in pairs.targets} == set(YEARS)
    upper, lower = (sum(map(test, pairs.sources)) for test in (str.isupper, str.islower))
    assert upper > 300
    assert lower > 300


def test_a_seed_gives_the_same_pairs() -> None:
    assert date_pairs(200, seed=3) == date_pairs(200, seed=3)
    assert date_pairs(200, seed=3) != date_pairs(200, seed=4)
    # Pinned: a seed means the same on every machine, as long as NumPy's generator does.
    assert date_pairs(3, seed=0).sources == ["01-24-2035", "11-Feb-2001", "December 23rd, 76"]
    assert date_pairs(3000, seed=3).part(range(200)) == date_pairs(200, seed=3)


def test_parts_share_no_text() -> None:
    parts = load_dates(300, 40, 50, seed=2)
    texts = [set(part.sources) for part in (parts.train, parts.validation, parts.test)]
    assert [len(text) for text in texts] == [300, 40, 50]
    assert len(set.union(*texts)) == 390
    assert load_dates(300, 40, 50, seed=2) == parts
    assert len(load_dates(0, 0, 0, seed=2).test) == 0


def test_characters_of_dates_come_back() -> None:
    pairs = date_pairs(500, seed=5)
    source = Vocabulary.fit(pairs.sources, unit="character")
    target = Vocabulary.fit(pairs.targets, unit="character", ends=True)
    assert len(target) == 4 + len("0123456789-")
    assert [target.decode(row) for row in target.encode_batch(pairs.targets)] == pairs.targets
    assert target.encode_batch(pairs.targets).shape == (500, 12)
    assert [source.decode(row) for row in source.encode_batch(pairs.sources)] == pairs.sources


def test_numbers_and_seeds_are_not_negative() -> None:
    for arguments in ((-1, 0), (500_001, 0), (5, -1)):
        with pytest.raises(InputError):
            date_pairs(*arguments)
    with pytest.raises(InputError, match="n_test=-1"):
        load_dates(2, 0, -1, seed=0)
