"""Fetch JARs once into a directory: `python tools/fetch_jars.py jars lib/synthward/spark/jars.lock` (`make jars`).

These are Delta's two, unless coordinates of others follow (`organisation:artifact:version ...`). Spark's own resolver
does the work, so mirrors and proxies configured for Spark apply, and a JAR it has cached already is not fetched again.
Every file is compared with a checked-in sha256 lock.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from synthward.errors import EnvironmentProblem, SynthwardError, UsageError
from synthward.spark.digests import parse_lock, sha256
from synthward.spark.jars import (
    check_pair,
    coordinates,
    installed_version,
    jar_names,
    spark_home,
    spark_version,
    three_ways,
)
from synthward.spark.java import find_java

ATTEMPTS = 3
# Long enough for a slow mirror; without it a proxy that drops packets would hang the build for good.
_RESOLVE_SECONDS = 600


def read_lock(path: Path) -> dict[str, str]:
    """File name -> sha256 from a `sha256sum`-style file; empty when there is none."""
    return parse_lock(path.read_text("utf-8")) if path.is_file() else {}


def verify(jar: Path, lock: Mapping[str, str]) -> None:
    """Compare a JAR with the lock.

    Raises:
        EnvironmentProblem: The lock does not know the file, or its digest is another one.
    """
    expected = lock.get(jar.name)
    if expected is None:
        raise EnvironmentProblem(
            f"{jar.name}: not in the lock, which has {', '.join(lock) or 'nothing'}. Fix: install the locked versions "
            "(constraints.txt), or check the file and add its sha256 to the lock"
        )
    if sha256(jar) != expected:
        raise EnvironmentProblem(f"{jar}: sha256 is not the locked {expected}. Fix: delete the file and fetch it again")


def fetch(target: Path, lock_file: Path, environ: Mapping[str, str], wanted: Sequence[str] = ()) -> list[Path]:
    """Put JARs into `target`, reusing what is there.

    Args:
        target: Directory, created when missing.
        lock_file: `sha256sum`-style file that knows every JAR.
        environ: The environment, usually `os.environ`.
        wanted: Maven coordinates; only the JARs named here are kept, not what they depend on. Default: Delta's two
            for the installed pyspark and delta-spark.

    Returns:
        The files.

    Raises:
        EnvironmentProblem: Versions that do not fit, no Java, no network, or a file that is not the locked one.
        UsageError: A coordinate is none.
    """
    batch = _others(wanted) if wanted else _delta()
    lock = read_lock(lock_file)
    target.mkdir(parents=True, exist_ok=True)
    if not all((target / name).is_file() for name in batch.names):
        caches = list(_ivy_caches())
        cached = next((cache for cache in caches if all(_cached(cache, *jar) for jar in batch.jars)), None)
        cache = cached or _resolve(batch, environ)
        for organisation, name in batch.jars:
            source = _cached(cache, organisation, name)
            if source is None:
                raise EnvironmentProblem(f"{name}: Spark's resolver did not leave it in {cache}.\n{batch.otherwise}")
            if not (target / name).is_file():
                _copy(source, target / name, lock)
    for name in batch.names:
        verify(target / name, lock)
    return [target / name for name in batch.names]


@dataclass(frozen=True)
class _Batch:
    """JARs that are fetched together.

    Attributes:
        coordinates: What the resolver is asked for, separated by commas.
        jars: (organisation, file name) of each.
        otherwise: Last lines of a message: how else to get them.
    """

    coordinates: str
    jars: tuple[tuple[str, str], ...]
    otherwise: str

    @property
    def names(self) -> list[str]:
        """File names."""
        return [name for _, name in self.jars]


def _delta() -> _Batch:
    spark, delta = spark_version(), installed_version("delta-spark")
    ways = three_ways(spark, delta)
    if delta is None:
        raise EnvironmentProblem(f"delta-spark: not installed for this Python.\n{ways}")
    check_pair(spark, delta)
    return _Batch(coordinates(spark, delta), tuple(("io.delta", name) for name in jar_names(spark, delta)), ways)


def _others(wanted: Sequence[str]) -> _Batch:
    parts = [tuple(coordinate.split(":")) for coordinate in wanted]
    for coordinate, part in zip(wanted, parts, strict=True):
        if len(part) != 3 or not all(part):
            raise UsageError(f"'{coordinate}' is no Maven coordinate; give organisation:artifact:version")
    jars = tuple((organisation, f"{artifact}-{version}.jar") for organisation, artifact, version in parts)
    ways = "Behind a mirror set spark.jars.repositories or spark.jars.ivySettings, or put the files there by hand"
    return _Batch(",".join(wanted), jars, ways)


def _ivy_caches() -> Iterator[Path]:
    """Where Spark 4 and older releases keep resolved JARs."""
    for folder in (".ivy2.5.2", ".ivy2"):
        yield Path.home() / folder / "jars"


def _cached(cache: Path, organisation: str, name: str) -> Path | None:
    """A JAR in a resolver's cache, which puts the organisation in front of the name."""
    return next((path for path in (cache / f"{organisation}_{name}", cache / name) if path.is_file()), None)


