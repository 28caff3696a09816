"""Decides where Delta's JARs come from. It uses file names, versions and settings only, no JVM and no network.

The order is: JARs on the class path or in the configuration; a directory of JARs (`make jars`); Maven coordinates.
Spark resolves coordinates once and caches them. On Databricks nothing is added, because the runtime has its own Delta.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

from synthward.errors import EnvironmentProblem

JARS_DIR_VARIABLE = "SYNTHWARD_JARS_DIR"
DATABRICKS_VARIABLE = "DATABRICKS_RUNTIME_VERSION"
SCALA = "2.13"


@dataclass(frozen=True)
class _Line:
    """One Spark line: the Delta lines that run on it, each with the newest Spark it allows, and what to install."""

    delta: Mapping[str, tuple[int, int, int] | None]
    install: str


# From the packages' metadata: delta-spark 4.2 and 4.3 require pyspark <= 4.1.1, 4.4 requires pyspark <= 4.2.0.
_LINES: Mapping[str, _Line] = {
    "4.0": _Line(dict.fromkeys(("4.0", "4.1", "4.2", "4.3", "4.4")), "'pyspark>=4.0.1,<4.1' 'delta-spark==4.0.1'"),
    "4.1": _Line(
        {"4.1": None, "4.2": (4, 1, 1), "4.3": (4, 1, 1), "4.4": None}, "'pyspark>=4.1,<4.2' 'delta-spark==4.4.0'"
    ),
    "4.2": _Line({"4.4": (4, 2, 0)}, "'pyspark==4.2.0' 'delta-spark==4.4.0'"),
}
_DEFAULT_INSTALL = _LINES["4.2"].install


@dataclass(frozen=True)
class JarPlan:
    """The origin of the JARs, and the settings that a session builder must add for it.

    Attributes:
        source: The kind of origin.
        detail: The directory, the coordinates or the setting, for people.
        conf: Settings to add to the builder; empty if nothing is needed.
    """

    source: Literal["databricks", "class path", "configuration", "directory", "packages"]
    detail: str
    conf: Mapping[str, str] = field(default_factory=dict)


def version_tuple(version: str) -> tuple[int, int, int]:
    """Return a version such as `4.2.0`, `4.2.0.dev1` or `4.2` as three numbers."""
    numbers = [int(part) for part in re.findall(r"\d+", version)[:3]]
    major, minor, patch = (*numbers, 0, 0, 0)[:3]
    return major, minor, patch


def line_of(version: str) -> str:
    """Return the release line, for instance `4.2` for `4.2.0`."""
    major, minor, _ = version_tuple(version)
    return f"{major}.{minor}"


def check_pair(spark: str, delta: str) -> None:
    """Refuse a pyspark and a delta-spark that do not belong together.

    Args:
        spark: Version of pyspark.
        delta: Version of delta-spark.

    Raises:
        EnvironmentProblem: The versions do not fit. The message has the exact pip line that fixes it.
    """
    line = _LINES.get(line_of(spark))
    if line is None:
        raise EnvironmentProblem(
            f"pyspark {spark}: Synthward runs on {', '.join(_LINES)}. Fix: pip install {_DEFAULT_INSTALL}"
        )
    if line_of(delta) not in line.delta:
        raise EnvironmentProblem(
            f"pyspark {spark} and delta-spark {delta} do not fit: Spark {line_of(spark)} needs delta-spark "
            f"{', '.join(line.delta)}. Fix: pip install {line.install}"
        )
    newest = line.delta[line_of(delta)]
    if newest is not None and version_tuple(spark) > newest:
        raise EnvironmentProblem(
            f"pyspark {spark} and delta-spark {delta} do not fit: delta-spark {line_of(delta)} allows pyspark up to "
            f"{'.'.join(map(str, newest))}. Fix: pip install {line.install}"
        )


def artifact(spark: str, delta: str) -> str:
    """Return the Maven name of Delta's Spark JAR. From Delta 4.1 on, it has the Spark line in it."""
    suffix = f"_{line_of(spark)}" if version_tuple(delta) >= (4, 1, 0) else ""
    return f"delta-spark{suffix}_{SCALA}"


def coordinates(spark: str, delta: str) -> str:
    """Return the Maven coordinates of Delta's Spark JAR. Maven adds delta-storage as its dependency."""
    return f"io.delta:{artifact(spark, delta)}:{delta}"


