"""Geometry of the report's drawings of joint structure: the map of pairs, and the graph of the model.

These are pure functions of the manifest, like `plots`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from synthward.records.manifest import ColumnEntry, GraphEntry, QualityEntry
from synthward.report.plots import WHISKER, shorten
from synthward.report.words import distance, percent

SLIGHT, CLEAR = 0.01, 0.05
"""Limits between the shades of the map: the part of the distance that the noise does not explain."""

UNCERTAIN = 0.05
"""A tile with more expected noise than this is marked, because its distance says little about the real distance."""

MAX_MAPPED = 80
"""Largest number of columns of the map. If there are more, those with the largest distances are drawn."""

MAP_WIDTH, LARGEST_TILE, SMALLEST_TILE = 800, 36, 13
"""Space for the tiles of the map, and their sides, in the units of its view box."""

WIDE = 630
"""A graph wider than this has no text beside it."""

READABLE_TILE = 26
"""A tile with at least this side has its number inside."""

SPREAD_OF_ABSOLUTE = math.sqrt(0.5)
"""Standard deviation of the absolute noise, divided by that of the noise: this for laplace, 0.60 for gaussian."""

_LETTER = 6.4
"""Space for a letter of a label, with a margin."""


@dataclass(frozen=True)
class Relation:
    """Columns that were measured together, and the distance of the release to that measurement.

    Attributes:
        columns: Two or more columns.
        cells: Number of cells compared.
        tvd: Distance to the noisy shares.
        noise: Distance that the noise is expected to cause.
        error: Standard error of `noise`.
        answers: Number of noisy answers about exactly these columns; 0 if only wider tables have them.
    """

    columns: tuple[str, ...]
    cells: int
    tvd: float
    noise: float
    error: float
    answers: int

    @property
    def name(self) -> str:
        """The columns in words."""
        return " \N{MULTIPLICATION SIGN} ".join(self.columns)

    @property
    def beyond_noise(self) -> float:
        """Smallest distance to the real shares: the part that noise of its usual size does not explain."""
        return max(self.tvd - self.noise - WHISKER * self.error, 0.0)

    @property
    def at_most(self) -> float:
        """Largest distance to the real shares if the noise has its usual size (triangle inequality)."""
        return min(self.tvd + self.noise + WHISKER * self.error, 1.0)

    @property
    def shade(self) -> int:
        """0: within the noise; 1 to 3: beyond it, slightly, clearly, strongly."""
        beyond = self.beyond_noise
        return 0 if beyond <= 0 else 1 if beyond < SLIGHT else 2 if beyond < CLEAR else 3

    @property
    def title(self) -> str:
        """The numbers in words."""
        return f"{self.name}: distance {distance(self.tvd)}, of noise {distance(self.noise)}"


def relations(quality: QualityEntry) -> list[Relation]:
    """Return the measured cliques of the manifest's quality, the worst first."""
    found = [
        Relation(
            entry.columns,
            entry.cells,
            entry.tvd,
            entry.noise_tvd,
            entry.noise_tvd_error,
            entry.measured,
        )
        for entry in quality.cliques
    ]
    return sorted(found, key=lambda relation: (-relation.beyond_noise, -relation.tvd, relation.columns))


@dataclass(frozen=True)
class Tile:
    """One pair, or one column on the diagonal.

    Attributes:
        x: Left edge.
        y: Upper edge.
        shade: See `Relation.shade`.
        uncertain: True if the noise is large.
        number: Distance in rows of 100, shown in the tile; empty if there is no space.
        title: The numbers in words.
    """

    x: float
    y: float
    shade: int
    uncertain: bool
    number: str
    title: str


@dataclass(frozen=True)
class PairMap:
    """A triangle of tiles. Its rows and columns are the columns of the release, with names along the diagonal.

    Attributes:
        tiles: The measured pairs and columns.
        hatching: Path of the strokes over pairs that were not measured.
        labels: Position, short text and full text of the names.
        tile: Side of a tile.
        width: Width of the drawing.
        height: Height of the drawing.
        shown: Number of columns in the map.
        left_out: Number of columns of the release that are not in the map.
        unmeasured: Number of pairs of shown columns that were not measured.
    """

    tiles: tuple[Tile, ...]
    hatching: str
    labels: tuple[tuple[float, float, str, str], ...]
    tile: int
    width: int
    height: int
    shown: int
    left_out: int
    unmeasured: int


