"""Where Delta's JARs come from, which versions fit, and what a session would be given: no JVM."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import fetch_jars as fetch
from synthward.errors import EnvironmentProblem, UsageError
from synthward.kernels.compiled import METHOD_LIMIT_KEY
from synthward.spark import jars, session
from synthward.spark.digests import own_lock
from synthward.spark.java import find_java, parse_major

PAIR = jars.jar_names("4.2.0", "4.4.0")


def directory_of(path: Path, *names: str) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    for name in names:
        (path / name).write_bytes(name.encode())
    return path


def resolve(tmp_path: Path, **changed: object) -> jars.JarPlan:
    """`jars.resolve` where nothing is found, unless the test says so."""
    arguments: dict[str, object] = {
        "environ": {},
        "settings": {},
        "class_path": [tmp_path / "spark" / "jars"],
        "directories": [tmp_path / "jars"],
        "spark": "4.2.0",
        "delta": "4.4.0",
    }
    return jars.resolve(**{**arguments, **changed})  # type: ignore[arg-type]


class TestPairs:
    @pytest.mark.parametrize(
        ("spark", "delta"),
        [
            *(("4.0.1", "4.0.1"), ("4.0.5", "4.1.0"), ("4.0.5", "4.4.1")),
            *(("4.1.4", "4.1.0"), ("4.1.1", "4.3.1"), ("4.1.4", "4.4.0")),
            *(("4.2.0", "4.4.0"), ("4.2.0", "4.4.1")),
        ],
    )
    def test_fits(self, spark: str, delta: str) -> None:
        jars.check_pair(spark, delta)

    @pytest.mark.parametrize(
        ("spark", "delta", "fix"),
        [
            ("3.5.9", "3.3.3", "pip install 'pyspark==4.2.0' 'delta-spark==4.4.0'"),
            ("4.3.0", "4.1.0", "pip install 'pyspark==4.2.0' 'delta-spark==4.4.0'"),
            ("4.2.0", "4.3.1", "pip install 'pyspark==4.2.0' 'delta-spark==4.4.0'"),
            ("4.2.1", "4.4.0", "pip install 'pyspark==4.2.0' 'delta-spark==4.4.0'"),
            ("4.1.4", "4.2.0", "pip install 'pyspark>=4.1,<4.2' 'delta-spark==4.4.0'"),
            ("4.1.4", "4.0.1", "pip install 'pyspark>=4.1,<4.2' 'delta-spark==4.4.0'"),
            ("4.0.5", "3.3.3", "pip install 'pyspark>=4.0.1,<4.1' 'delta-spark==4.0.1'"),
        ],
    )
    def test_misfit_names_the_pip_line(self, spark: str, delta: str, fix: str) -> None:
        with pytest.raises(EnvironmentProblem) as caught:
            jars.check_pair(spark, delta)
        assert str(caught.value).startswith(f"pyspark {spark}")
        assert str(caught.value).endswith(f"Fix: {fix}")

    def test_every_pip_line_installs_a_pair_that_fits(self) -> None:
        for line, entry in jars._LINES.items():
            delta = entry.install.split("delta-spark==")[1].rstrip("'")
            jars.check_pair(line, delta)

    def test_coordinates(self) -> None:
        assert jars.coordinates("4.2.0", "4.4.0") == "io.delta:delta-spark_4.2_2.13:4.4.0"
        assert jars.coordinates("4.0.5", "4.1.0") == "io.delta:delta-spark_4.0_2.13:4.1.0"
        assert jars.coordinates("4.0.1", "4.0.1") == "io.delta:delta-spark_2.13:4.0.1"

    def test_coordinates_are_those_of_the_installed_delta_package(self) -> None:
        delta = pytest.importorskip("delta.pip_utils")

        class Builder:
            def config(self, key: str, value: str) -> str:
                return value

        # The package accepts one builder class only; its function is called with that name bound to ours.
        original, delta.SparkSession = delta.SparkSession, type("Session", (), {"Builder": Builder})
        try:
            theirs = delta.configure_spark_with_delta_pip(Builder())
        finally:
            delta.SparkSession = original
        installed = jars.installed_version("delta-spark")
        assert installed is not None
        assert theirs == jars.coordinates(jars.spark_version(), installed)

    @given(st.tuples(*[st.integers(0, 99)] * 3), st.sampled_from(["", ".dev1", "rc1"]))
    def test_version_tuple(self, numbers: tuple[int, int, int], suffix: str) -> None:
        assert jars.version_tuple(".".join(map(str, numbers)) + suffix) == numbers
        assert jars.version_tuple(f"{numbers[0]}.{numbers[1]}") == (*numbers[:2], 0)


class TestResolve:
    def test_databricks_brings_its_own(self, tmp_path: Path) -> None:
        plan = resolve(tmp_path, environ={"DATABRICKS_RUNTIME_VERSION": "17.3"}, spark="4.0.0", delta=None)
        assert (plan.source, plan.conf) == ("databricks", {})

    def test_class_path_comes_first(self, tmp_path: Path) -> None:
        directory_of(tmp_path / "spark" / "jars", *PAIR)
        directory_of(tmp_path / "jars", *PAIR)
        plan = resolve(tmp_path, delta=None)
        assert (plan.source, plan.conf) == ("class path", {})

    @pytest.mark.parametrize("key", ["spark.jars", "spark.jars.packages", "spark.driver.extraClassPath"])
    def test_settings_that_name_delta_are_left_alone(self, tmp_path: Path, key: str) -> None:
        plan = resolve(tmp_path, settings={key: "org.example:a:1,io.delta:delta-spark_4.2_2.13:4.4.0"})
        assert (plan.source, plan.detail, plan.conf) == ("configuration", key, {})

    def test_directory_with_both(self, tmp_path: Path) -> None:
        folder = directory_of(tmp_path / "jars", *PAIR)
        plan = resolve(tmp_path)
        assert plan.source == "directory"
        assert plan.conf == {"spark.jars": ",".join(str(folder / name) for name in PAIR)}

    @pytest.mark.parametrize("present", PAIR)
    def test_half_a_pair_is_none(self, tmp_path: Path, present: str) -> None:
        directory_of(tmp_path / "jars", present)
        assert resolve(tmp_path).source == "packages"

    def test_jars_of_another_spark_are_none(self, tmp_path: Path) -> None:
        directory_of(tmp_path / "jars", *jars.jar_names("4.1.1", "4.4.0"))
        assert resolve(tmp_path).source == "packages"

    def test_version_of_the_package_is_preferred_and_the_newest_otherwise(self, tmp_path: Path) -> None:
        folder = directory_of(tmp_path / "jars", *PAIR, *jars.jar_names("4.2.0", "4.4.1"))
        assert jars.in_directory(folder, "4.2.0", "4.4.0") == tuple(folder / name for name in PAIR)
        newest = jars.in_directory(folder, "4.2.0", None)
        assert newest is not None
        assert newest[1].name == "delta-storage-4.4.1.jar"

    def test_old_name_for_old_delta(self, tmp_path: Path) -> None:
        folder = directory_of(tmp_path / "jars", "delta-spark_2.13-4.0.1.jar", "delta-storage-4.0.1.jar")
        assert jars.in_directory(folder, "4.0.5", "4.0.1") is not None
        assert jars.in_directory(folder, "4.2.0", "4.4.0") is None

    def test_variable_replaces_the_usual_directories(self, tmp_path: Path) -> None:
        directory_of(tmp_path / "jars", *PAIR)
        named = directory_of(tmp_path / "named", *PAIR)
        plan = resolve(tmp_path, environ={"SYNTHWARD_JARS_DIR": str(named)})
        assert plan.detail == str(named)
        with pytest.raises(EnvironmentProblem, match=r"SYNTHWARD_JARS_DIR=.*none: .*delta-storage-4.4.0.jar not there"):
            resolve(tmp_path, environ={"SYNTHWARD_JARS_DIR": str(tmp_path / "none")})

    def test_packages_last_and_other_packages_stay(self, tmp_path: Path) -> None:
        plan = resolve(tmp_path, settings={"spark.jars.packages": "org.example:a:1"})
        assert plan.source == "packages"
        assert plan.conf == {"spark.jars.packages": "org.example:a:1,io.delta:delta-spark_4.2_2.13:4.4.0"}

    def test_nothing_can_work_names_three_ways(self, tmp_path: Path) -> None:
        with pytest.raises(EnvironmentProblem) as caught:
            resolve(tmp_path, delta=None)
        message = str(caught.value)
        for way in ("$SPARK_HOME/jars", "--packages", "make jars", "SYNTHWARD_JARS_DIR", "pip install", "ivySettings"):
            assert way in message

    def test_misfit_is_found_before_any_download(self, tmp_path: Path) -> None:
        with pytest.raises(EnvironmentProblem, match="do not fit"):
            resolve(tmp_path, spark="4.1.4", delta="4.0.1")


class TestSettingsInForce:
    def test_later_ones_win(self, tmp_path: Path) -> None:
        (tmp_path / "spark-defaults.conf").write_text(
            "# comment\nspark.jars  /a.jar,/b.jar\nspark.x=1\n spark.y:2 \n\nspark.z one two \n#spark.no 1\n"
        )
        arguments = "--packages p:q:1 --conf spark.x=3 --conf 'spark.w=a b' --jars=/c.jar pyspark-shell"
        environ = {"SPARK_CONF_DIR": str(tmp_path), "PYSPARK_SUBMIT_ARGS": arguments}
        assert jars.settings_in_force(environ, {"spark.w": "mine"}) == {
            "spark.jars": "/c.jar",
            "spark.x": "3",
            "spark.y": "2",
            "spark.z": "one two",
            "spark.jars.packages": "p:q:1",
            "spark.w": "mine",
        }

    def test_checked_in_defaults_parse(self, root: Path) -> None:
        settings = jars.parse_defaults((root / "conf" / "spark-defaults.conf").read_text())
        assert session.delta_settings(settings) == session.method_settings(settings) == {}


class TestSession:
    def test_delta_settings_keep_other_extensions(self) -> None:
        assert session.delta_settings({}) == {
            "spark.sql.extensions": session.EXTENSION,
            "spark.sql.catalog.spark_catalog": session.CATALOG,
        }
        given = {"spark.sql.extensions": "org.example.A, org.example.B", "spark.sql.catalog.spark_catalog": "mine"}
        extended = session.delta_settings(given)
        assert extended == {"spark.sql.extensions": f"org.example.A,org.example.B,{session.EXTENSION}"}
        assert session.delta_settings({**given, **extended}) == {}

    def test_methods_are_short_enough_for_java_unless_somebody_decided_otherwise(self) -> None:
        assert session.method_settings({}) == {METHOD_LIMIT_KEY: "8000"}
        assert session.method_settings({METHOD_LIMIT_KEY: "65535"}) == {}

    @pytest.mark.parametrize(
        ("master", "cores"),
        [
            ("local", 1),
            ("local[3]", 3),
            ("local[*]", os.cpu_count()),
            ("local[4,2]", 4),
            ("local-cluster[2,3,1024]", 6),
        ],
    )
    def test_cores(self, master: str, cores: int) -> None:
        found = session.local_settings(master, {}, Path("scratch"))
        assert found["spark.sql.shuffle.partitions"] == str(2 * cores)

    def test_local_settings_yield_to_what_is_given(self) -> None:
        given = {"spark.driver.memory": "3g", "spark.ui.enabled": "true"}
        found = session.local_settings("local[2]", given, Path("scratch"))
        assert not set(given) & set(found)
        assert found["spark.driver.bindAddress"] == found["spark.driver.host"] == "127.0.0.1"
        assert found["spark.pyspark.python"] == sys.executable
        assert found["spark.sql.session.timeZone"] == "UTC"

    def test_own_log_configuration_stays(self, tmp_path: Path) -> None:
        mine = "-Dlog4j2.configurationFile=file:/mine"
        assert session._quiet_options(mine, tmp_path) == mine
        assert session._quiet_options("-Xss4m", tmp_path).startswith("-Xss4m -Dlog4j2.configurationFile=file:")
        assert "rootLogger.level = warn" in (tmp_path / "log4j2.properties").read_text()

    def test_classic_mode_forgets_a_parents_connect_client(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("SPARK_REMOTE", "SPARK_LOCAL_REMOTE", "SPARK_CONNECT_MODE_ENABLED"):
            monkeypatch.setenv(name, "1")
        with session._classic_mode():
            assert "SPARK_REMOTE" not in os.environ
        assert os.environ["SPARK_REMOTE"] == "1"
        assert "SPARK_LOCAL_REMOTE" not in os.environ
        assert "SPARK_CONNECT_MODE_ENABLED" not in os.environ

    def test_master_and_remote_exclude_each_other(self) -> None:
        with pytest.raises(UsageError, match="exclude each other"):
            session.build_session("x", master="local", remote="sc://host")

    def test_java_is_checked_before_anything_starts(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        for name in ("SPARK_REMOTE", "PYSPARK_GATEWAY_PORT", "DATABRICKS_RUNTIME_VERSION"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("JAVA_HOME", str(tmp_path))
        monkeypatch.setattr("pyspark.sql.SparkSession.getActiveSession", lambda: None)
        with pytest.raises(EnvironmentProblem, match="Java: not found"):
            session.build_session("x")


class TestJava:
    @pytest.mark.parametrize(
        ("text", "major"),
        [
            ('openjdk version "17.0.15" 2025-04-15', 17),
            ('java version "1.8.0_392"', 8),
            ('openjdk version "21" 2023-09-19 LTS', 21),
            ("The operation couldn't be completed. Unable to locate a Java Runtime.", None),
        ],
    )
    def test_parse_major(self, text: str, major: int | None) -> None:
        assert parse_major(text) == major

    @staticmethod
    def fake(home: Path, script: str) -> dict[str, str]:
        java = directory_of(home / "bin") / "java"
        java.write_text(f"#!/bin/sh\n{script}\n")
        java.chmod(0o755)
        return {"JAVA_HOME": str(home), "PATH": ""}

    @pytest.mark.parametrize("major", [17, 21])
    def test_supported(self, tmp_path: Path, major: int) -> None:
        found = find_java(self.fake(tmp_path, f"echo 'openjdk version \"{major}.0.1\"' >&2"))
        assert (found.major, found.source) == (major, "JAVA_HOME")

    @pytest.mark.parametrize(
        ("script", "said"),
        [("echo 'java version \"1.8.0_1\"' >&2", "is Java 8"), ("exit 1", "does not say its version")],
    )
    def test_others_are_refused_with_install_lines(self, tmp_path: Path, script: str, said: str) -> None:
        with pytest.raises(EnvironmentProblem, match=said) as caught:
            find_java(self.fake(tmp_path, script))
        for system in ("Debian", "RHEL", "macOS"):
            assert system in str(caught.value)

    def test_none(self) -> None:
        with pytest.raises(EnvironmentProblem, match="JAVA_HOME is not set, PATH has no java"):
            find_java({"PATH": ""})


class TestFetch:
    @pytest.fixture
    def cache(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
        """A resolver's cache that holds the pair, for pyspark 4.2.0 and delta-spark 4.4.0."""
        monkeypatch.setattr(fetch, "spark_version", lambda: "4.2.0")
        monkeypatch.setattr(fetch, "installed_version", lambda package: "4.4.0")
        cache = directory_of(tmp_path / "cache", *(f"io.delta_{name}" for name in PAIR))
        monkeypatch.setattr(fetch, "_ivy_caches", lambda: iter([tmp_path / "none", cache]))
        return cache

    @staticmethod
    def lock(tmp_path: Path, cache: Path) -> Path:
        path = tmp_path / "jars.lock"
        path.write_text(
            "# comment\n" + "".join(f"{fetch.sha256(cache / f'io.delta_{name}')}  {name}\n" for name in PAIR)
        )
        return path

    def test_from_the_cache_then_reused(self, tmp_path: Path, cache: Path) -> None:
        lock = self.lock(tmp_path, cache)
        found = fetch.fetch(tmp_path / "jars", lock, {})
        assert [path.name for path in found] == list(PAIR)
        for path in cache.iterdir():
            path.unlink()
        assert fetch.fetch(tmp_path / "jars", lock, {}) == found
        assert sorted(path.name for path in (tmp_path / "jars").iterdir()) == sorted(PAIR)

    def test_changed_file_is_refused_and_not_kept(self, tmp_path: Path, cache: Path) -> None:
        lock = self.lock(tmp_path, cache)
        (cache / f"io.delta_{PAIR[1]}").write_bytes(b"something else")
        with pytest.raises(EnvironmentProblem, match="sha256 is not the locked"):
            fetch.fetch(tmp_path / "jars", lock, {})
        assert [path.name for path in (tmp_path / "jars").iterdir()] == [PAIR[0]]

    def test_tampered_target_is_found(self, tmp_path: Path, cache: Path) -> None:
        lock = self.lock(tmp_path, cache)
        fetch.fetch(tmp_path / "jars", lock, {})
        (tmp_path / "jars" / PAIR[0]).write_bytes(b"something else")
        with pytest.raises(EnvironmentProblem, match="delete the file"):
            fetch.fetch(tmp_path / "jars", lock, {})

    def test_unlocked_version_is_refused(self, tmp_path: Path, cache: Path) -> None:
        with pytest.raises(EnvironmentProblem, match="not in the lock"):
            fetch.fetch(tmp_path / "jars", tmp_path / "no.lock", {})

    def test_others_by_their_coordinates(self, tmp_path: Path, cache: Path) -> None:
        """Only what is named is kept, each from its own organisation."""
        for name in ("org.one_a-1.0.jar", "org.two_b-2.0.jar", "org.two_c-3.0.jar"):
            (cache / name).write_bytes(name.encode())
        lock = tmp_path / "others.lock"
        digests = {"a-1.0.jar": "org.one_a-1.0.jar", "b-2.0.jar": "org.two_b-2.0.jar"}
        lock.write_text("".join(f"{fetch.sha256(cache / there)}  {name}\n" for name, there in digests.items()))
        found = fetch.fetch(tmp_path / "others", lock, {}, ["org.one:a:1.0", "org.two:b:2.0"])
        assert [path.name for path in found] == sorted(digests)
        assert sorted((tmp_path / "others").iterdir()) == found
        (cache / "org.two_b-2.0.jar").write_bytes(b"something else")
        found[1].unlink()
        with pytest.raises(EnvironmentProblem, match="sha256 is not the locked"):
            fetch.fetch(tmp_path / "others", lock, {}, ["org.one:a:1.0", "org.two:b:2.0"])
        with pytest.raises(UsageError, match=r"'org.one:a' is no Maven coordinate"):
            fetch.fetch(tmp_path / "others", lock, {}, ["org.one:a"])

    def test_checked_in_lock_knows_the_pinned_versions(self, root: Path) -> None:
        pins = dict(line.split("==") for line in (root / "constraints.txt").read_text().splitlines() if "==" in line)
        lock = own_lock()
        assert sorted(lock) == sorted(jars.jar_names(pins["pyspark"], pins["delta_spark"]))
        jars.check_pair(pins["pyspark"], pins["delta_spark"])
