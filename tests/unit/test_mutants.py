"""Every mutant fits the code as it is now; `make mutants` shows that tests kill them."""

from __future__ import annotations

import runpy
from pathlib import Path


def test_every_mutant_fits_the_code(root: Path) -> None:
    runner = runpy.run_path(str(root / "tests" / "mutants" / "run.py"))
    mutants = runner["read_all"]()
    assert len(mutants) > 100
    runner["check_all"](mutants)
