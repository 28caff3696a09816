"""Publishable quality of joint structure: measured cliques against the release, and the graph it was drawn along.

Everything here is computed from synthetic rows, sealed measurements and the model, so it is post-processing and may be
published (DESIGN 4.11). With d the distance to the noisy shares and e the distance that the noise makes, the distance
to the real shares lies between d - e and d + e by the triangle inequality; the mean and the standard error of e follow
from public scales.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import numpy.typing as npt

from synthward.domain.codes import CodeBook
from synthward.evaluate.tables import NoisyTable, compared, in_domain_order, noise_cells
from synthward.fit.model import Model
from synthward.privacy.queries import Clique
from synthward.records.manifest import CliqueEntry

Floats = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]


@dataclass(frozen=True)
class CliqueQuality:
    """Two or more columns together, against what was measured of them.

    Attributes:
        columns: In the order of the domain.
        cells: Cells compared.
        distance: Total variation distance of noisy and synthetic shares, at most 1. Noisy shares are not cut off at 0:
            where the release follows the source exactly, the expected distance is `noise_distance`.
        noise_distance: Distance that the noise alone is expected to cause, at most 1.
        noise_distance_error: Standard error of that.
        answers: Sealed answers about exactly these columns; 0 where wider ones tell of them.
    """

    columns: Clique
    cells: int
    distance: float
    noise_distance: float
    noise_distance_error: float
    answers: int

    def entry(self) -> CliqueEntry:
        """For the manifest; numbers rounded to six digits."""
        return CliqueEntry(
            columns=tuple(self.columns),
            cells=self.cells,
            tvd=round(self.distance, 6),
            noise_tvd=round(self.noise_distance, 6),
            noise_tvd_error=round(self.noise_distance_error, 6),
            measured=self.answers,
        )


@dataclass(frozen=True)
class Edge:
    """One column that was drawn given another.

    Attributes:
        parent: The column drawn before.
        child: The column drawn given it.
        strength: How much the two depend on each other in the release: total variation distance between their joint
            shares and those of independent columns, 0 to 1.
    """

    parent: str
    child: str
    strength: float


def clique_quality(table: NoisyTable, synthetic: Integers, books: Mapping[str, CodeBook], rows: float) -> CliqueQuality:
    """Compares one clique.

    Args:
        table: Its noisy table.
        synthetic: Exact counts of the same cells in the release, same shape.
        books: Code books of the source's domain.
        rows: Weighted rows of the source, by all noisy tables together.
    """
    noisy, drawn = table.counts, synthetic.astype(np.float64)
    amount = 1.0
    for axis, name in enumerate(table.columns):
        noisy, drawn = compared(noisy, axis, books[name]), compared(drawn, axis, books[name])
        amount *= noise_cells(books[name])
    difference = np.abs(noisy / rows - drawn / max(float(drawn.sum()), 1.0))
    spread = table.deviation**2 - table.mean_absolute**2
    return CliqueQuality(
        columns=table.columns,
        cells=noisy.size,
        distance=min(1.0, float(difference.sum()) / 2),
        noise_distance=min(1.0, table.mean_absolute * amount / rows / 2),
        noise_distance_error=min(1.0, math.sqrt(table.counts.size * max(spread, 0.0)) / rows / 2),
        answers=table.answers,
    )


def beyond_noise(quality: CliqueQuality) -> float:
    """Least distance to the real shares: what noise, and three standard errors of it, leave unexplained."""
    return max(quality.distance - quality.noise_distance - 3 * quality.noise_distance_error, 0.0)


def drawn_pairs(model: Model, books: Mapping[str, CodeBook]) -> tuple[Clique, ...]:
    """Return the pairs that the model relates directly, in the order of the domain, without repetition.

    In a tree: a column and one that it was drawn given. In a field: the columns of a table, two by two.
    """
    if model.field is not None:
        measured = [c for c, target in zip(model.field.cliques, model.field.targets, strict=True) if target is not None]
        return tuple(dict.fromkeys(in_domain_order(pair, books) for c in measured for pair in combinations(c, 2)))
    pairs = [in_domain_order((column.name, parent), books) for column in model.columns for parent in column.parents]
    return tuple(dict.fromkeys(pairs))


def drawn_graph(model: Model, books: Mapping[str, CodeBook], count: Callable[[Clique], Integers]) -> tuple[Edge, ...]:
    """Return the edges of the release's graph.

    In a tree: the edges along which rows were drawn, in the order of drawing. In a field: the strongest relations that
    join all related columns (a maximum spanning forest), the strongest first.

    Args:
        model: The drawn model.
        books: Code books in the order of the domain.
        count: Exact counts of a pair of columns in the release.
    """
    if model.field is not None:
        pairs = [Edge(one, two, dependence(count((one, two)))) for one, two in drawn_pairs(model, books)]
        return _spanning(pairs)
    place = {name: k for k, name in enumerate(model.order)}
    edges = [
        Edge(parent, column.name, dependence(count(in_domain_order((parent, column.name), books))))
        for column in sorted(model.columns, key=lambda column: place[column.name])
        for parent in column.parents
    ]
    return tuple(edges)


def _spanning(edges: Sequence[Edge]) -> tuple[Edge, ...]:
    """Return the maximum spanning forest by strength (Kruskal's algorithm)."""
    tree: dict[str, str] = {}

    def root(name: str) -> str:
        while name in tree:
            name = tree[name]
        return name

    kept = []
    for edge in sorted(edges, key=lambda edge: (-edge.strength, edge.parent, edge.child)):
        one, two = root(edge.parent), root(edge.child)
        if one != two:
            tree[one] = two
            kept.append(edge)
    return tuple(kept)


def dependence(counts: Integers) -> float:
    """Total variation distance between the shares of a pair and the product of its one-way shares."""
    shares = counts / max(int(counts.sum()), 1)
    product = shares.sum(axis=1, keepdims=True) * shares.sum(axis=0, keepdims=True)
    return float(np.abs(shares - product).sum()) / 2


def pair_summary(cliques: Sequence[CliqueQuality]) -> dict[str, float | int | None]:
    """Headline numbers of the measured pairs; None where there are none."""
    pairs = [clique for clique in cliques if len(clique.columns) == 2]
    if not pairs:
        return {"pairs_measured": 0, "pair_tvd_mean": None, "pair_tvd_max": None, "pair_noise_tvd_mean": None}
    distances = [pair.distance for pair in pairs]
    return {
        "pairs_measured": len(pairs),
        "pair_tvd_mean": round(float(np.mean(distances)), 6),
        "pair_tvd_max": round(max(distances), 6),
        "pair_noise_tvd_mean": round(float(np.mean([pair.noise_distance for pair in pairs])), 6),
    }
