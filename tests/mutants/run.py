"""Breaks each guarantee on purpose and demands that a test notices.

Every YAML file beside this one lists mutants: a name, a file under the package, the text to replace, what to put
there, and the test that must fail. The package is copied to a temporary directory, the mutant applied to the copy, and
the test run against it in the same environment. The unchanged copy must pass the same tests first, or a kill would
prove nothing.

    python tests/mutants/run.py [--list | --lemmas] [--only NAME ...] [--without-jvm] [--no-baseline] [--jobs N]

Exit code: 0 all killed, 1 some survived, 2 a mutant does not fit the code or a test fails on the unchanged package.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
HERE = Path(__file__).resolve().parent
KEYS = ("name", "why", "file", "old", "new", "test")
LEMMA = "lemma"
PROOFS = ROOT / "lib" / "synthward" / "privacy" / "PROOFS.md"
TIMEOUT_S = 900
PASSED, FAILED = 0, 1


class Unfit(Exception):
    """A mutant that does not fit the code: its text is not there exactly once, or a key is missing."""


@dataclass(frozen=True)
class Mutant:
    """One deliberate fault.

    Attributes:
        name: Unique name.
        why: The guarantee that it breaks.
        file: File below lib/synthward.
        old: Text that stands there exactly once.
        new: What replaces it.
        test: pytest node, relative to the project's root, that must fail.
        lemma: Number of the lemma of PROOFS.md that is false of the mutant, or empty.
    """

    name: str
    why: str
    file: str
    old: str
    new: str
    test: str
    lemma: str = ""


def read_all() -> list[Mutant]:
    """All mutants of all files.

    Raises:
        Unfit: A key is missing or unknown, or a name is used twice.
    """
    mutants: list[Mutant] = []
    for file in sorted(HERE.glob("*.yaml")):
        for number, entry in enumerate(yaml.safe_load(file.read_text(encoding="utf-8")) or [], 1):
            if not isinstance(entry, dict) or sorted(entry.keys() - {LEMMA}) != sorted(KEYS):
                raise Unfit(f"{file.name}, mutant {number}: needs exactly the keys {', '.join(KEYS)}, {LEMMA} if any")
            mutants.append(Mutant(**{key: str(value) for key, value in entry.items()}))
    names = [mutant.name for mutant in mutants]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise Unfit(f"used for more than one mutant: {', '.join(repeated)}")
    return mutants


def check(mutant: Mutant) -> None:
    """Whether the mutant fits today's code.

    Raises:
        Unfit: It does not.
    """
    path = ROOT / "lib" / "synthward" / mutant.file
    found = path.read_text(encoding="utf-8").count(mutant.old) if path.is_file() else 0
    if found != 1:
        raise Unfit(f"{mutant.name}: the old text stands {found} times in {mutant.file}, not once; update the mutant")
    if mutant.old == mutant.new:
        raise Unfit(f"{mutant.name}: old and new text are the same")
    if not (ROOT / mutant.test.split("::")[0]).is_file():
        raise Unfit(f"{mutant.name}: {mutant.test.split('::')[0]} does not exist")


def check_all(mutants: Sequence[Mutant]) -> None:
    """Checks all of them.

    Raises:
        Unfit: Naming every one that does not fit.
    """
    problems = []
    for mutant in mutants:
        try:
            check(mutant)
        except Unfit as problem:
            problems.append(str(problem))
    if problems:
        raise Unfit("\n".join(problems))


def lemmas() -> dict[str, str]:
    """Number and title of every lemma of PROOFS.md: paragraphs that begin with their number, and section 6."""
    found = {}
    for line in PROOFS.read_text(encoding="utf-8").splitlines():
        if numbered := re.match(r"(\d+\.\d+) (?:\*(.+?)\.\*|([^.;:]+))", line):
            found.setdefault(numbered[1], numbered[2] or numbered[3])
        elif whole := re.match(r"## (6)\. (.+)", line):
            found[whole[1]] = whole[2]
    return found


def by_lemma(mutants: Sequence[Mutant]) -> dict[str, list[Mutant]]:
    """The mutants of each lemma, in the order of PROOFS.md.

    Raises:
        Unfit: A mutant names a lemma that is not there.
    """
    table: dict[str, list[Mutant]] = {number: [] for number in lemmas()}
    for mutant in mutants:
        if mutant.lemma and mutant.lemma not in table:
            raise Unfit(f"{mutant.name}: PROOFS.md has no lemma {mutant.lemma}")
        if mutant.lemma:
            table[mutant.lemma].append(mutant)
    return table


def lemma_table(mutants: Sequence[Mutant]) -> str:
    """Lemmas, mutants and tests as a Markdown table."""
    titles = lemmas()
    lines = ["| lemma | mutant | test that must fail |", "|---|---|---|"]
    for number, broken in by_lemma(mutants).items():
        claim = f"{number} {titles[number]}"
        lines += [f"| {claim} | {mutant.name} | `{mutant.test.removeprefix('tests/')}` |" for mutant in broken]
    return "\n".join(lines)


def pytest_code(library: Path, nodes: Sequence[str]) -> tuple[int, str]:
    """Runs tests against a copy of the package; returns pytest's exit code and its last lines."""
    environment = os.environ | {"PYTHONPATH": str(library), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *nodes]
    try:
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return -1, f"no result within {TIMEOUT_S} s"
    return done.returncode, "\n".join(done.stdout.splitlines()[-15:])


