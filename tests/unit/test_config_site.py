"""The site file: forms of locations, zones apart, resolution, digest."""

from __future__ import annotations

from pathlib import Path

import pytest

from synthward.config.locations import has_scheme, is_schema, resolve, resolve_tracking, resolve_zone, zone_fault
from synthward.errors import ConfigError
from synthward.spec.site import load_site

ROOT = Path(__file__).parents[2]

SITE = """\
version: 1
name: Test site
policy: policy.yaml
ledger: ./ledger
protected: zones/protected/
releases: main.synthward
tracking: {uri: ./mlruns}
"""


def write(folder: Path, text: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "site.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refused(folder: Path, text: str) -> list[tuple[int, str, str]]:
    with pytest.raises(ConfigError) as caught:
        load_site(write(folder, text))
    return [(problem.line, problem.path, problem.message) for problem in caught.value.problems]


def test_relative_locations_resolve_against_the_folder_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "conf", SITE)
    monkeypatch.chdir(tmp_path)
    site = load_site(Path("conf/site.yaml"))
    folder = (tmp_path / "conf").as_posix()
    assert (site.policy, site.ledger) == (f"{folder}/policy.yaml", f"{folder}/ledger")
    assert (site.protected, site.releases) == (f"{folder}/zones/protected", "main.synthward")
    assert site.tracking.uri == f"{folder}/mlruns"
    assert (site.publish, site.single_writer, site.target_file_rows) == ("clone", False, 2**21)


def test_the_digest_is_of_the_content_and_not_of_the_place(tmp_path: Path) -> None:
    first = load_site(write(tmp_path / "a", SITE))
    second = load_site(write(tmp_path / "b", "# moved\n" + SITE))
    other = load_site(write(tmp_path / "c", SITE.replace("./ledger", "./ledger2")))
    assert first.digest == second.digest != other.digest
    assert first.ledger != second.ledger


def test_the_shipped_site_and_its_policy() -> None:
    site = load_site(ROOT / "conf" / "site.yaml")
    assert Path(site.policy).is_file()
    assert site.tracking.uri == f"sqlite:///{ROOT.as_posix()}/.synthward/mlflow.db"


@pytest.mark.parametrize(
    "location",
    [
        "./ledger", "../zones/ledger", "/data/ledger", "zones/ledger", "s3a://bucket/ledger", "file:/data/x", "dbfs:/x",
        "abfss://zone@account.dfs.core.windows.net/x", "hdfs:///data/x", "main.synthward", "hive_metastore.syn-1",
        "/Volumes/main/s/v",
    ],
)  # fmt: skip
def test_zone_forms(location: str) -> None:
    assert zone_fault(location) is None


@pytest.mark.parametrize(
    "location", ["ledger", "a.b.c", "main.", "~/ledger", "/a`b", "/a'b", "/a;b", " /a", "a\n/b", ""]
)
def test_locations_that_are_no_zone(location: str, tmp_path: Path) -> None:
    fault = zone_fault(location)
    assert fault is not None
    assert "main.synthward" in fault
    assert "./zones/ledger" in fault


def test_a_zone_that_is_neither_is_refused_with_its_line(tmp_path: Path) -> None:
    [(line, path, message)] = refused(tmp_path, SITE.replace("./ledger", "ledger"))
    assert (line, path) == (4, "ledger")
    assert "beside this file as ./ledger" in message


@pytest.mark.parametrize(
    ("ledger", "protected", "releases", "blamed"),
    [
        ("./a", "a/", "./c", {"protected"}),
        ("./a", "./a/../a", "./c", {"protected"}),
        ("./a", "./a/b", "./c", {"protected"}),
        ("./a/b/c", "./b", "./a", {"releases"}),
        ("./a", "./a", "./a", {"protected", "releases"}),
        ("main.x", "Main.X", "./c", {"protected"}),
        ("file:/data/a", "/data/a", "./c", {"protected"}),
        ("file:///data/a", "/data/a/b", "./c", {"protected"}),
        ("s3a://b/x", "s3a://b/x/", "./c", {"protected"}),
        ("s3a://b/x", "./a", "s3a://b", {"releases"}),
    ],
)
def test_zones_must_be_apart(tmp_path: Path, ledger: str, protected: str, releases: str, blamed: set[str]) -> None:
    text = f"version: 1\nname: x\npolicy: p.yaml\nledger: {ledger}\nprotected: {protected}\nreleases: {releases}\n"
    problems = refused(tmp_path, text)
    assert {path for _, path, _ in problems} == blamed
    assert all("access is granted by zone" in message for _, _, message in problems)
    assert all(line == {"protected": 5, "releases": 6}[path] for line, path, _ in problems)