def _copy(source: Path, target: Path, lock: Mapping[str, str]) -> None:
    """Copy under another name first: a killed copy must not look like a JAR."""
    partial = target.with_name(f"{target.name}.{os.getpid()}.partial")
    shutil.copyfile(source, partial)
    try:
        if target.name in lock and sha256(partial) != lock[target.name]:
            raise EnvironmentProblem(
                f"{source}: sha256 is not the locked {lock[target.name]}. Fix: delete it, fetch again"
            )
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


def _resolve(batch: _Batch, environ: Mapping[str, str]) -> Path:
    """Let spark-submit resolve the coordinates around an empty program; the directory it names in its log."""
    find_java(environ)
    spark_version()
    home = spark_home(environ)
    assert home is not None, "spark_version found pyspark"
    with tempfile.TemporaryDirectory() as folder:
        program = Path(folder) / "nothing.py"
        program.write_text("", "utf-8")
        command = [str(home / "bin" / "spark-submit"), "--master", "local[1]", "--packages", batch.coordinates]
        problem = ""
        for attempt in range(1, ATTEMPTS + 1):
            try:
                done = subprocess.run(
                    [*command, str(program)],
                    capture_output=True,
                    text=True,
                    timeout=_RESOLVE_SECONDS,
                    check=False,
                    env={**environ, "PYSPARK_PYTHON": sys.executable},
                )
            except subprocess.TimeoutExpired:
                problem = f"no answer in {_RESOLVE_SECONDS} s"
            else:
                stored = re.search(r"jars for the packages stored in: (.+)", done.stderr)
                if done.returncode == 0 and stored:
                    return Path(stored.group(1).strip())
                lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
                problem = next(
                    (line for line in lines if "Exception" in line or "unresolved" in line), "no reason given"
                )
            if attempt < ATTEMPTS:
                time.sleep(2.0 * attempt)
    raise EnvironmentProblem(f"{batch.coordinates}: not resolved ({problem}).\n{batch.otherwise}")


def main(arguments: list[str]) -> int:
    """Fetch into `arguments[0]`, locked by `arguments[1]`, what the other arguments name; the exit code."""
    try:
        if len(arguments) < 2:
            raise UsageError(
                f"arguments are the directory, the lock file and coordinates, if any; got {len(arguments)}"
            )
        jars = fetch(Path(arguments[0]), Path(arguments[1]), os.environ, arguments[2:])
    except SynthwardError as problem:
        sys.stderr.write(f"{problem}\n")
        return problem.exit_code
    sys.stdout.write("".join(f"{jar} (sha256 as locked)\n" for jar in jars))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
