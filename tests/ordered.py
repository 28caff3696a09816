"""Two and three ordered dates: a domain for tests of dates that are declared to be after another one."""

from __future__ import annotations

from datetime import date
from itertools import product

from synthward.domain.codes import codebooks
from synthward.domain.spec import Date, Domain

PERIOD = (date(2019, 1, 1), date(2021, 12, 31))

DOMAIN = Domain(
    version=1,
    attributes={
        "discharged": Date(
            bounds=PERIOD, after="admitted", within=(0, 30), bins=6, sentinels=(date(1900, 1, 1),), missing=("NA",)
        ),
        "admitted": Date(bounds=PERIOD, bins=12, sentinels=(date(2020, 2, 2),), missing=("?",)),
        "seen": Date(bounds=(PERIOD[0], date(2022, 6, 1)), after="discharged", within=(2, 400), outside="missing"),
    },
)
"""The second date lies after the third column's; the later one has more than one date before it."""

BOOKS = codebooks(DOMAIN)

DAYS = (
    date(1, 1, 1),
    date(1900, 1, 1),
    date(2018, 12, 31),
    date(2019, 1, 1),
    date(2020, 2, 1),
    date(2020, 2, 2),
    date(2020, 2, 28),
    date(2020, 3, 30),
    date(2021, 12, 31),
    date(2023, 1, 1),
    date(9999, 12, 31),
)
CELLS: tuple[object, ...] = (*DAYS, None)
TEXTS: tuple[object, ...] = (*(day.isoformat() for day in DAYS), None, "NA", "?", "", "soon", "2020-02-30")

Cells = tuple[object, object, object]


def rows(cells: tuple[object, ...]) -> list[Cells]:
    """Every pair of cells as discharged and admitted, with some cell as seen."""
    return [(own, base, cells[place % len(cells)]) for place, (own, base) in enumerate(product(cells, cells))]


def understood(row: Cells) -> tuple[object, object, object]:
    """The cells as the code books understand them: of a derived date the pair with the date before it."""
    discharged, admitted, seen = row
    return (discharged, admitted), admitted, (seen, discharged)
