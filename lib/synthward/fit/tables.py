"""Rounds of noisy tables, and the split of a budget among them."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod

from synthward.domain.codes import codebooks
from synthward.fit.base import Task, share_out
from synthward.fit.forecast import distance
from synthward.fit.zeros import cells_of
from synthward.privacy.measurement import Asked, Round
from synthward.privacy.queries import Clique, Marginal, Population, Query
from synthward.privacy.sensitivity import WEIGHT_UNIT

POPULATION = 0.02
"""Share of the first round for the number of patients. It is one number, so even a small share makes it precise."""

POWERS = {"gaussian": 2 / 3, "laplace": 1 / 2}
"""A table's share of the budget grows with its cells to this power. These powers minimise the summed absolute noise of
all tables: noise falls with the square root of rho, and with epsilon itself."""


def one_way_round(task: Task, budget: int | None = None, named: Mapping[Clique, float] | None = None) -> Round:
    """Make the round of the population, every column, and the named tables.

    Args:
        task: The task.
        budget: In nano-epsilon or nano-rho; default: all of it.
        named: Further tables with their weights.
    """
    books = codebooks(task.domain)
    power = POWERS[task.mechanism]
    tables: dict[Clique, float] = {(name,): 1.0 for name in books} | dict(named or {})
    shares: dict[Query, float] = {
        Marginal(clique): (weight * prod(books[name].cells for name in clique)) ** power
        for clique, weight in tables.items()
    }
    weights: dict[Query, float] = {Population(): POPULATION * sum(shares.values()) / (1 - POPULATION), **shares}
    calls = share_out(task, weights, budget)
    return Round("one_way", tuple(Asked(query, call) for query, call in calls.items()))


def tables_round(task: Task, shares: Mapping[Clique, float], budget: int) -> Round:
    """Make the round of joint tables.

    Args:
        task: The task.
        shares: Relative share of each table.
        budget: nano-epsilon or nano-rho.
    """
    weights: dict[Query, float] = {Marginal(clique): share for clique, share in shares.items()}
    return Round("tables", tuple(Asked(query, call) for query, call in share_out(task, weights, budget).items()))


def column_errors(task: Task, asked: Round) -> dict[str, float]:
    """Return the expected noise distance of each column, at the declared number of rows."""
    books = codebooks(task.domain)
    return {
        item.query.clique[0]: distance(cells_of(item.query.clique, books), noise_of(item), task.declared_rows)
        for item in asked.asked
        if isinstance(item.query, Marginal) and len(item.query.clique) == 1
    }


def joint_noise(task: Task, asked: Round) -> list[tuple[int, float]]:
    """Return (cells that a release can have, mean absolute noise of a cell) of every joint table of a round."""
    books = codebooks(task.domain)
    return [
        (cells_of(item.query.clique, books), noise_of(item))
        for item in asked.asked
        if isinstance(item.query, Marginal) and len(item.query.clique) > 1
    ]


def noise_of(item: Asked) -> float:
    """Return the mean absolute noise of a marginal's cell, in rows."""
    return item.call.mean_absolute / WEIGHT_UNIT
