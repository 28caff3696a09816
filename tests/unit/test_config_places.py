"""Which spellings are one place, which lie in another, and that a site's zones are never a source."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from synthward.config.places import Relation, meets, place_of, relation
from synthward.errors import ConfigError
from synthward.spec.apart import zone_problems
from synthward.spec.request_file import load_request
from synthward.spec.site import load_site
from trial import TestSite


def as_written(path: str) -> str:
    """No symbolic links."""
    return path


@pytest.mark.parametrize(
    ("one", "other", "found"),
    [
        ("/data/a", "/data/a", "same"),
        ("/data/a/", "/data//a/.", "same"),
        ("/data/b/../a", "/data/a", "same"),
        ("file:/data/a", "/data/a", "same"),
        ("file:///data/a", "file://localhost/data/a", "same"),
        ("FILE:///data/a", "/data/a", "same"),
        ("s3://bucket/x", "s3a://bucket/x/", "same"),
        ("s3n://Bucket/x", "s3a://bucket/x", "same"),
        ("abfs://c@acc.dfs.core.windows.net/x", "abfss://c@acc.dfs.core.windows.net/x", "same"),
        ("wasbs://c@acc.blob.core.windows.net/x", "abfss://c@acc.dfs.core.windows.net/x", "same"),
        ("hdfs://nn:8020/x", "hdfs://nn/x", "same"),
        ("hdfs:///x", "hdfs://nn/x", "same"),
        ("/x", "hdfs://nn/x", "same"),
        ("/dbfs/mnt/x", "dbfs:/mnt/x", "same"),
        ("main.x", "Main.X", "same"),
        ("`main`.`x`", "main.x", "same"),
        ("delta.`/data/a`", "/data/a", "same"),
        ("/data/a/b", "/data/a", "inside"),
        ("s3://bucket/x/y", "s3a://bucket/x", "inside"),
        ("main.x.charges", "main.x", "inside"),
        ("/data/led*/charges", "/data/ledger", "inside"),
        ("/data/{a,ledger}/charges", "/data/ledger", "inside"),
        ("/data", "/data/a", "contains"),
        ("/", "/data/a", "contains"),
        ("file:///", "/data/a", "contains"),
        ("s3a://bucket", "s3a://bucket/x", "contains"),
        ("/data/*", "/data/ledger/charges", "contains"),
        ("/data/ab", "/data/a", None),
        ("/data/extract [2024]", "/data/ledger", None),
        ("s3a://one/x", "s3a://two/x", None),
        ("s3a://bucket/x", "/x", None),
        ("hdfs://one/x", "hdfs://two/x", None),
        ("abfss://c@one.dfs.core.windows.net/x", "abfss://d@one.dfs.core.windows.net/x", None),
        ("./a", "/a", None),
        ("./a", "./a/b", "contains"),
        ("main.x", "main.xy", None),
        ("main.x", "x.main", None),
        ("main.x", "/main/x", None),
    ],
)
def test_relations_of_places(one: str, other: str, found: Relation | None) -> None:
    turned: dict[Any, Any] = {"inside": "contains", "contains": "inside"}
    assert relation(one, other, as_written) == found
    assert relation(other, one, as_written) == turned.get(found, found)
    assert meets(one, other, as_written) or found is None
    assert not meets(one, other, as_written) or found is not None or "/" not in one


def test_a_table_without_its_catalog_could_be_in_the_zone() -> None:
    assert meets("synthward.charges", "main.synthward", as_written)
    assert not meets("ehr.charges", "main.synthward", as_written)
    assert relation("synthward.main", "main.synthward", as_written) is None


def test_symbolic_links_are_followed(tmp_path: Path) -> None:
    (tmp_path / "real" / "ledger").mkdir(parents=True)
    (tmp_path / "alias").symlink_to(tmp_path / "real")
    assert relation(f"{tmp_path}/alias/ledger/charges", f"file:{tmp_path}/real/ledger") == "inside"
    assert relation(f"s3a://b{tmp_path}/alias", f"s3a://b{tmp_path}/real") is None
    assert place_of("s3a://b/x").scheme == "s3a"


SITE = "version: 1\nname: x\npolicy: p.yaml\nledger: {}\nprotected: {}\nreleases: {}\n"


@pytest.mark.parametrize(
    ("ledger", "protected", "releases"),
    [
        ("/data/a", "/data/b", "/"),
        ("file:///", "/data/b", "s3a://bucket/c"),
        ("s3://bucket/x", "s3a://bucket/x", "./c"),
        ("abfs://c@a.dfs.core.windows.net/x", "abfss://c@a.dfs.core.windows.net/x/y", "./c"),
        ("/data/a", "file://localhost/data/a", "./c"),
    ],
)
def test_zones_are_kept_apart_however_they_are_written(
    tmp_path: Path, ledger: str, protected: str, releases: str
) -> None:
    file = tmp_path / "site.yaml"
    file.write_text(SITE.format(ledger, protected, releases), encoding="utf-8")
    with pytest.raises(ConfigError, match="access is granted by zone"):
        load_site(file)


def test_zones_behind_a_symbolic_link_are_one_zone(tmp_path: Path) -> None:
    (tmp_path / "ledger").mkdir()
    (tmp_path / "seals").symlink_to(tmp_path / "ledger")
    file = tmp_path / "site.yaml"
    file.write_text(SITE.format("./ledger", "./seals", "./releases"), encoding="utf-8")
    with pytest.raises(ConfigError, match="is the same place as ledger"):
        load_site(file)


@pytest.mark.parametrize(
    ("path", "zone"),
    [
        ("zones/ledger/charges", "ledger"),
        ("zones/protected/approvals", "protected"),
        ("zones/protected/journal", "protected"),
        ("zones/releases/visits__r1", "releases"),
        ("alias/charges", "ledger"),
        ("zones/led*/charges", "ledger"),
        ("data/../zones/ledger", "ledger"),
    ],
)
@pytest.mark.parametrize("where", ["source", "path"])
def test_a_zone_of_the_site_is_never_a_source(tmp_path: Path, path: str, zone: str, where: str) -> None:
    site = TestSite(tmp_path)
    for name in ("ledger", "protected", "releases"):
        (tmp_path / "zones" / name).mkdir(parents=True)
    (tmp_path / "alias").symlink_to(tmp_path / "zones" / "ledger")
    source = {"format": "delta", "path": path}
    changes: dict[str, Any] = {"source": source}
    if where == "path":
        changes = {"patient": {"key": "pid", "path": [{"source": source, "on": {"stay": "stay"}}]}}
    [problem] = zone_problems(load_request(site.request(**changes)), load_site(site.file))
    assert problem.path == ("source.path" if where == "source" else "patient.path.0.source.path")
    assert f"in the {zone} zone" in problem.message


def test_a_folder_that_holds_all_zones_is_no_source(tmp_path: Path) -> None:
    site = TestSite(tmp_path)
    request = load_request(site.request(source={"format": "parquet", "path": "."}))
    assert len(zone_problems(request, load_site(site.file))) == 3


def test_a_source_beside_the_zones_is_one(tmp_path: Path) -> None:
    site = TestSite(tmp_path)
    assert zone_problems(load_request(site.request()), load_site(site.file)) == []
    table = site.request(source={"_whole": True, "format": "delta", "table": "main.ehr.visits"})
    assert zone_problems(load_request(table), load_site(site.file)) == []
