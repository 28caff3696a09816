"""Locks of what the environment is made of: every package with its version and the sha256 of its file.

    python tools/lock_requirements.py make requirements    # asks pip, which asks the index; writes the locks
    python tools/lock_requirements.py fits requirements    # exit code 0 where the locks are of this platform, else 1

The hashes are those that pip reports for the files it would install, with the versions of `constraints.txt`. Another
Python or platform gets other files, so a lock names the platform it is of. Standard library only: `make setup` runs it
in an environment that has nothing yet.
"""

from __future__ import annotations

import argparse
import json
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LOCKS: Mapping[str, Sequence[str]] = {
    "build": ("hatchling", "editables", "setuptools", "wheel"),
    "dev": (".[dev]",),
    "image": (".[mlflow]",),
}
"""Name of each lock and what it is of: what builds packages, `make setup`, and the image for Kubernetes."""

_PLATFORM = "# platform: "


class CannotLockError(Exception):
    """A package has no sha256, or pip gave no report."""


def this_platform() -> str:
    """What decides which files pip picks: interpreter, operating system, C library, processor."""
    libc = platform.libc_ver()[0] or "no libc"
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    return f"{sys.implementation.name} {version}, {sys.platform}, {libc}, {platform.machine()}"


def lock_text(report: Mapping[str, Any], made_on: str, wanted: Sequence[str]) -> str:
    """The lock in pip's requirements format, packages sorted by name.

    Args:
        report: What `pip install --report` writes.
        made_on: The platform.
        wanted: What was asked for, for the heading.

    Raises:
        CannotLockError: A package of the report has no sha256; the checkout itself is left out and needs none.
    """
    lines = []
    for item in report["install"]:
        name, version = item["metadata"]["name"], item["metadata"]["version"]
        if "dir_info" in item["download_info"]:
            continue
        digest = item["download_info"].get("archive_info", {}).get("hashes", {}).get("sha256")
        if digest is None:
            raise CannotLockError(f"{name} {version}: pip reports no sha256 for it; use an index that gives one")
        lines.append(f"{re.sub(r'[-_.]+', '-', name).lower()}=={version} --hash=sha256:{digest}\n")
    heading = (
        f"# What `pip install {' '.join(wanted)}` installs, made by tools/lock_requirements.py from constraints.txt.\n"
        f"{_PLATFORM}{made_on}\n"
    )
    return heading + "".join(sorted(lines))


def fits(folder: Path, here: str) -> bool:
    """Whether every lock in a folder is there and of this platform."""
    files = [folder / f"{name}.lock" for name in LOCKS]
    return all(file.is_file() and f"{_PLATFORM}{here}" in file.read_text("utf-8").splitlines() for file in files)


def _report(wanted: Sequence[str]) -> Mapping[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "report.json"
        options = ["--dry-run", "--ignore-installed", "--no-build-isolation", "--quiet", "--report", str(file)]
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", *options]
        done = subprocess.run([*command, "--constraint", "constraints.txt", *wanted], cwd=ROOT, check=False)
        if done.returncode or not file.is_file():
            raise CannotLockError(f"pip gave no report for {' '.join(wanted)}; what it said stands above")
        found: Mapping[str, Any] = json.loads(file.read_text("utf-8"))
        return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Makes the locks or looks at them; the exit code."""
    parser = argparse.ArgumentParser(description="Locks of packages with hashes.")
    parser.add_argument("action", choices=("make", "fits"))
    parser.add_argument("folder", type=Path)
    options = parser.parse_args(arguments)
    if options.action == "fits":
        return 0 if fits(options.folder, this_platform()) else 1
    try:
        texts = {name: lock_text(_report(wanted), this_platform(), wanted) for name, wanted in LOCKS.items()}
    except CannotLockError as problem:
        print(problem, file=sys.stderr)
        return 1
    options.folder.mkdir(exist_ok=True)
    for name, text in texts.items():
        (options.folder / f"{name}.lock").write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
