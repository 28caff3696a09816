"""The package as one zip for `spark-submit --py-files`: `python -m synthward.spark.package build/synthward.zip`.

The same sources give the same bytes. So a digest of the zip identifies a version of the code.
"""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

import synthward

# The oldest date that a zip can hold. Real dates would differ in every checkout.
_EPOCH = (1980, 1, 1, 0, 0, 0)
_SKIPPED = {"__pycache__"}


def build_zip(target: Path, package: Path | None = None) -> Path:
    """Write the package, data files included, as an importable zip.

    Args:
        target: The zip. Its directory is created. An existing file is replaced.
        package: The package's directory; default: the directory from which this code was imported.
    """
    root = package if package is not None else Path(synthward.__file__).parent
    files = sorted(
        path
        for path in root.rglob("*")
        if path.is_file() and path.suffix != ".pyc" and not _SKIPPED.intersection(path.relative_to(root).parts)
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.partial")
    with zipfile.ZipFile(partial, "w") as archive:
        for path in files:
            entry = zipfile.ZipInfo(path.relative_to(root.parent).as_posix(), _EPOCH)
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED, 9)
    return partial.replace(target)


if __name__ == "__main__":
    sys.stdout.write(f"{build_zip(Path(sys.argv[1]))}\n")
