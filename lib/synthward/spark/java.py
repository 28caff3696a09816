"""Finds the Java that Spark will start. So a missing Java gives a clear message instead of a page of shell output."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from synthward.errors import EnvironmentProblem

SUPPORTED = (17, 21)

INSTALL = """Install Java 17 (or 21), or set JAVA_HOME to one:
  Debian, Ubuntu:  sudo apt-get install -y openjdk-17-jre-headless
  RHEL, Fedora:    sudo dnf install -y java-17-openjdk-headless
  macOS:           brew install openjdk@17 && export JAVA_HOME="$(brew --prefix openjdk@17)\""""

# A JVM answers `-version` in less than a second. If it hangs (broken mount, macOS stub), this program must not hang.
_ANSWER_SECONDS = 30


@dataclass(frozen=True)
class Java:
    """A Java that works.

    Attributes:
        executable: The `java` that Spark's launcher would use.
        major: Its feature release, for instance 17.
        source: Where it was found: `JAVA_HOME` or `PATH`.
    """

    executable: Path
    major: int
    source: str


def parse_major(text: str) -> int | None:
    """Return the feature release in the output of `java -version` (8 for `1.8.0`); None if there is none."""
    match = re.search(r'version "(?:1\.)?(\d+)', text)
    return int(match.group(1)) if match else None


def find_java(environ: Mapping[str, str]) -> Java:
    """Find Java as Spark's launcher does: `JAVA_HOME/bin/java`, otherwise the first `java` on the PATH.

    Args:
        environ: The environment, usually `os.environ`.

    Raises:
        EnvironmentProblem: There is no Java, it does not answer, or Spark 4 does not run on it.
    """
    home = environ.get("JAVA_HOME")
    source = "JAVA_HOME" if home else "PATH"
    found = str(Path(home) / "bin" / "java") if home else shutil.which("java", path=environ.get("PATH"))
    if found is None or not Path(found).is_file():
        looked = (
            f"JAVA_HOME is {home}, where there is no bin/java" if home else "JAVA_HOME is not set, PATH has no java"
        )
        raise EnvironmentProblem(f"Java: not found ({looked}). Spark needs Java 17 or 21.\n{INSTALL}")
    try:
        answer = subprocess.run(
            [found, "-version"], capture_output=True, text=True, timeout=_ANSWER_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EnvironmentProblem(f"Java: {found} ({source}) does not answer `-version`: {error}.\n{INSTALL}") from error
    major = parse_major(answer.stderr + answer.stdout)
    if major not in SUPPORTED:
        version = f"is Java {major}" if major else "does not say its version"
        raise EnvironmentProblem(f"Java: {found} ({source}) {version}; Spark 4 needs Java 17 or 21.\n{INSTALL}")
    return Java(Path(found), major, source)