def copied(folder: Path, mutant: Mutant | None = None) -> Path:
    """A copy of lib/ in `folder`, with the mutant applied."""
    library = folder / "lib"
    shutil.copytree(ROOT / "lib", library, ignore=shutil.ignore_patterns("__pycache__"))
    if mutant is not None:
        path = library / "synthward" / mutant.file
        path.write_text(path.read_text(encoding="utf-8").replace(mutant.old, mutant.new), encoding="utf-8")
    return library


def verdict(mutant: Mutant) -> tuple[str, str]:
    """What became of a mutant: killed, SURVIVED or BROKEN, and pytest's last lines."""
    with tempfile.TemporaryDirectory(prefix="synthward-mutant-") as folder:
        code, tail = pytest_code(copied(Path(folder), mutant), [mutant.test])
    if code == FAILED and re.search(r"\d+ failed", tail):  # an error outside of the test's own body proves nothing
        return "killed", tail
    return ("SURVIVED" if code == PASSED else f"BROKEN (pytest exit code {code})"), tail


def baseline(mutants: Sequence[Mutant]) -> None:
    """Runs every named test once on the unchanged package.

    Raises:
        Unfit: One fails, or does not exist.
    """
    with tempfile.TemporaryDirectory(prefix="synthward-mutant-") as folder:
        code, tail = pytest_code(copied(Path(folder)), sorted({mutant.test for mutant in mutants}))
    if code != PASSED:
        raise Unfit(f"a test does not pass on the unchanged package, so that no kill would mean anything:\n{tail}")


def run(mutants: Sequence[Mutant], *, with_baseline: bool, jobs: int) -> int:
    """Runs mutants, `jobs` at a time, and prints a table in their order."""
    check_all(mutants)
    if with_baseline:
        baseline(mutants)
    width = max(len(mutant.name) for mutant in mutants)
    survived = []
    with ThreadPoolExecutor(jobs) as threads:
        for mutant, (what, seconds, tail) in zip(mutants, threads.map(_timed, mutants), strict=True):
            print(f"{mutant.name:<{width}}  {what:<8}  {seconds:5.0f} s  {mutant.test}", flush=True)
            if what != "killed":
                survived.append(mutant.name)
                print(tail, flush=True)
    print(f"{len(mutants) - len(survived)} of {len(mutants)} mutants killed")
    if survived:
        print(f"not killed: {', '.join(survived)}")
    return 1 if survived else 0


def _timed(mutant: Mutant) -> tuple[str, float, str]:
    started = time.monotonic()
    what, tail = verdict(mutant)
    return what, time.monotonic() - started, tail


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description="Break each guarantee on purpose; a test must notice.")
    parser.add_argument("--list", action="store_true", help="print the mutants and stop")
    parser.add_argument("--lemmas", action="store_true", help="print lemmas, mutants and tests as a table, and stop")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="only these")
    parser.add_argument("--without-jvm", action="store_true", help="only those of a lemma whose test needs no JVM")
    parser.add_argument("--no-baseline", action="store_true", help="skip the run on the unchanged package")
    parser.add_argument("--jobs", type=int, default=2, help="mutants at a time (default 2)")
    options = parser.parse_args(arguments)
    try:
        mutants = read_all()
        if options.lemmas:
            print(lemma_table(mutants))
            return 0
        if options.only:
            unknown = sorted(set(options.only) - {mutant.name for mutant in mutants})
            if unknown:
                raise Unfit(f"no mutant is called {', '.join(unknown)}; --list shows them")
            mutants = [mutant for mutant in mutants if mutant.name in options.only]
        if options.without_jvm:
            mutants = [mutant for mutant in mutants if mutant.lemma and mutant.test.startswith("tests/unit/")]
        if options.list:
            for mutant in mutants:
                print(f"{mutant.name}: {mutant.why} [{mutant.file}; {mutant.test}]")
            return 0
        return run(mutants, with_baseline=not options.no_baseline, jobs=options.jobs)
    except Unfit as problem:
        print(problem, file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
