"""The session builder, for real: a Delta table in both lanes, and programs that spark-submit or Python start."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from pyspark.sql import SparkSession

from synthward.errors import UsageError
from synthward.kernels.compiled import METHOD_LIMIT_KEY
from synthward.spark.session import CATALOG, EXTENSION, build_session

JARS = "jars/delta-spark_4.2_2.13-4.4.0.jar", "jars/delta-storage-4.4.0.jar"


def python(program: str, *, root: Path, command: list[str] | None = None, **environ: str) -> dict[str, object]:
    """Run a program that prints one JSON object on its last line; what it printed."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("SPARK_", "PYSPARK_"))}
    done = subprocess.run(
        [*(command or [sys.executable, "-c"]), textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
        cwd=root,
        env={**clean, **environ},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert "CANNOT_MODIFY" not in done.stdout + done.stderr
    result: dict[str, object] = json.loads(done.stdout.strip().splitlines()[-1])
    return result


@pytest.mark.connect
def test_lane_is_what_it_says(spark: SparkSession, lane: str) -> None:
    assert type(spark).__module__.startswith("pyspark.sql.connect") == (lane == "connect")


@pytest.mark.connect
def test_delta_table_by_path_and_by_name(spark: SparkSession, zone_dir: str) -> None:
    spark.range(5).selectExpr("id", "id * 2 AS twice").write.format("delta").save(f"{zone_dir}/t")
    spark.sql(f"INSERT INTO delta.`{zone_dir}/t` VALUES (5, 10)")
    assert spark.sql(f"SELECT sum(twice) AS s FROM delta.`{zone_dir}/t`").collect()[0]["s"] == 30
    spark.sql("CREATE TABLE session_by_name USING delta AS SELECT 1 AS a")
    try:
        assert spark.table("session_by_name").count() == 1
    finally:
        spark.sql("DROP TABLE session_by_name")


@pytest.mark.connect
def test_local_settings_are_in_force(spark: SparkSession) -> None:
    expected = {
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.shuffle.partitions": "2",
        "spark.databricks.delta.snapshotPartitions": "1",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.bindAddress": "127.0.0.1",
        METHOD_LIMIT_KEY: "8000",
    }
    assert {key: spark.conf.get(key) for key in expected} == expected


@pytest.mark.connect
def test_active_session_is_reused(spark: SparkSession) -> None:
    assert build_session("another", conf={"spark.sql.shuffle.partitions": "7"}) is spark
    assert spark.conf.get("spark.sql.shuffle.partitions") == "2"


def test_connect_is_refused_while_a_classic_session_is_active(spark: SparkSession, lane: str) -> None:
    if lane == "connect":
        pytest.skip("the active session is a Connect session")
    with pytest.raises(UsageError, match="classic session is active"):
        build_session("another", remote="local[2]")


@pytest.mark.connect
def test_workers_run_this_interpreter(spark: SparkSession) -> None:
    def executable(batches):
        import sys

        import pyarrow as pa

        for _ in batches:
            yield pa.RecordBatch.from_arrays([pa.array([sys.executable])], ["python"])

    rows = spark.range(0, 2, 1, 2).mapInArrow(executable, "python string").distinct().collect()
    assert [row["python"] for row in rows] == [sys.executable]


@pytest.mark.slow
def test_two_connect_programs_at_once_and_a_classic_session_after_one(root: Path) -> None:
    program = """
        import json, subprocess, sys, tempfile
        from synthward.spark.session import build_session, stop_session

        def both():
            spark = build_session("outer", remote="local[1]")
            kinds = [type(spark).__module__]
            if len(sys.argv) == 1:
                inner = subprocess.run([sys.executable, "-c", INNER], check=True, capture_output=True, text=True).stdout
            path = tempfile.mkdtemp() + "/t"
            spark.range(3).write.format("delta").save(path)
            count = spark.read.format("delta").load(path).count()
            stop_session(spark)
            spark = build_session("after", master="local[1]")
            kinds.append(type(spark).__module__)
            stop_session(spark)
            return {"kinds": kinds, "count": count, "inner": int(inner)}

        INNER = '''
        from synthward.spark.session import build_session, stop_session
        spark = build_session("inner", remote="local[1]")
        print(spark.range(4).count())
        stop_session(spark)
        '''.replace("\\n        ", "\\n")
        print(json.dumps(both()))
    """
    found = python(program, root=root)
    assert found == {"kinds": ["pyspark.sql.connect.session", "pyspark.sql.session"], "count": 3, "inner": 4}


@pytest.mark.slow
@pytest.mark.e2e
def test_under_spark_submit_only_delta_and_the_method_limit_are_added(root: Path, tmp_path: Path) -> None:
    program = tmp_path / "job.py"
    program.write_text(
        textwrap.dedent("""
        import json
        from synthward.spark.session import build_session, stop_session
        spark = build_session("job")
        keys = ["spark.master", "spark.sql.extensions", "spark.sql.catalog.spark_catalog"]
        keys.append("spark.sql.codegen.hugeMethodLimit")
        found = {key: spark.conf.get(key) for key in keys}
        local = {"spark.ui.enabled", "spark.ui.showConsoleProgress", "spark.driver.bindAddress", "spark.driver.memory"}
        found["added"] = sorted(local.intersection(dict(spark.sparkContext.getConf().getAll())))
        stop_session(spark)
        print(json.dumps(found))
        """)
    )
    submit = [str(Path(sys.executable).with_name("spark-submit")), "--master", "local[1]"]
    submit += ["--jars", ",".join(JARS), "--conf", "spark.sql.extensions=org.example.Other"]
    found = python(str(program), root=root, command=submit, PYSPARK_PYTHON=sys.executable)
    assert found == {
        "spark.master": "local[1]",
        "spark.sql.extensions": f"org.example.Other,{EXTENSION}",
        "spark.sql.catalog.spark_catalog": CATALOG,
        METHOD_LIMIT_KEY: "8000",
        "added": [],
    }


@pytest.mark.slow
@pytest.mark.e2e
def test_spark_submit_without_jars_names_the_three_ways(root: Path, tmp_path: Path) -> None:
    program = tmp_path / "job.py"
    program.write_text(
        textwrap.dedent("""
        import json
        from synthward.errors import EnvironmentProblem
        from synthward.spark.session import build_session
        try:
            build_session("job")
        except EnvironmentProblem as problem:
            print(json.dumps({"lines": str(problem).splitlines()}))
        """)
    )
    submit = [str(Path(sys.executable).with_name("spark-submit")), "--master", "local[1]"]
    found = python(str(program), root=root, command=submit, PYSPARK_PYTHON=sys.executable)
    lines = found["lines"]
    assert isinstance(lines, list)
    assert lines[0] == "Delta: not on the class path of this spark-submit."
    assert [line.split(":")[0].strip() for line in lines[2:]] == ["1. class path", "2. directory", "3. Maven"]


@pytest.mark.slow
def test_ui_when_asked_for_listens_on_this_machine_only(root: Path) -> None:
    if not Path("/proc/net/tcp6").exists():
        pytest.skip("reads /proc/net")
    program = """
        import json, socket
        from pathlib import Path
        from synthward.spark.session import build_session, stop_session
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        spark = build_session("ui", master="local[1]", conf={"spark.ui.enabled": "true", "spark.ui.port": str(port)})
        rows = [line.split() for name in ("tcp", "tcp6") for line in Path("/proc/net", name).read_text().splitlines()]
        bound = [row[1].split(":")[0][-8:] for row in rows if row[1].endswith(f":{port:04X}") and row[3] == "0A"]
        stop_session(spark)
        print(json.dumps({"bound": sorted(set(bound))}))
    """
    assert python(program, root=root) == {"bound": ["0100007F"]}


PRIVATE = """
    import json, os, stat
    from pathlib import Path
    from synthward.spark.session import build_session, stop_session

    os.umask(0o022)
    spark = build_session("private", master="local[1]")
    zone = Path(os.environ["ZONE"])
    spark.range(100).repartition(3).write.format("delta").save(str(zone / "protected" / "t"))
    spill = Path(spark.conf.get("spark.local.dir"))
    def modes(root):
        return {str(path): stat.S_IMODE(path.lstat().st_mode) for path in [root, *root.rglob("*")]}
    kept, scratch = modes(zone / "protected"), spill.parent
    found = {
        "open": sorted(path for path, mode in kept.items() if mode & 0o077),
        "kept": len(kept),
        "scratch": stat.S_IMODE(scratch.stat().st_mode),
        "shuffled": len(list(spill.rglob("shuffle_*"))),
    }
    stop_session(spark)
    print(json.dumps({**found, "left": scratch.exists()}))
"""


def test_what_a_local_session_keeps_is_private(root: Path, tmp_path: Path) -> None:
    """Shuffle files and tables hold patients' rows, whatever the umask of the account is."""
    found = python(PRIVATE, root=root, ZONE=str(tmp_path))
    assert found["open"] == []
    assert int(str(found["kept"])) > 5
    assert found["scratch"] == 0o700
    assert int(str(found["shuffled"])) > 0
    assert found["left"] is False
