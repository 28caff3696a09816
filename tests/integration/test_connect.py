"""The whole job over Spark Connect, command line included; the classic lane has its own, bigger run of it."""

from __future__ import annotations

import datetime as dt
import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from synthward.cli.main import main
from trial import TestSite, heard

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.connect


@pytest.fixture(autouse=True)
def _only_there(lane: str) -> None:
    if lane != "connect":
        pytest.skip("the classic lane runs the job elsewhere")


def test_the_command_line_from_budget_to_history(
    spark: SparkSession, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert type(spark).__module__ == "pyspark.sql.connect.session"
    site = TestSite(tmp_path)
    site.write(spark)
    request = str(site.request(expires=dt.datetime.now(dt.UTC).date() + dt.timedelta(days=3)))
    terms = ["--epsilon", "100", "--delta", "1e-6", "--patients", "50", "--by", "sam"]
    commands = [
        ["budget", "open", "clinic", *terms],
        ["approve", request, "--by", "lee", "--role", "privacy_officer"],
        ["run", request, "--result", str(tmp_path / "result.json")],
    ]
    with heard():
        for words in commands:
            assert main([*words, "--site", str(site.file)]) == 0, capsys.readouterr().err
        [line] = [json.loads(text) for text in capsys.readouterr().out.splitlines() if text.startswith("{")]
        assert line["is_new"] is True
        assert main(["history", line["run_id"], "--site", str(site.file)]) == 0
        kinds = [text.split()[2] for text in capsys.readouterr().out.splitlines()]
        assert kinds == ["opened", "sealed", "fitted", "validated", "published"]
        assert main(["budget", "verify", "--site", str(site.file)]) == 0
    result = json.loads((tmp_path / "result.json").read_text(encoding="utf-8"))
    assert (result["status"], result["table"]) == ("published", line["table"])
    rows = site.open(spark).rows(line["release_id"])
    assert rows.count() == rows.select("_row").distinct().count() == 200
