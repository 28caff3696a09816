"""Delta's JARs are the published ones, or no session starts."""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path

import pytest

from synthward.errors import EnvironmentProblem
from synthward.spark import digests, jars, session

PAIR = jars.jar_names("4.2.0", "4.4.0")


def put(folder: Path, *names: str) -> list[Path]:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).write_bytes(name.encode())
    return [folder / name for name in names]


def lock_of(paths: list[Path]) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def test_published_jars_pass_without_a_word(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    pair = put(tmp_path, *PAIR)
    cached = put(tmp_path / "ivy", *(f"io.delta_{name}" for name in PAIR))
    for jar, name in zip(cached, PAIR, strict=True):
        jar.write_bytes(name.encode())
    digests.check_jars([*pair, *cached], lock_of(pair))
    assert caplog.text == ""


@pytest.mark.parametrize("prefix", ["", "io.delta_"])
def test_a_changed_jar_is_refused_by_its_name(tmp_path: Path, prefix: str) -> None:
    lock = lock_of(put(tmp_path, *PAIR))
    changed = put(tmp_path / "changed", *(f"{prefix}{name}" for name in PAIR))
    for jar in changed:
        jar.write_bytes(b"something else")
    with pytest.raises(EnvironmentProblem, match="differs from that of the published JAR") as caught:
        digests.check_jars(changed, lock)
    assert all(str(jar) in str(caught.value) for jar in changed)


def test_a_version_that_is_not_locked_is_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    others = put(tmp_path, *jars.jar_names("4.0.1", "4.0.1"))
    with caplog.at_level(logging.WARNING):
        digests.check_jars(others)
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert all(jar.name in caplog.text for jar in others)


def test_every_way_to_a_session_is_looked_at(tmp_path: Path) -> None:
    """Spark's own folder, listed files, a class path, and what the resolver has kept; nothing of other makers."""
    home = tmp_path / "spark"
    own = put(home / "jars", *PAIR, "guava-33.jar")
    listed = put(tmp_path / "listed", *PAIR)
    on_path = put(tmp_path / "on_path", PAIR[0], "other.jar")
    cached = put(tmp_path / "ivy" / "jars", *(f"io.delta_{name}" for name in PAIR), "io.delta_delta-storage-3.0.0.jar")
    settings = {
        "spark.jars": f"{listed[0]},file:{listed[1]},s3a://bucket/delta-spark_4.2_2.13-4.4.0.jar",
        "spark.driver.extraClassPath": f"{tmp_path}/on_path/*:/none",
        "spark.jars.packages": "org.example:a:1,io.delta:delta-spark_4.2_2.13:4.4.0",
        "spark.jars.ivy": str(tmp_path / "ivy"),
    }
    assert digests.delta_jars(settings, home) == sorted([*own[:2], *listed, on_path[0], *cached[:2]])
    assert digests.delta_jars({}, None) == []


def test_no_jvm_is_started_with_a_changed_jar(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "named"
    put(folder, *PAIR)
    monkeypatch.setenv(jars.JARS_DIR_VARIABLE, str(folder))
    monkeypatch.setattr(session, "find_java", lambda environ: None)
    monkeypatch.setattr(session, "_start_classic", lambda settings: pytest.fail("started"))
    before = dict(os.environ)
    with pytest.raises(EnvironmentProblem, match="differs from that of the published JAR"):
        session._started("test", "local[1]", {}, connect=False)
    assert dict(os.environ) == before


def test_a_session_ends_when_what_was_fetched_is_not_the_published_jar(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A first start by Maven coordinates: the JARs are there only afterwards."""
    ended = []

    class Session:
        def stop(self) -> None:
            ended.append(True)

    def start(settings: dict[str, str]) -> Session:
        put(tmp_path / "ivy" / "jars", *(f"io.delta_{name}" for name in PAIR))
        return Session()

    maven = jars.coordinates("4.2.0", "4.4.0")
    plan = jars.JarPlan("packages", maven, {"spark.jars.packages": maven, "spark.jars.ivy": str(tmp_path / "ivy")})
    monkeypatch.setattr(jars, "plan_for", lambda environ, conf: plan)
    monkeypatch.setattr(session, "find_java", lambda environ: None)
    monkeypatch.setattr(session, "_start_classic", start)
    with pytest.raises(EnvironmentProblem, match="differs from that of the published JAR"):
        session._started("test", "yarn", {}, connect=False)
    assert ended == [True]


def test_the_lock_is_part_of_the_package() -> None:
    assert sorted(digests.own_lock()) == sorted(PAIR)
