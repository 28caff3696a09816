"""Checks that Delta's JARs are the published ones, when a session starts. The package's `jars.lock` has their digests.

Delta is the code that reads every row and writes every charge. If a JAR has the name of a locked JAR and other content,
it is refused. If the lock does not know the version, there is a warning. The package runs with several versions of
Delta; the lock has the digests of those that the tests use.
"""

from __future__ import annotations

import hashlib
import logging
import re
from collections.abc import Iterable, Iterator, Mapping
from importlib import resources
from pathlib import Path

from synthward.errors import EnvironmentProblem

logger = logging.getLogger(__name__)

_NAME = re.compile(r"(?:io\.delta_)?(delta-(?:spark|storage)[\w.-]*\.jar)")
_COORDINATE = re.compile(r"io\.delta:(delta-spark[\w.]*):([\w.-]+)")


def sha256(path: Path) -> str:
    """Return the hexadecimal SHA-256 of a file."""
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def parse_lock(text: str) -> dict[str, str]:
    """Parse the text of a `sha256sum`-style file. Return sha256 by file name."""
    rows = [line.split() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return {name: digest for digest, name in rows}


def own_lock() -> dict[str, str]:
    """Return the lock in this package."""
    return parse_lock(resources.files("synthward.spark").joinpath("jars.lock").read_text("utf-8"))


def delta_jars(settings: Mapping[str, str], home: Path | None) -> list[Path]:
    """Return the Delta JARs that a session with these settings loads and that are already on this machine.

    Args:
        settings: Spark settings in force, with those that the session builder adds.
        home: Spark's folder. Its `jars` are on every class path.
    """
    found = [*_listed(settings), *_cached(settings), *(home.joinpath("jars").glob("*.jar") if home else ())]
    return sorted({path.resolve() for path in found if _NAME.fullmatch(path.name) and path.is_file()})


def _listed(settings: Mapping[str, str]) -> Iterator[Path]:
    for key, separator in (("spark.jars", ","), ("spark.driver.extraClassPath", ":")):
        text = re.sub(r"\b(?:file|local):(?=/)", "", settings.get(key, ""))
        for entry in (part.strip() for part in text.split(separator)):
            if entry.endswith("*"):
                yield from Path(entry).parent.glob("*.jar")
            elif entry:
                yield Path(entry)


def _cached(settings: Mapping[str, str]) -> Iterator[Path]:
    """Yield the JARs of `spark.jars.packages` that Spark's resolver has cached in an earlier start."""
    ivy = settings.get("spark.jars.ivy")
    folders = [Path(ivy)] if ivy else [Path.home() / ".ivy2.5.2", Path.home() / ".ivy2"]
    for artifact, version in _COORDINATE.findall(settings.get("spark.jars.packages", "")):
        for folder in folders:
            for name in (f"{artifact}-{version}.jar", f"delta-storage-{version}.jar"):
                yield folder / "jars" / f"io.delta_{name}"


def check_jars(paths: Iterable[Path], lock: Mapping[str, str] | None = None) -> None:
    """Compare JARs with the lock. Names that the lock does not know cause one warning.

    Args:
        paths: Files with their published names, or with the organisation that Spark's resolver puts before the name.
        lock: sha256 by file name; default: the package's lock.

    Raises:
        EnvironmentProblem: One or more JARs are not the published ones. The message names all of them.
    """
    lock = own_lock() if lock is None else lock
    changed, unknown = [], []
    for path in paths:
        match = _NAME.fullmatch(path.name)
        expected = None if match is None else lock.get(match.group(1))
        if expected is None:
            unknown.append(path.name)
        elif sha256(path) != expected:
            changed.append(str(path))
    if changed:
        raise EnvironmentProblem(
            f"Delta: {' and '.join(changed)}: the sha256 differs from that of the published JAR. Do not use it. Fix: "
            "delete it and fetch it again (`make jars`, or from Maven Central)"
        )
    if unknown:
        logger.warning(
            "Delta: %s: not checked, because the lock has no digest of it; the lock has digests of %s",
            ", ".join(unknown),
            ", ".join(lock),
        )