def jar_names(spark: str, delta: str) -> tuple[str, str]:
    """Return the file names of the two JARs that a run needs: delta-spark and delta-storage."""
    return f"{artifact(spark, delta)}-{delta}.jar", f"delta-storage-{delta}.jar"


def in_directory(directory: Path, spark: str, delta: str | None) -> tuple[Path, Path] | None:
    """Return the pair of JARs in a directory that fits this Spark; None if there is none.

    Args:
        directory: The directory. It need not exist.
        spark: Version of pyspark.
        delta: Version of the installed delta-spark Python package. It is preferred over other versions.
    """
    pattern = re.compile(rf"delta-spark(?:_{re.escape(line_of(spark))})?_{re.escape(SCALA)}-([\w.]+)\.jar")
    versions = {
        match.group(1) for path in directory.glob("delta-spark*.jar") if (match := pattern.fullmatch(path.name))
    }
    for version in sorted(versions, key=lambda found: (found == delta, version_tuple(found)), reverse=True):
        jars = [directory / name for name in jar_names(spark, version)]
        if all(jar.is_file() for jar in jars) and _fits(spark, version):
            return jars[0].resolve(), jars[1].resolve()
    return None


def _fits(spark: str, delta: str) -> bool:
    try:
        check_pair(spark, delta)
    except EnvironmentProblem:
        return False
    return True


def three_ways(spark: str, delta: str | None) -> str:
    """Return the ways to provide the JARs, as the last lines of an error message."""
    line = _LINES.get(line_of(spark))
    install = line.install if line is not None else _DEFAULT_INSTALL
    maven = coordinates(spark, delta) if delta else f"io.delta:delta-spark_{line_of(spark)}_{SCALA}:<version>"
    return (
        "Delta needs two JARs, delta-spark and delta-storage. Any one of these provides them:\n"
        f"  1. class path: copy both into $SPARK_HOME/jars, or `spark-submit --packages {maven}`\n"
        f"  2. directory:  `make jars` puts both into ./jars; for another directory set {JARS_DIR_VARIABLE}\n"
        f"  3. Maven:      pip install {install}; Spark then fetches them once (behind a mirror set "
        "spark.jars.repositories or spark.jars.ivySettings)"
    )


def resolve(
    *,
    environ: Mapping[str, str],
    settings: Mapping[str, str],
    class_path: Sequence[Path],
    directories: Iterable[Path],
    spark: str,
    delta: str | None,
) -> JarPlan:
    """Decide where Delta's JARs come from.

    Args:
        environ: The environment.
        settings: Spark settings that apply in any case: spark-defaults, submit arguments, the caller's own.
        class_path: Directories from which Spark itself loads JARs, such as `$SPARK_HOME/jars`.
        directories: Directories where `make jars` may have put the JARs. `SYNTHWARD_JARS_DIR` replaces these.
        spark: Version of pyspark.
        delta: Version of the delta-spark Python package; None if it is not installed.

    Raises:
        EnvironmentProblem: No way works, or pyspark and delta-spark do not fit. The message says what to do.
    """
    if environ.get(DATABRICKS_VARIABLE):
        return JarPlan("databricks", f"Databricks runtime {environ[DATABRICKS_VARIABLE]}")
    for directory in class_path:
        if any(directory.glob("delta-spark*.jar")):
            return JarPlan("class path", str(directory))
    for key in ("spark.jars", "spark.jars.packages", "spark.driver.extraClassPath"):
        if "delta-spark" in settings.get(key, ""):
            return JarPlan("configuration", key)
    if delta is not None:
        check_pair(spark, delta)
    named = environ.get(JARS_DIR_VARIABLE)
    for directory in [Path(named)] if named else directories:
        found = in_directory(directory, spark, delta)
        if found is not None:
            return JarPlan("directory", str(directory), {"spark.jars": _joined(settings.get("spark.jars"), *found)})
    if named:
        expected = " and ".join(jar_names(spark, delta)) if delta else f"the pair for Spark {line_of(spark)}"
        raise EnvironmentProblem(f"{JARS_DIR_VARIABLE}={named}: {expected} not there.\n{three_ways(spark, delta)}")
    if delta is None:
        raise EnvironmentProblem(f"Delta: no JARs found, and no delta-spark package.\n{three_ways(spark, delta)}")
    maven = coordinates(spark, delta)
    return JarPlan("packages", maven, {"spark.jars.packages": _joined(settings.get("spark.jars.packages"), maven)})


