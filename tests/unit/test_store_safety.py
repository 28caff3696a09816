"""Where a ledger may be: an allow-list of places and log stores; the platform is asked, and not the environment."""

from __future__ import annotations

from typing import Any

import pytest
from pyspark.errors import PySparkException

from synthward.errors import EnvironmentProblem
from synthward.store.link_table import DeltaLinks
from synthward.store.places import TableRef
from synthward.store.safety import LOG_STORES, configured_log_store, is_databricks, refuse_unsafe


@pytest.mark.parametrize(
    "location",
    ["/x/y", "file:/x", "hdfs://n/x", "abfss://c@a/x", "gs://b/x", "dbfs:/x", "main.ledger", "FILE:/x", "/odd:name/x"],
)
def test_safe_places(location: str) -> None:
    refuse_unsafe(location, single_writer=False)


@pytest.mark.parametrize("location", ["s3a://b/x", "s3://b/x", "S3A://b/x", "oss://b/x", "unknown://b/x"])
def test_unsafe_places_are_refused_unless_somebody_vouches(location: str) -> None:
    with pytest.raises(EnvironmentProblem, match="single_writer: true"):
        refuse_unsafe(location, single_writer=False)
    refuse_unsafe(location, single_writer=True)
    refuse_unsafe(location, single_writer=False, is_coordinated=lambda: True)


@pytest.mark.parametrize(
    ("location", "log_store", "safe"),
    [
        ("s3a://b/x", "io.delta.storage.S3DynamoDBLogStore", True),
        ("s3a://b/x", "io.delta.storage.S3SingleDriverLogStore", False),
        ("s3a://b/x", "com.example.MyLogStore", False),
        ("s3a://b/x", "io.delta.storage.HDFSLogStore", False),
        ("oss://b/x", "io.delta.storage.S3DynamoDBLogStore", False),
        # What is safe by itself is not with a log store that is not.
        ("hdfs://n/x", "io.delta.storage.S3SingleDriverLogStore", False),
        ("hdfs://n/x", "org.apache.spark.sql.delta.storage.HDFSLogStore", True),
        ("abfss://c@a/x", "io.delta.storage.AzureLogStore", True),
        ("gs://b/x", "com.example.MyLogStore", False),
        ("/x", "com.example.MyLogStore", False),
        ("/x", "io.delta.storage.LocalLogStore", True),
    ],
)
def test_log_stores_are_known_by_name_and_scheme(location: str, log_store: str, safe: bool) -> None:
    if safe:
        refuse_unsafe(location, single_writer=False, log_store=log_store)
        return
    with pytest.raises(EnvironmentProblem, match="safe log store for several drivers"):
        refuse_unsafe(location, single_writer=False, log_store=log_store)


def test_the_message_names_what_would_be_safe() -> None:
    with pytest.raises(EnvironmentProblem, match=r"s3a.impl to .*io\.delta\.storage\.S3DynamoDBLogStore\)"):
        refuse_unsafe("s3a://b/x", single_writer=False)
    assert all(stores for stores in LOG_STORES.values())


class Session:
    """A session with settings, and with built-in functions of its platform."""

    def __init__(self, settings: dict[str, str] | None = None, functions: tuple[str, ...] = ()) -> None:
        self.settings = settings or {}
        self.functions = functions
        self.asked: list[str] = []
        self.conf = self

    def get(self, name: str, default: Any = None) -> Any:
        return self.settings.get(name, default)

    def sql(self, text: str) -> Session:
        self.asked.append(text)
        if self.functions == ("refused",):
            raise PySparkException("no")
        return self

    def collect(self) -> list[str]:
        return [name for name in self.functions if f"'{name}'" in self.asked[-1]]


def links(session: Session, location: str) -> None:
    DeltaLinks(session, TableRef(path=location))  # type: ignore[arg-type]


def test_neither_variables_nor_settings_make_a_platform(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABRICKS_RUNTIME_VERSION", "17.3")
    pretended = Session({"spark.databricks.workspaceUrl": "https://example.org"})
    with pytest.raises(EnvironmentProblem, match="s3a"):
        links(pretended, "s3a://bucket/ledger/charges")
    assert not is_databricks(Session(functions=("refused",)))  # type: ignore[arg-type]


def test_the_platform_is_asked_for_its_built_in_functions_and_only_where_it_matters() -> None:
    platform = Session(functions=("current_version",))
    links(platform, "s3a://bucket/ledger/charges")
    assert platform.asked == ["SHOW SYSTEM FUNCTIONS LIKE 'current_version'"]
    elsewhere = Session()
    links(elsewhere, "hdfs://name/ledger/charges")
    assert elsewhere.asked == []


def test_the_log_store_of_a_scheme_is_what_the_session_says() -> None:
    mine = Session({"spark.delta.logStore.s3a.impl": "a.B", "spark.delta.logStore.file.impl": "c.D"})
    found = [configured_log_store(mine, place) for place in ("s3a://b/x", "/x", "gs://b/x")]  # type: ignore[arg-type]
    assert found == ["a.B", "c.D", ""]
    every = Session({"spark.delta.logStore.class": "e.F"})
    assert configured_log_store(every, "gs://b/x") == "e.F"  # type: ignore[arg-type]
