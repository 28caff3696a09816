"""The examples in docstrings run, and show what they say."""

from __future__ import annotations

import doctest
import importlib
import importlib.util
import pkgutil
from pathlib import Path
from types import ModuleType

import pytest

import synthward

PACKAGES = ("domain", "privacy", "fit", "sample", "config", "spec", "evaluate")
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def modules() -> list[str]:
    names = []
    for package in PACKAGES:
        root = importlib.import_module(f"{synthward.__name__}.{package}")
        names += [found.name for found in pkgutil.walk_packages(root.__path__, f"{root.__name__}.")]
    return names


def failures(module: ModuleType, names: dict[str, object]) -> tuple[int, int]:
    runner = doctest.DocTestRunner(optionflags=FLAGS)
    for test in doctest.DocTestFinder(recurse=True).find(module, module.__name__, globs=dict(names)):
        runner.run(test)
    return runner.failures, runner.tries


@pytest.mark.parametrize("name", modules())
def test_the_examples_of_a_module_run(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    module = importlib.import_module(name)
    failed, _ = failures(module, vars(module))
    assert failed == 0, capsys.readouterr().out


def test_there_are_examples() -> None:
    counts = [failures(module, vars(module))[1] for module in map(importlib.import_module, modules())]
    assert sum(counts) >= 40


def test_the_examples_of_the_mover_run(root: Path) -> None:
    spec = importlib.util.spec_from_file_location("move", root / "tools" / "move.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    failed, tried = failures(module, vars(module))
    assert (failed, tried) == (0, 3)
