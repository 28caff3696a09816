"""Stores the package's own code with a logged model, so that nobody fetches it from a package index.

The name `synthward` is not on a public index. If the model required it, anybody could register the name. Their code
would then run wherever MLflow builds an environment for the model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from importlib import metadata, resources
from importlib.resources.abc import Traversable
from pathlib import Path

PACKAGES = ("numpy", "pandas", "pyarrow", "PyYAML")
"""The packages that drawing rows needs, by their registered names."""


def requirements() -> list[str]:
    """Return the registered packages that drawing rows needs, each with the version that is installed here."""
    return [f"{name}=={metadata.version(name)}" for name in PACKAGES]


def write_code(folder: Path) -> tuple[Path, str]:
    """Copy this package into a folder. The package may be imported from a folder or from a zip.

    Args:
        folder: The folder in which the package's folder is created.

    Returns:
        The package's folder, and the sha256 over the paths and contents of its files, in order.
    """
    target = folder / "synthward"
    digest = hashlib.sha256()
    for path, content in sorted(_files(resources.files("synthward"), "")):
        file = target / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        for part in (path.encode(), content):
            digest.update(len(part).to_bytes(8, "big") + part)
    return target, digest.hexdigest()


def _files(folder: Traversable, path: str) -> Iterator[tuple[str, bytes]]:
    for entry in folder.iterdir():
        if entry.name == "__pycache__" or entry.name.endswith(".pyc"):
            continue
        if entry.is_dir():
            yield from _files(entry, f"{path}{entry.name}/")
        else:
            yield f"{path}{entry.name}", entry.read_bytes()
