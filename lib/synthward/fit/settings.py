"""Checks of a synthesizer's settings. They use public numbers only, before anything is read or spent."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import fields

from synthward.domain.codes import codebooks
from synthward.fit.base import Task
from synthward.fit.conditionals import drawn_cells
from synthward.fit.forecast import Forecast
from synthward.fit.junction import Graph
from synthward.fit.model import MAX_CELLS
from synthward.fit.zeros import cells_of, contradiction, possible_cells, read_zeros
from synthward.privacy.queries import Clique
from synthward.spec.request import Synthesizer as Settings

EVERYWHERE = frozenset({"name"})
FIT = frozenset({"zeros", "max_cells", "max_iterations"})
"""Settings of every synthesizer that fits a joint model."""


def unused(task: Task, used: Iterable[str]) -> list[str]:
    """Find settings that are given but that this synthesizer does not use; they are mistakes of the request."""
    default, known = Settings(), EVERYWHERE | set(used)
    return [
        f"synthesizer {task.options.name} has no setting '{field.name}'; remove it"
        for field in fields(Settings)
        if field.name not in known and getattr(task.options, field.name) != getattr(default, field.name)
    ]


def needs_gaussian(task: Task) -> list[str]:
    """Refuse pure epsilon: choosing tables takes many answers, and their epsilons add up to too much."""
    if task.mechanism == "gaussian":
        return []
    text = (
        f"{task.options.name} needs `mechanism: gaussian`, found {task.mechanism}; use independent, fixed or moments "
        "for pure epsilon"
    )
    return [text]


def useless(task: Task, expected_errors: Callable[[Task], Forecast]) -> list[str]:
    """Return why a release under this budget would be useless; an empty list if it would be of use."""
    try:
        return expected_errors(task).refusals(task)
    except ValueError as error:
        columns = len(task.domain.attributes)
        return [f"epsilon {task.epsilon} is too small to share out over {columns} columns: {error}"]


def unknown_columns(task: Task) -> list[str]:
    """Find columns that the settings name but the request does not."""
    options, known = task.options, task.domain.attributes
    named: list[tuple[str, Clique]] = [("target", (options.target,))] if options.target is not None else []
    named += [(f"cliques[{number}]", clique) for number, clique in enumerate(options.cliques)]
    named += [(f"workload[{number}]", entry.columns) for number, entry in enumerate(options.workload)]
    return [
        f"{place} names column '{name}', which is not requested"
        for place, names in named
        for name in names
        if name not in known
    ]


def workload_problems(task: Task) -> list[str]:
    """Find workload entries that repeat each other or can never be candidates. All columns must be known."""
    options, books = task.options, codebooks(task.domain)
    if len({frozenset(entry.columns) for entry in options.workload}) < len(options.workload):
        return ["workload names the same columns twice; keep one entry"]
    cells = [cells_of(entry.columns, books) for entry in options.workload]
    return [
        f"workload[{number}], ({', '.join(entry.columns)}), has {size} cells, max_cells is {options.max_cells}; name "
        "fewer columns, give them fewer values or bins, or raise max_cells"
        for number, (entry, size) in enumerate(zip(options.workload, cells, strict=True))
        if size > options.max_cells
    ]


def joint_problems(task: Task, cliques: Iterable[Clique] = ()) -> list[str]:
    """Check structural zeros and caps.

    Args:
        task: The task; its columns are known.
        cliques: Tables that the tree must hold.
    """
    options, books = task.options, codebooks(task.domain)
    singles = sum(possible_cells(book) for book in books.values())
    if singles > options.max_cells:
        return [f"max_cells is {options.max_cells}, but the columns by themselves have {singles} cells already"]
    zeros, problems = read_zeros(options.zeros, books)
    if problems:
        return problems
    found = contradiction(zeros, books, options.max_cells)
    if found is not None:
        return [found]
    sizes = {name: possible_cells(book) for name, book in books.items()}
    graph = Graph(sizes)
    for clique in [*cliques, *(zero.clique for zero in zeros)]:
        graph = graph.with_clique(clique)
    if graph.cells > options.max_cells:
        text = (
            f"the tables named need a junction tree of {graph.cells} cells, max_cells is {options.max_cells}; name "
            "fewer or smaller tables, or give columns fewer values or bins"
        )
        return [text]
    drawn = drawn_cells(graph.tree(), sizes, {name: book.cells for name, book in books.items()})
    if drawn > MAX_CELLS:
        return [f"the tables named need a model of {drawn} probabilities, at most {MAX_CELLS} are possible"]
    return []
