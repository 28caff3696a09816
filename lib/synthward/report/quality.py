"""How far a release is expected to be from the real rows, for the report: figures, order, and a map of verdicts.

Pure functions of the manifest. Manifests of earlier versions, and of requests without simulated releases, say nothing
of it; then there is no view.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from synthward.records.manifest import ExpectedEntry, QualityEntry, VerdictSummary
from synthward.report.plots import shorten
from synthward.report.words import distance

MAX_MAPPED = 60
"""Columns of the map, in the order of the release; all pairs are in the manifest."""

MAP_WIDTH, LARGEST_TILE, SMALLEST_TILE = 800, 36, 13
"""Room for the tiles of the map, and their sides, in the units of its view box."""

LETTERS = {"rely on": "r", "with care": "c", "do not use": "x"}
"""Letter of a verdict in its tile, so that the map can be read without colours."""

UNCLEAR = "?"

_LETTER = 6.4
"""Room for a letter of a label, generously."""


@dataclass(frozen=True)
class Statement:
    """One column or pair.

    Attributes:
        columns: One or two.
        distance: Expected distance to the real rows; None if nothing is known.
        low: Lower end of the 90 % range; None likewise.
        high: Upper end; None likewise.
        verdict: rely on, with care, do not use.
        unclear: Too noisy to tell, or nothing is known.
        basis: measured, scored or none.
    """

    columns: tuple[str, ...]
    distance: float | None
    low: float | None
    high: float | None
    verdict: str
    unclear: bool
    basis: str

    @property
    def name(self) -> str:
        """The columns in words."""
        return " \N{MULTIPLICATION SIGN} ".join(self.columns)

    @property
    def letter(self) -> str:
        """What stands in its tile."""
        return UNCLEAR if self.unclear else LETTERS.get(self.verdict, UNCLEAR)

    @property
    def kind(self) -> str:
        """The class of its tile."""
        return "unclear" if self.unclear else {"rely on": "shade0", "with care": "shade1"}.get(self.verdict, "shade3")

    @property
    def title(self) -> str:
        """The numbers in words."""
        if self.distance is None or self.low is None or self.high is None:
            return f"{self.name}: nothing is known"
        return (
            f"{self.name}: {self.verdict}, expected distance {distance(self.distance)}, "
            f"90 % range {distance(self.low)} to {distance(self.high)}"
        )


@dataclass(frozen=True)
class VerdictTile:
    """One statement in the map; on the diagonal a column.

    Attributes:
        x: Left edge.
        y: Upper edge.
        statement: What it says.
    """

    x: int
    y: int
    statement: Statement


@dataclass(frozen=True)
class QualityView:
    """What the report shows.

    Attributes:
        summary: Headline numbers of the manifest.
        limits: Limits of the verdicts, as texts.
        replicates: Simulated releases.
        columns: Columns, the worst first.
        pairs: Pairs, the worst first; those of which nothing is known at the end.
        tiles: The map.
        labels: Position, short and full text of the columns' names in the map.
        tile: Side of a tile.
        width: Of the map.
        height: Of the map.
        left_out: Columns that the map leaves out.
    """

    summary: VerdictSummary
    limits: Mapping[str, str]
    replicates: int
    columns: tuple[Statement, ...]
    pairs: tuple[Statement, ...]
    tiles: tuple[VerdictTile, ...]
    labels: tuple[tuple[int, float, str, str], ...]
    tile: int
    width: int
    height: int
    left_out: int

    def of_column(self, name: str) -> Statement | None:
        """The statement about a column."""
        return next((statement for statement in self.columns if statement.columns == (name,)), None)


def quality_view(quality: QualityEntry) -> QualityView | None:
    """The view of the manifest's `quality`; None if it has no expected distances."""
    expected = quality.expected
    if expected is None:
        return None
    statements = [_statement(entry) for entry in expected.entries]
    columns = [each for each in statements if len(each.columns) == 1]
    pairs = [each for each in statements if len(each.columns) == 2]
    names = [each.columns[0] for each in columns][:MAX_MAPPED]
    side = max(SMALLEST_TILE, min(LARGEST_TILE, MAP_WIDTH // max(len(names), 1)))
    labels = tuple(((k + 1) * side + 6, (k + 0.5) * side, shorten(name), name) for k, name in enumerate(names))
    longest = max((len(text) for _, _, text, _ in labels), default=0)
    return QualityView(
        summary=expected.summary,
        limits=expected.limits,
        replicates=expected.replicates,
        columns=tuple(sorted(columns, key=_worst)),
        pairs=tuple(sorted(pairs, key=_worst)),
        tiles=_tiles(names, statements, side),
        labels=labels,
        tile=side,
        width=len(names) * side + 12 + math.ceil(longest * _LETTER),
        height=len(names) * side,
        left_out=len(columns) - len(names),
    )


def _statement(entry: ExpectedEntry) -> Statement:
    return Statement(entry.columns, entry.distance, entry.low, entry.high, entry.verdict, entry.unclear, entry.basis)


def _worst(statement: Statement) -> float:
    return 1.0 if statement.distance is None else -statement.distance


def _tiles(names: Sequence[str], statements: Sequence[Statement], side: int) -> tuple[VerdictTile, ...]:
    place = {name: number for number, name in enumerate(names)}
    found = []
    for statement in statements:
        if all(name in place for name in statement.columns):
            spots = sorted(place[name] for name in statement.columns)
            found.append(VerdictTile(spots[0] * side, spots[-1] * side, statement))
    return tuple(found)
