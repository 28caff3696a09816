"""Answer replay: with every noisy answer held fixed, nothing outside of the protected zone can tell D from D'.

D and D' differ in one patient. On D every noise call is recorded with its exact vector; on D' the same calls must come
in the same order, each within the sensitivity its noise was calibrated for, and get the recorded answers. Whatever then
differs outside of the protected zone is a leak that no noise covers.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from recorded import Call, RecordingNoise, ReplayNoise
from synthward.errors import SynthwardError
from synthward.privacy.noise import NoiseCall
from synthward.privacy.sensitivity import WEIGHT_UNIT
from synthward.spec import request_file
from synthward.spec.request_file import request_digest
from trial import TestSite, heard, ready

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from synthward.store.links import Link

K = 2
VISITS = "stay STRING, sex STRING, age INT"
STAYS = "stay STRING, pid BIGINT"
Rows = list[tuple[Any, ...]]


@dataclass(frozen=True)
class World:
    """A source: visits, and the table that says whose they are."""

    visits: tuple[tuple[Any, ...], ...]
    stays: tuple[tuple[Any, ...], ...]

    def without(self, patient: int) -> World:
        """Everything that belongs to one patient taken away: links to the patient, and visits that only they explain.

        The visits themselves are nobody's any more; they become orphans or go, and must not matter either way.
        """
        return World(self.visits, tuple(row for row in self.stays if row[1] != patient))


def crowd() -> World:
    """The smallest population that policy allows, each patient odd in another way."""
    visits: Rows = []
    stays: Rows = []
    # Patient 1: plain. Patient 2 owns more rows than K. Patient 3 owns the only row of a category.
    visits += [("a", "F", 30), ("b", "M", 41)]
    stays += [("a", 1), ("b", 1)]
    visits += [(f"c{n}", "F", 50 + n) for n in range(7)]
    stays += [(f"c{n}", 2) for n in range(7)]
    visits += [("d", "X", 99)]
    stays += [("d", 3)]
    # Patients 4 and 5 share an ambiguous parent: the stay is listed for both, and the row fans out.
    visits += [("e", "M", 12), ("f", "F", None)]
    stays += [("e", 4), ("e", 5), ("f", 5)]
    # Patient 6 has a link to a visit that is not there, and the smallest 64-bit id.
    visits += [("g", "?", -5)]
    stays += [("g", -(2**63)), ("gone", -(2**63))]
    # Nobody's rows: a visit without a stay, a stay without a patient, a NULL stay on both sides.
    visits += [("orphan", "M", 77), ("h", "F", 20), (None, "F", 21)]
    stays += [("h", None), (None, 1)]
    return World(tuple(visits), tuple(stays))


POPULATION = 6
PATIENTS = {
    "plain": 1,
    "more rows than K": 2,
    "only row of a category": 3,
    "one of two parents": 4,
    "LONG minimum": -(2**63),
}


class Ids:
    """`secrets.token_hex` in order, so that random ids are equal in both runs."""

    def __init__(self) -> None:
        self._next = itertools.count(1)

    def __call__(self, size: int = 16) -> str:
        return f"{next(self._next):0{2 * size}x}"


@dataclass(frozen=True)
class Seen:
    """What can be seen of a run outside of the protected zone."""

    views: dict[str, Any]

    def differences(self, other: Seen) -> list[str]:
        """Names of the views that differ."""
        assert self.views.keys() == other.views.keys()
        return [name for name, view in self.views.items() if view != other.views[name]]


def observe(
    spark: SparkSession,
    root: Path,
    world: World,
    noise: RecordingNoise | ReplayNoise,
    monkeypatch: pytest.MonkeyPatch,
    **changes: Any,
) -> Seen:
    """Runs the job on a world and gathers everything that leaves the protected zone."""
    monkeypatch.setattr("secrets.token_hex", Ids())
    # The two sites lie in two folders, and so do their sources, which the digest of a request tells apart.
    monkeypatch.setattr(
        request_file, "request_digest", lambda request, domain, _: request_digest(request, domain, Path("/one/folder"))
    )
    site = TestSite(
        root,
        site={"tracking": None},
        policy={"tiers": {"T0": {"min_declared_patients": POPULATION}}},
    )
    site.write(spark, list(world.visits), VISITS)
    site.write(spark, list(world.stays), STAYS, name="stays")
    step = {"source": {"format": "delta", "path": "data/stays"}, "on": {"stay": "stay"}}
    path = site.request(patient={"key": "pid", "max_rows_per_patient": K, "path": [step]}, **changes)
    opened = site.open(spark, noise=noise)
    request = ready(opened, path)
    failure, release = "", None
    with heard() as messages:
        try:
            release = opened.run(request)
        except SynthwardError as error:
            failure = f"{type(error).__name__} {error.exit_code} {error}"
    tokens = {str(root): "<root>"}
    # A step's sign of life depends on how busy the machine is, and on nothing else.
    messages = [message for message in messages if " still running after " not in message]
    views: dict[str, Any] = {"exit": failure, "messages": messages}
    ledger = opened.ledger._chain.rows("clinic")
    views["ledger"] = [(link.kind, link.body, link.at, link.hash) for link in ledger]
    tokens |= hidden(ledger)
    if release is not None:
        tokens[release.manifest.digest] = "<manifest>"
        views["manifest"] = release.manifest.text
        views["report"] = release.report
        views["rows"] = [tuple(row) for row in opened.rows(release.release_id).orderBy("_row").collect()]
        views["schema"] = opened.rows(release.release_id).schema.json()
        views["registry"] = opened.registry.row(release.release_id)
        views["model"] = opened.registry.artifact(release.release_id, "model.json").decode()
        views["mlflow"] = tracked(root, release.outcome.mlflow_run)
        views["plan"] = str(opened.plan(request).forecast)
    views["files"] = shapes(root / "zones" / "releases", tokens)
    return Seen({name: plain(view, tokens) for name, view in views.items()})


def hidden(ledger: Iterable[Link]) -> dict[str, str]:
    """Hashes of links of the protected zone, keys of seals, and hashes of the ledger that follow from them.

    They hide what they stand for: the `opened` link holds a random number that is never published, a seal is enclosed
    under a random key (PROOFS 5.6). So two runs differ in them whatever their sources are.
    """
    tokens: dict[str, str] = {}
    for link in ledger:
        names = [name for name in ("opened", "digest", "seal_key") if link.facts.get(name)]
        assert all(len(link.facts[name]) == 64 for name in names)
        tokens |= {link.facts[name]: f"<{name} of link {link.seq}>" for name in names}
        if link.kind != "open":
            tokens[link.hash] = f"<link {link.seq}>"
    return tokens


def tracked(root: Path, run: str | None) -> Any:
    """Parameters, metrics, tags and artifacts of an MLflow run."""
    mlflow = pytest.importorskip("mlflow")
    client = mlflow.MlflowClient(f"sqlite:///{root}/mlflow.db")
    data = client.get_run(run).data
    tags = {name: value for name, value in data.tags.items() if not name.startswith("mlflow.")}
    return [data.params, data.metrics, tags, sorted(entry.path for entry in client.list_artifacts(run))]


VOLATILE = re.compile(
    r"timestamp|time|txnId|engineInfo|id|path|size|.*bytes.*|.*(Time|Ms|Size|Id)"
    # What names the folder of the site, and digests of that; their texts are compared where they come from.
    r"|sha256|release_table|manifest_digest|synthward\.manifest_.*",
    re.IGNORECASE,
)


def shapes(zone: Path, tokens: dict[str, str]) -> list[Any]:
    """Delta logs of a zone without times, random ids, and sizes of files that hold digests of such."""
    logs = []
    for log in sorted(zone.rglob("_delta_log/*.json")):
        name = plain(str(log.relative_to(zone)), tokens)
        actions = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
        logs.append((name, [steady(action) for action in actions]))
    return logs


def steady(value: Any) -> Any:
    """A log action without what differs between any two runs."""
    if isinstance(value, dict):
        return {k: steady(v) for k, v in value.items() if not VOLATILE.fullmatch(k)}
    if isinstance(value, list):
        return [steady(entry) for entry in value]
    if isinstance(value, str) and value.startswith("{"):
        return steady(json.loads(value))
    # Spark numbers the columns of an expression.
    return re.sub(r"#\d+", "#", value) if isinstance(value, str) else value


def plain(view: Any, tokens: dict[str, str]) -> str:
    """A view as text, without places, durations and digests that name a place."""
    text = view if isinstance(view, str) else json.dumps(view, sort_keys=True, default=str)
    for found, token in tokens.items():
        text = text.replace(found, token)
    text = re.sub(r"\b(done in|after) \d+\.\d s", r"\1 <time>", text)
    return re.sub(r'("?manifest_sha256"?: "?)[0-9a-f]{64}', r"\1<manifest>", text)


@dataclass
class Recorded:
    """A run on D and its noise calls."""

    seen: Seen
    calls: list[Call]


@pytest.fixture(scope="module")
def record(spark: SparkSession, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Recorded]:
    """Runs D once for each set of changes."""
    made: dict[str, Recorded] = {}

    def once(name: str, world: World, **changes: Any) -> Recorded:
        if name not in made:
            noise = RecordingNoise()
            with pytest.MonkeyPatch.context() as patch:
                seen = observe(spark, tmp_path_factory.mktemp("d"), world, noise, patch, **changes)
            made[name] = Recorded(seen, noise.calls)
        return made[name]

    return once


def first_difference(name: str, one: Seen, other: Seen) -> str:
    """Where two views part, with what stands around."""
    texts = [str(seen.views[name]) for seen in (one, other)]
    shortest = min(map(len, texts))
    place = next((k for k in range(shortest) if texts[0][k] != texts[1][k]), shortest)
    around = [text[max(0, place - 150) : place + 100] for text in texts]
    return f"{name}: {around[0]!r} on D, {around[1]!r} on D'"


def replay(
    spark: SparkSession,
    root: Path,
    recorded: Recorded,
    world: World,
    monkeypatch: pytest.MonkeyPatch,
    **changes: Any,
) -> ReplayNoise:
    """Runs D' with the answers of D; everything visible must be equal."""
    noise = ReplayNoise(recorded.calls)
    seen = observe(spark, root, world, noise, monkeypatch, **changes)
    assert noise.place == len(recorded.calls)
    assert [first_difference(name, recorded.seen, seen) for name in recorded.seen.differences(seen)] == []
    return noise


