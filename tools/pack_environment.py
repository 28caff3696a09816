"""Our dependencies as one archive for `spark-submit --archives`: `python tools/pack_environment.py build/env.tar.gz`.

The archive holds the installed packages that Synthward needs, without Spark (the cluster brings it) and without
Synthward itself (the zip brings it), and `bin/python`, a script that starts the node's own Python with them. A virtual
environment would not do: it holds the path of the Python it was made with. What a node must have is a Python of the
same minor version, because compiled packages fit no other.
"""

from __future__ import annotations

import argparse
import io
import re
import sys
import tarfile
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
_EXTRA = re.compile(r"""extra\s*==\s*["']([^"']+)["']""")
_FROM_ELSEWHERE = {"synthward", "pyspark", "delta-spark", "py4j"}

_PYTHON = """#!/bin/sh
# Starts the node's Python {minor} with the packages of this archive; SYNTHWARD_PYTHON names another one.
here=$(cd "$(dirname "$0")/.." && pwd)
python=${{SYNTHWARD_PYTHON:-python{minor}}}
command -v "$python" > /dev/null || {{ echo "this node has no $python; set SYNTHWARD_PYTHON" >&2; exit 127; }}
PYTHONPATH="${{PYTHONPATH:+$PYTHONPATH:}}$here/packages" exec "$python" "$@"
"""


def build_archive(target: Path, extras: Sequence[str] = ()) -> Path:
    """Write the archive; nothing is fetched, what is installed here is packed.

    Args:
        target: The archive, a `.tar.gz`; its directory is created, an existing file is replaced.
        extras: Extras of Synthward whose packages come along, for instance `mlflow` for a driver in cluster mode.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.partial")
    script = _PYTHON.format(minor=f"{sys.version_info.major}.{sys.version_info.minor}").encode()
    # The lowest level: compiled packages hardly shrink further, and take five times as long.
    with tarfile.open(partial, "w:gz", compresslevel=1) as archive:
        entry = tarfile.TarInfo("bin/python")
        entry.size, entry.mode = len(script), 0o755
        archive.addfile(entry, io.BytesIO(script))
        for installed in needed(extras):
            for file in installed.files or ():
                found = Path(str(installed.locate_file(file)))
                # Scripts lie outside of the packages' folder; byte code is made again where it is used.
                if ".." not in file.parts and found.is_file() and file.suffix != ".pyc":
                    archive.add(found, f"packages/{file.as_posix()}", recursive=False)
    return partial.replace(target)


def needed(extras: Sequence[str] = ()) -> list[metadata.Distribution]:
    """What Synthward needs of what is installed here, by name; Spark and Synthward itself left out."""
    found: dict[str, metadata.Distribution] = {}
    waiting = list(_requirements(metadata.distribution("synthward"), set(extras)))
    while waiting:
        name = waiting.pop()
        if name in found or name in _FROM_ELSEWHERE:
            continue
        try:
            found[name] = metadata.distribution(name)
        except metadata.PackageNotFoundError:  # of another platform or Python
            continue
        waiting.extend(_requirements(found[name], set()))
    return [found[name] for name in sorted(found)]


def _requirements(installed: metadata.Distribution, extras: set[str]) -> Iterator[str]:
    """Names that a distribution asks for, plainly or for one of the extras."""
    for line in installed.requires or ():
        name = _NAME.match(line)
        only_for = set(_EXTRA.findall(line))
        if name is not None and (not only_for or only_for & extras):
            yield re.sub(r"[-_.]+", "-", name.group()).lower()


def main(arguments: Sequence[str] | None = None) -> None:
    """Writes the archive and says where."""
    parser = argparse.ArgumentParser(prog="python tools/pack_environment.py", description=__doc__)
    parser.add_argument("target", type=Path)
    parser.add_argument("--extra", action="append", default=[], help="an extra whose packages come along, e.g. mlflow")
    options = parser.parse_args(arguments)
    sys.stdout.write(f"{build_archive(options.target, options.extra)}\n")


if __name__ == "__main__":
    main()