def test_zones_that_meet_only_after_resolution_are_refused_too(tmp_path: Path) -> None:
    text = SITE.replace("zones/protected/", f"{(tmp_path / 'ledger' / 'x').as_posix()}")
    [(line, path, message)] = refused(tmp_path, text)
    assert (line, path) == (5, "protected")
    assert "lies inside ledger" in message


def test_names_that_merely_start_alike_are_apart(tmp_path: Path) -> None:
    load_site(write(tmp_path, SITE.replace("zones/protected/", "./ledger2").replace("main.synthward", "./led")))


def test_policy_is_a_file_of_the_driver(tmp_path: Path) -> None:
    [(line, path, message)] = refused(tmp_path, SITE.replace("policy.yaml", "s3a://bucket/policy.yaml"))
    assert (line, path) == (3, "policy")
    assert "not a URI" in message


def test_without_a_word_runs_are_logged_in_a_database_beside_the_file(tmp_path: Path) -> None:
    silent = load_site(write(tmp_path / "a", SITE.replace("tracking: {uri: ./mlruns}\n", "")))
    assert (silent.tracking.enabled, silent.tracking.experiment) == (True, "synthward")
    assert silent.tracking.uri == f"sqlite:///{(tmp_path / 'a').as_posix()}/mlflow.db"
    off = load_site(write(tmp_path / "b", SITE.replace("{uri: ./mlruns}", "{enabled: false}")))
    assert not off.tracking.enabled
    named = load_site(write(tmp_path / "c", SITE.replace("{uri: ./mlruns}", "{experiment: pilot}")))
    assert (named.tracking.enabled, named.tracking.experiment) == (True, "pilot")
    assert named.tracking.uri == f"sqlite:///{(tmp_path / 'c').as_posix()}/mlflow.db"
    [(line, path, message)] = refused(tmp_path / "d", SITE.replace("{uri: ./mlruns}", "null"))
    assert (line, path) == (7, "tracking")
    assert "expected a mapping" in message


def test_a_setting_that_does_nothing_is_not_accepted(tmp_path: Path) -> None:
    text = SITE.replace("{uri: ./mlruns}", "\n  uri: databricks\n  restricted_experiment: synthward")
    [(line, path, _)] = refused(tmp_path, text)
    assert (line, path) == (9, "tracking")  # far from every key, it is told by its line


def test_target_file_rows_has_limits(tmp_path: Path) -> None:
    assert refused(tmp_path, SITE + "target_file_rows: 10\n")[0][:2] == (8, "target_file_rows")


def test_resolution_of_single_locations() -> None:
    base = Path("/srv/conf")
    assert resolve(base, "x/../y.csv") == "/srv/conf/y.csv"
    assert resolve(base, "/abs/../x") == "/abs/../x"
    assert resolve(base, "s3a://b/x") == "s3a://b/x"
    assert resolve_zone(base, "a.b") == "a.b"
    assert resolve_zone(base, "s3a://b/x/") == "s3a://b/x"
    assert resolve_tracking(base, "sqlite:///m.db") == "sqlite:////srv/conf/m.db"
    assert resolve_tracking(base, "sqlite:////abs/m.db") == "sqlite:////abs/m.db"
    for uri in ("databricks", "databricks://profile", "https://mlflow.example", "file:/x"):
        assert resolve_tracking(base, uri) == uri
    assert has_scheme("dbfs:/x")
    assert not has_scheme("a/b:c")
    assert is_schema("main.synthward")
    assert not is_schema("a.b/c")
