"""The package's own code beside a logged model, so that no package index is asked for it.

The name `synthward` is on no public index. A requirement on it would let whoever registers the name run code wherever
MLflow builds an environment for the model.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from importlib import metadata, resources
from importlib.resources.abc import Traversable
from pathlib import Path

PACKAGES = ("numpy", "pandas", "pyarrow", "PyYAML")
"""What drawing rows imports, by the names under which the packages are registered."""


def requirements() -> list[str]:
    """The registered packages that drawing rows needs, each at the version that is installed here."""
    return [f"{name}=={metadata.version(name)}" for name in PACKAGES]


def write_code(folder: Path) -> tuple[Path, str]:
    """Copies this package into a folder, whether it was imported from a folder or from a zip.

    Args:
        folder: Where the package's folder is made.

    Returns:
        The package's folder; sha256 over the paths and contents of its files, in order.
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