def _joined(existing: str | None, *added: Path | str) -> str:
    """Return a comma list. A builder's value replaces the value of spark-defaults, so the list includes that value."""
    return ",".join([*(part for part in (existing or "").split(",") if part), *map(str, added)])


def installed_version(package: str) -> str | None:
    """Return the version of an installed package; None if it has no metadata (a Spark unpacked under SPARK_HOME)."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def spark_version() -> str:
    """Return the version of the pyspark that would be imported.

    Raises:
        EnvironmentProblem: pyspark is not installed.
    """
    spec = find_spec("pyspark")
    if spec is None:
        raise EnvironmentProblem(
            f"pyspark: not installed for this Python. Fix: pip install {_DEFAULT_INSTALL}, or run through spark-submit"
        )
    import pyspark

    return str(pyspark.__version__)


def spark_home(environ: Mapping[str, str]) -> Path | None:
    """Return `SPARK_HOME` if it is set, otherwise the directory of the pip-installed pyspark."""
    if environ.get("SPARK_HOME"):
        return Path(environ["SPARK_HOME"])
    spec = find_spec("pyspark")
    return Path(spec.submodule_search_locations[0]) if spec and spec.submodule_search_locations else None


def candidate_directories(start: Path) -> list[Path]:
    """Return `jars` in the current directory, then `jars` in the checkout that this package runs from, if any."""
    checkout = Path(__file__).parents[3]
    roots = [start, checkout] if (checkout / "pyproject.toml").is_file() else [start]
    return [root / "jars" for root in dict.fromkeys(roots)]


def parse_defaults(text: str) -> dict[str, str]:
    """Parse spark-defaults.conf. A line is `key value`, `key=value`, `key: value`, or a `#` comment."""
    settings: dict[str, str] = {}
    for line in text.splitlines():
        match = re.match(r"\s*([^\s#=:][^\s=:]*)\s*[\s=:]\s*(.*?)\s*$", line)
        if match:
            settings[match.group(1)] = match.group(2)
    return settings


def parse_submit_args(text: str) -> dict[str, str]:
    """Return the settings in `PYSPARK_SUBMIT_ARGS` from `--packages`, `--jars` and every `--conf`."""
    names = {
        "--packages": "spark.jars.packages",
        "--jars": "spark.jars",
        "--driver-class-path": "spark.driver.extraClassPath",
    }
    settings: dict[str, str] = {}
    words = shlex.split(text)
    for position, word in enumerate(words):
        option, _, value = word.partition("=")
        value = value or (words[position + 1] if position + 1 < len(words) else "")
        if option in names:
            settings[names[option]] = value
        elif option in ("--conf", "-c"):
            key, _, setting = value.partition("=")
            settings[key] = setting
    return settings


def settings_in_force(environ: Mapping[str, str], conf: Mapping[str, str]) -> dict[str, str]:
    """Return Spark's settings before anything is added: spark-defaults, submit arguments, the caller's settings."""
    home = spark_home(environ)
    folder = Path(environ["SPARK_CONF_DIR"]) if environ.get("SPARK_CONF_DIR") else (home / "conf" if home else None)
    defaults = folder / "spark-defaults.conf" if folder else None
    text = defaults.read_text("utf-8") if defaults is not None and defaults.is_file() else ""
    return {**parse_defaults(text), **parse_submit_args(environ.get("PYSPARK_SUBMIT_ARGS", "")), **conf}


def plan_for(environ: Mapping[str, str], conf: Mapping[str, str]) -> JarPlan:
    """Call `resolve` for this machine: with the installed versions, Spark's own JARs and the usual directories.

    Args:
        environ: The environment, usually `os.environ`.
        conf: Spark settings of the caller.

    Raises:
        EnvironmentProblem: See `resolve` and `spark_version`.
    """
    home = spark_home(environ)
    return resolve(
        environ=environ,
        settings=settings_in_force(environ, conf),
        class_path=[home / "jars"] if home else [],
        directories=candidate_directories(Path.cwd()),
        spark=spark_version(),
        delta=installed_version("delta-spark"),
    )