# The ways in which a world differs from `crowd()` by one patient, or by nobody at all.
def without_orphans(world: World) -> World:
    """No rows without a patient, and no stays without one: nothing at all may change."""
    owned = {stay for stay, patient in world.stays if patient is not None and stay is not None}
    return World(
        tuple(row for row in world.visits if row[0] in owned),
        tuple(row for row in world.stays if row[0] is not None and row[1] is not None),
    )


@pytest.mark.slow
def test_one_patient_less_than_the_smallest_population(
    spark: SparkSession, record: Callable[..., Recorded], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded = record("crowd", crowd())
    population = next(call for call in recorded.calls if call.label == "population")
    assert population.exact == (POPULATION * WEIGHT_UNIT,)
    noise = replay(spark, tmp_path, recorded, crowd().without(5), monkeypatch)
    # Patient 5 counts in the population, in both marginals, and in the sums of the age of the shared stay.
    assert noise.moved == len(recorded.calls)


@pytest.mark.slow
@pytest.mark.parametrize("who", PATIENTS)
def test_any_patient_may_be_missing(
    spark: SparkSession, record: Callable[..., Recorded], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, who: str
) -> None:
    noise = replay(spark, tmp_path, record("crowd", crowd()), crowd().without(PATIENTS[who]), monkeypatch)
    assert noise.moved


@pytest.mark.slow
def test_rows_without_a_patient_do_not_matter(
    spark: SparkSession, record: Callable[..., Recorded], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = replay(spark, tmp_path, record("crowd", crowd()), without_orphans(crowd()), monkeypatch)
    assert noise.moved == 0


@pytest.mark.slow
def test_the_owner_of_the_orphans_appears(
    spark: SparkSession, record: Callable[..., Recorded], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    world = crowd()
    owned = World(world.visits, (*world.stays, ("orphan", 7), ("h", 7)))
    assert replay(spark, tmp_path, record("crowd", world), owned, monkeypatch).moved


@pytest.mark.connect
@pytest.mark.slow_on_connect
# One whole pair in `make test`: the fewest patients, and noise so weak that any trace of them would show.
@pytest.mark.parametrize("mechanism", ["laplace", pytest.param("gaussian", marks=pytest.mark.slow)])
def test_one_patient_and_none(
    spark: SparkSession,
    record: Callable[..., Recorded],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mechanism: str,
) -> None:
    """Weak noise shows that the population gate fails on the same sealed number, with the same message and code."""
    one = World((("a", "F", 30), ("a", "M", 31)), (("a", 1),))
    privacy = {"mechanism": mechanism, "epsilon": 50, "delta": 1e-7 if mechanism == "gaussian" else 0}
    recorded = record(mechanism, one, privacy=privacy)
    noise = replay(spark, tmp_path, recorded, World((), ()), monkeypatch, privacy=privacy)
    assert noise.moved
    assert "GateFailed 5" in recorded.seen.views["exit"]


@pytest.mark.slow
def test_gaussian_noise_with_a_heavy_patient(
    spark: SparkSession, record: Callable[..., Recorded], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    privacy = {"mechanism": "gaussian", "epsilon": 50, "delta": 1e-7}
    recorded = record("heavy", crowd(), privacy=privacy)
    assert replay(spark, tmp_path, recorded, crowd().without(2), monkeypatch, privacy=privacy).moved


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "who"),
    [("few_round", "more rows than K"), ("few_round", "only row of a category"), ("aim", "more rows than K")],
)
def test_rounds_that_choose_their_tables(
    spark: SparkSession,
    record: Callable[..., Recorded],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    who: str,
) -> None:
    """Scores and selections too: what is chosen depends on sealed answers alone."""
    changes = {
        "privacy": {"mechanism": "gaussian", "epsilon": 50, "delta": 1e-7},
        "synthesizer": {"name": name, "max_iterations": 20},
    }
    recorded = record(name, crowd(), **changes)
    kinds = {call.label.partition("(")[0] for call in recorded.calls}
    assert kinds >= {"population", "marginal", "scores" if name == "few_round" else "selection"}
    assert replay(spark, tmp_path, recorded, crowd().without(PATIENTS[who]), monkeypatch, **changes).moved


def test_a_difference_beyond_the_sensitivity_is_noticed() -> None:
    call = NoiseCall("laplace", 10.0, 3)
    recorded = [Call("sum(age)", (5, 5), call, np.array([6, 4]))]
    assert ReplayNoise(recorded).draw("sum(age)", np.array([6, 3]), call).tolist() == [6, 4]
    with pytest.raises(AssertionError):
        ReplayNoise(recorded).draw("sum(age)", np.array([7, 3]), call)
    with pytest.raises(AssertionError):
        ReplayNoise(recorded).draw("sum(weight)", np.array([5, 5]), call)


def test_two_different_views_are_noticed() -> None:
    views: Iterable[dict[str, Any]] = ({"rows": "1"}, {"rows": "2"})
    one, two = (Seen(view) for view in views)
    assert one.differences(two) == ["rows"]
