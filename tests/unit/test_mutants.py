"""Every mutant fits the code as it is now; `make mutants` shows that tests kill them."""

from __future__ import annotations

import runpy
from pathlib import Path


def test_every_mutant_fits_the_code(root: Path) -> None:
    runner = runpy.run_path(str(root / "tests" / "mutants" / "run.py"))
    mutants = runner["read_all"]()
    assert len(mutants) > 100
    runner["check_all"](mutants)


def test_every_lemma_has_a_mutant(root: Path) -> None:
    """The table lemma, mutants, tests; `python tests/mutants/run.py --lemmas` prints it."""
    runner = runpy.run_path(str(root / "tests" / "mutants" / "run.py"))
    table = runner["by_lemma"](runner["read_all"]())
    print(runner["lemma_table"](runner["read_all"]()))
    assert {"0.1", "2.1", "4.11", "6", "8.7"} <= table.keys()
    assert len(table) > 45
    without = [f"{number} {runner['lemmas']()[number]}" for number, mutants in table.items() if not mutants]
    assert not without, f"lemmas of PROOFS.md that no mutant breaks: {without}"
