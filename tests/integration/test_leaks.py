"""Planted values, patient ids and exact counts appear nowhere outside of the protected zone, on good and bad paths."""

from __future__ import annotations

import contextlib
import datetime as dt
import io
import json
import re
import sqlite3
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from showcase import ID_PLANT, PATIENTS, ROWS, VALUE_PLANTS, Showcase, showcase
from synthward.api import Release, Ward
from synthward.cli.main import main
from synthward.privacy.measurement import unpack
from synthward.spec.repair import Repair
from synthward.spec.request_file import RequestFile
from synthward.spec.site import Site
from synthward.store.chain import Chain
from synthward.store.places import Zone
from trial import VISITS, Clock, TestSite, committed_journal, heard, ready

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from synthward.privacy.noise import Integers, NoiseCall

pytestmark = [pytest.mark.connect, pytest.mark.slow_on_connect]

PLANTS = re.compile("|".join(re.escape(plant) for plant in (ID_PLANT, *VALUE_PLANTS)))
NOT_CONTENT = re.compile(r"size|timestamp|.*bytes.*|.*(time|timems|size|id)", re.IGNORECASE)


@pytest.fixture(scope="module")
def shown(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Showcase:
    return showcase(spark, tmp_path_factory.mktemp("showcase"))


@pytest.fixture(scope="module")
def counts(spark: SparkSession, shown: Showcase) -> re.Pattern[str]:
    """The exact counts as numbers on their own; one that noise happened to hit is not looked for."""
    journal = Chain(spark, Zone(str(shown.site.root / "zones" / "protected")).table("journal"))
    [seal] = [link for link in journal.read(shown.line["run_id"]) if link.kind == "sealed"]
    plan = shown.site.open(spark, clock=Clock()).plan(shown.site.open(spark).request(shown.request))
    asked = next(plan.synthesizer.rounds(plan.task)).asked
    found = committed_journal(shown.site.open(spark), shown.line["run_id"]).find_seal(seal.facts["step"])
    assert found is not None
    sealed = unpack(asked, found[0]["cells"], found[1])
    population = next(m.counts[0] for m in sealed if m.asked.query.label == "population")
    wanted = [n for n in (ROWS, PATIENTS) if n != population]
    spelled = [text for n in wanted for text in {str(n), f"{n:,}"}]
    return re.compile(rf"(?<![0-9A-Za-z.,_-])({'|'.join(spelled)})(?![0-9A-Za-z_-]|[.,][0-9])")


def hits(pattern: re.Pattern[str], texts: dict[str, str]) -> list[str]:
    return [
        f"{name}: ...{text[max(0, m.start() - 60) : m.end() + 20]}..."
        for name, text in texts.items()
        for m in pattern.finditer(text)
    ]


def delta_logs(folder: Path) -> Iterator[tuple[str, str]]:
    """Every Delta log of a zone, without byte sizes, times and random ids, which any number may hit."""
    for log in sorted(folder.rglob("_delta_log/*.json")):
        for line in log.read_text(encoding="utf-8").splitlines():
            yield str(log), json.dumps(content(json.loads(line)))


def content(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: content(v) for k, v in value.items() if not NOT_CONTENT.fullmatch(k)}
    if isinstance(value, list):
        return [content(entry) for entry in value]
    if isinstance(value, str) and value.startswith("{"):
        with contextlib.suppress(json.JSONDecodeError):
            return content(json.loads(value))
    return value


def published_texts(spark: SparkSession, root: Path) -> dict[str, str]:
    """All that a reader of the release zone, the ledger, MLflow or the results of a site can see, where it is there."""
    texts: dict[str, str] = {}
    for file in [*(root / "out").glob("*"), *root.glob("*result.json"), *root.glob("zones/releases/reports/*")]:
        texts[file.name] = file.read_text(encoding="utf-8")
    for zone in ("releases", "ledger"):
        for place, (name, text) in enumerate(delta_logs(root / "zones" / zone)):
            texts[f"{name} {place}"] = text
    for name in ("releases/releases", "releases/artifacts", "ledger/charges"):
        table = root / "zones" / name
        for place, row in enumerate(spark.read.format("delta").load(str(table)).collect() if table.is_dir() else []):
            facts = {k: v.decode() if isinstance(v, bytes | bytearray) else v for k, v in row.asDict().items()}
            texts[f"{table.name} {place}"] = json.dumps(facts)
    for file in (file for file in (root / "mlartifacts").rglob("*") if file.is_file()):
        texts[f"mlflow {file.name}"] = file.read_text(encoding="utf-8")
    if (root / "mlflow.db").is_file():
        with sqlite3.connect(root / "mlflow.db") as store:
            texts["mlflow.db"] = "\n".join(store.iterdump())
    return texts


@pytest.fixture(scope="module")
def texts(spark: SparkSession, shown: Showcase) -> dict[str, str]:
    said = {f"stdout of {name}": text for name, text in shown.stdout.items()}
    said |= {f"stderr of {name}": text for name, text in shown.stderr.items()}
    return {**said, "log": "\n".join(shown.messages), **published_texts(spark, shown.site.root)}


def test_the_plants_are_in_the_source(spark: SparkSession, shown: Showcase) -> None:
    source = spark.read.format("delta").load(str(shown.site.data()))
    assert source.count() == ROWS
    assert source.select("pid").distinct().count() == PATIENTS
    dump = "\n".join(str(row) for row in source.where("sex = 'PLANTED-SEX'").limit(1).collect())
    assert {m.group() for m in PLANTS.finditer(dump)} == {ID_PLANT, *VALUE_PLANTS}


def test_no_planted_value_or_id_is_published(texts: dict[str, str]) -> None:
    assert len(texts) > 25
    seen = {"mlflow manifest.json", "mlflow report.html", "mlflow.db", "result.json", "unapproved.result.json"}
    assert seen <= set(texts)
    assert {"charges 1", "releases 0", "artifacts 0"} <= set(texts)
    assert hits(PLANTS, texts) == []


def test_no_exact_count_is_published(texts: dict[str, str], counts: re.Pattern[str]) -> None:
    assert hits(counts, {"probe": f"found {ROWS} rows"})
    assert hits(counts, texts) == []


def test_no_released_row_has_a_planted_value(spark: SparkSession, shown: Showcase) -> None:
    rows = spark.read.format("delta").load(shown.line["table"]).collect()
    assert hits(PLANTS, {"rows": "\n".join(str(row.asDict()) for row in rows)}) == []


def test_the_source_reference_tells_nothing_of_the_source(spark: SparkSession, shown: Showcase) -> None:
    """Version and place of the source stay in the journal; what is published is random."""
    opened = shown.site.open(spark)
    manifest = opened.manifest(shown.line["release_id"])
    [opening] = [link for link in opened.history(shown.line["run_id"]) if link.kind == "opened"]
    assert opening.facts["source_ref"] == manifest.body["source_ref"]
    assert opening.facts["source"][0]["location"] not in manifest.text
    assert re.fullmatch("[0-9a-f]{32}", manifest.body["source_ref"])


class Failing:
    """Noise that fails in the middle of a round, when exact numbers are at hand, and says so with a cell and counts."""

    def draw(self, label: str, exact: Integers, call: NoiseCall) -> Integers:
        """See `NoiseSource.draw`."""
        raise RuntimeError(
            f"no entropy for {label}: {ID_PLANT}000001 of {PATIENTS} with {ROWS} rows, {exact[0]}, {call}"
        )


def bad_site(spark: SparkSession, root: Path) -> TestSite:
    site = TestSite(root, site={"tracking": None})
    rows = [(f"{ID_PLANT}{k % PATIENTS}", "PLANTED-SEX" if k % 3 else "F", 98765) for k in range(ROWS)]
    site.write(spark, rows, VISITS.replace("BIGINT", "STRING"))
    return site


def break_file(site: TestSite) -> None:
    """Damages the data pages of the source's only file, of which the footer stays readable."""
    [file] = site.data().glob("part-*.parquet")
    content = bytearray(file.read_bytes())
    content[8:400] = bytes(range(256)) + bytes(136)
    file.write_bytes(content)


def failing_ward(site: TestSite, what: str, failures: list[BaseException]) -> type[Ward]:
    """What the command line opens the site as: it fails as told, and keeps what was raised."""

    def on_step(step: str) -> None:
        if what == "broken file" and step == "charge":
            break_file(site)

    seams: dict[str, Any] = {"noise": Failing()} if what == "failing noise" else {}

    class FailingWard(Ward):
        def __init__(self, spark: SparkSession, opened: Site) -> None:
            super().__init__(spark, opened, on_step=on_step, **seams)

        def run(self, request: RequestFile, *, run_key: str = "", repair: Repair | None = None) -> Release:
            try:
                return super().run(request, run_key=run_key, repair=repair)
            except BaseException as error:
                failures.append(error)
                raise

    return FailingWard


BAD = {"missing column": 2, "failed gate": 5, "failing noise": 1, "broken file": 1}
"""What goes wrong, and the exit code."""


@pytest.mark.parametrize(
    "what", [pytest.param(what, marks=[] if code == 2 else pytest.mark.slow) for what, code in BAD.items()]
)
def test_no_message_of_a_failed_run_has_a_planted_thing(
    spark: SparkSession,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    what: str,
    counts: re.Pattern[str],
) -> None:
    """Nothing that a failed command leaves outside of the protected zone: output, result, zones, ledger, MLflow."""
    site, failures = bad_site(spark, tmp_path), []
    today = dt.datetime.now(dt.UTC)
    changes: dict[str, Any] = {"expires": today.date() + dt.timedelta(days=3)}
    if what == "missing column":
        site.domain({"Sex": {"type": "categorical", "values": ["F", "M"]}})
        changes["columns"] = ["Sex"]
    if what == "failed gate":
        changes["utility"] = {"max_out_of_domain_share": 0}
    path = site.request(**changes)
    ready(site.open(spark, clock=Clock(today)), path)
    monkeypatch.setattr("synthward.api.Ward", failing_ward(site, what, failures))
    words = ["run", str(path), "--site", str(site.file), "--result", str(tmp_path / "result.json")]
    capfd.readouterr()
    said = io.StringIO()
    with heard() as messages, contextlib.redirect_stderr(said):
        assert main(words) == BAD[what], said.getvalue()
    out, of_java = capfd.readouterr()
    texts = {"log": "\n".join(messages), "stdout": out, "stderr": said.getvalue(), **published_texts(spark, tmp_path)}
    assert out == ""
    assert type(failures[0]).__name__ in texts["stderr"]
    assert {"result.json", "charges 0"} <= set(texts)
    assert hits(PLANTS, texts) == []
    assert hits(counts, texts) == []
    # A JVM that runs a worker says on stderr what failed; that is Spark's own log, inside of the protected zone.
    assert hits(PLANTS, {"stderr of Java": of_java}) == []
    if what != "failing noise":  # whose text is ours, to be withheld; of all others it has nothing to withhold
        raised = {"error": str(failures[0]), "traceback": "".join(traceback.format_exception(failures[0]))}
        assert hits(PLANTS, raised) == []
        assert hits(counts, raised) == []