def pair_map(columns: Sequence[ColumnEntry], found: Iterable[Relation]) -> PairMap:
    """Return the map of all pairs.

    Args:
        columns: Entries of the manifest's quality, in the order of the release.
        found: Measured cliques. Those of two columns are drawn.
    """
    pairs = {frozenset(relation.columns): relation for relation in found if len(relation.columns) == 2}
    shown = _mapped(columns, pairs.values())
    side = max(SMALLEST_TILE, min(LARGEST_TILE, MAP_WIDTH // max(len(shown), 1)))
    tiles, strokes, labels = [], [], []
    for row, column in enumerate(shown):
        for index, other in enumerate(shown[:row]):
            relation = pairs.get(frozenset((column.column, other.column)))
            if relation is None:
                strokes.append(f"M{index * side + 2} {(row + 1) * side - 2}l{side - 4} {4 - side}")
            else:
                tiles.append(_tile(relation, index, row, side))
        tiles.append(_tile(_alone(column), row, row, side))
        labels.append(((row + 1) * side + 6.0, (row + 0.5) * side, shorten(column.column), column.column))
    longest = max((len(text) for _, _, text, _ in labels), default=0)
    return PairMap(
        tiles=tuple(tiles),
        hatching="".join(strokes),
        labels=tuple(labels),
        tile=side,
        width=len(shown) * side + 12 + math.ceil(longest * _LETTER),
        height=len(shown) * side,
        shown=len(shown),
        left_out=len(columns) - len(shown),
        unmeasured=len(strokes),
    )


def _mapped(columns: Sequence[ColumnEntry], pairs: Iterable[Relation]) -> list[ColumnEntry]:
    """Return the columns of the map in the order of the release: all, or those with the worst pairs."""
    if len(columns) <= MAX_MAPPED:
        return list(columns)
    worst: dict[str, float] = {}
    for pair in pairs:
        for name in pair.columns:
            worst[name] = max(worst.get(name, 0.0), pair.tvd)
    ranked = sorted(columns, key=lambda column: -worst.get(column.column, -1.0))
    kept = {column.column for column in ranked[:MAX_MAPPED]}
    return [column for column in columns if column.column in kept]


def _alone(column: ColumnEntry) -> Relation:
    """Return a single column for the diagonal."""
    error = column.share_error * SPREAD_OF_ABSOLUTE * math.sqrt(column.cells) / 2
    return Relation((column.column,), column.cells, column.tvd, column.noise_tvd, error, 1)


def _tile(relation: Relation, index: int, row: int, side: int) -> Tile:
    number = f"{100 * relation.tvd:.1f}" if side >= READABLE_TILE else ""
    return Tile(index * side, row * side, relation.shade, relation.noise > UNCERTAIN, number, relation.title)


@dataclass(frozen=True)
class Line:
    """A relation in the drawn graph.

    Attributes:
        path: Path from one node to the other.
        width: Width of the stroke.
        opacity: 0 to 1.
        title: The relation in words.
    """

    path: str
    width: float
    opacity: float
    title: str


@dataclass(frozen=True)
class Node:
    """A column on the circle.

    Attributes:
        x: Horizontal position.
        y: Vertical position.
        turn: Angle of its name in degrees.
        anchor: The end of the name that is at the node.
        label: Short name.
        full: Whole name.
        alone: True if the column is drawn independently of all other columns.
    """

    x: float
    y: float
    turn: float
    anchor: str
    label: str
    full: str
    alone: bool


@dataclass(frozen=True)
class Graph:
    """The drawn graph on a circle.

    Attributes:
        nodes: The columns.
        lines: The edges. The strongest are last, so that they are on top.
        box: Left and upper edge, width and height of the drawing. The centre of the circle is at 0, 0.
        strongest: The edges by strength: two names and the strength.
        alone: Number of columns without an edge.
    """

    nodes: tuple[Node, ...]
    lines: tuple[Line, ...]
    box: tuple[int, int, int, int]
    strongest: tuple[tuple[str, str, float], ...]
    alone: int

    @property
    def is_wide(self) -> bool:
        """True if the drawing needs the whole width of the page."""
        return self.box[2] > WIDE


def graph(drawn: GraphEntry) -> Graph:
    """Return the graph of the manifest's model. The direction of an edge is only an order of drawing; it is not shown.

    Args:
        drawn: `model.graph` of the manifest.
    """
    edges = sorted(
        ((edge.parent, edge.child, edge.strength) for edge in drawn.edges),
        key=lambda edge: (edge[2], edge[0], edge[1]),
    )
    around = _around(drawn.order, edges)
    radius = min(max(90 + 3 * len(around), 120), 290)
    labels = {name: shorten(name) for name in around}
    linked = {name for edge in edges for name in edge[:2]}
    top = max((edge[2] for edge in edges), default=0.0) or 1.0
    spots = {name: 2 * math.pi * index / len(around) - math.pi / 2 for index, name in enumerate(around)}
    nodes = tuple(_node(name, labels[name], spots[name], radius, name not in linked) for name in around)
    left, right = _extent(math.cos, labels, spots, radius)
    upper, lower = _extent(math.sin, labels, spots, radius)
    return Graph(
        nodes=nodes,
        lines=tuple(_line(edge, spots, radius, top) for edge in edges),
        box=(left, upper, right - left, lower - upper),
        strongest=tuple(reversed(edges)),
        alone=len(around) - len(linked),
    )


def _extent(
    along: Callable[[float], float], labels: Mapping[str, str], spots: Mapping[str, float], radius: int
) -> tuple[int, int]:
    """Return how far names reach in one direction, with a margin for the height of letters."""
    ends = [along(spots[name]) * (radius + 12 + len(label) * _LETTER) for name, label in labels.items()]
    return math.floor(min(ends, default=0.0)) - 10, math.ceil(max(ends, default=0.0)) + 10


def _around(names: Sequence[str], edges: Sequence[tuple[str, str, float]]) -> list[str]:
    """Return an order around the circle with strongly related columns side by side. The strongest are joined first."""
    chains: dict[str, list[str]] = {name: [name] for name in names}
    for one, two, _ in reversed(edges):
        first, second = chains[one], chains[two]
        if first is second or one not in (first[0], first[-1]) or two not in (second[0], second[-1]):
            continue
        merged = (first if first[-1] == one else first[::-1]) + (second if second[0] == two else second[::-1])
        chains |= dict.fromkeys(merged, merged)
    return list(dict.fromkeys(name for start in names for name in chains[start]))


def _node(name: str, label: str, angle: float, radius: int, alone: bool) -> Node:
    degrees = math.degrees(angle)
    right = math.cos(angle) >= -1e-9
    return Node(
        x=round(radius * math.cos(angle), 1),
        y=round(radius * math.sin(angle), 1),
        turn=round(degrees if right else degrees + 180, 1),
        anchor="start" if right else "end",
        label=label,
        full=name,
        alone=alone,
    )


def _line(edge: tuple[str, str, float], spots: Mapping[str, float], radius: int, top: float) -> Line:
    one, two, strength = edge
    start, end = [(radius * math.cos(spots[name]), radius * math.sin(spots[name])) for name in (one, two)]
    # Curves bend towards the centre. The bend grows with the distance of the ends, so no line follows the circle.
    middle = (1 - 0.9 * math.dist(start, end) / (2 * radius)) / 2
    bend = [middle * (a + b) for a, b in zip(start, end, strict=True)]
    path = f"M{start[0]:.1f} {start[1]:.1f}Q{bend[0]:.1f} {bend[1]:.1f} {end[0]:.1f} {end[1]:.1f}"
    part = strength / top
    return Line(
        path, round(0.8 + 4.2 * part, 2), round(0.25 + 0.7 * part, 2), f"{one} and {two}: strength {percent(strength)}"
    )
