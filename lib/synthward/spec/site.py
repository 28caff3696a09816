"""The site file: where policy, ledger and zones are. It belongs to the platform team, never to a requester."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from synthward.config.canonical import digest
from synthward.config.fields import Findings, key
from synthward.config.loader import load_document
from synthward.config.locations import has_scheme, overlapping, resolve, resolve_tracking, resolve_zone, zone_fault
from synthward.config.text import LINE
from synthward.errors import ConfigError

ZONES = ("ledger", "protected", "releases")


@dataclass(frozen=True)
class Tracking:
    """Where runs are logged in MLflow."""

    uri: str = key(
        "sqlite:///mlflow.db",
        doc="MLflow tracking URI, for instance databricks, https://..., sqlite:///mlflow.db, ./mlruns; a relative one "
        "counts from this file.",
    )
    experiment: str = key("synthward", doc="Experiment for publishable numbers.")
    models: str | None = key(
        None,
        doc="What the names of registered models begin with, before the release's table: synthward- for instance, on "
        "Databricks catalog.schema. with the last dot. Without it models are logged and not registered.",
    )
    enabled: bool = key(True, doc="Whether to log at all.")


@dataclass(frozen=True)
class SiteDocument:
    """A site file as written."""

    version: Literal[1] = key(doc="Format version of this file.")
    name: str = key(doc="Name of the site, shown in reports.", pattern=r"[\s\S]*\S[\s\S]*", max_length=LINE)
    policy: str = key(doc="The policy file, relative to this file.")
    ledger: str = key(doc="Zone of the privacy ledger: a folder, a URI or catalog.schema.")
    protected: str = key(doc="Zone of seals, approvals, restricted records and staging: a folder, URI or schema.")
    releases: str = key(doc="Zone of published releases: a folder, a URI or catalog.schema.")
    roster: str | None = key(
        None,
        doc="The roster of people and their keys, relative to this file; its signature lies beside it.",
        example="roster.yaml",
        later=True,
    )
    roster_key: str | None = key(
        None,
        pattern=r"[0-9a-f]{64}",
        doc="The site's public key, which must have signed the roster; as `synthward keygen` prints it.",
        example="3d40...17aa",
        later=True,
    )
    tracking: Tracking = key(
        Tracking(), doc="MLflow; without it a database beside this file. {enabled: false} logs nothing."
    )
    publish: Literal["clone", "copy"] = key(
        "clone", doc="clone: the published table shares files with staging; copy: it stands alone."
    )
    catalog: Literal["auto", "paths", "hive", "unity"] = key(
        "auto",
        doc="Catalog of the release zone. paths: the storage grants access; hive: a catalog of Spark, with comments "
        "and views; unity: Unity Catalog, with grants and tags; auto: by the zone and the session.",
        later=True,
    )
    single_writer: bool = key(
        False,
        doc="Only one job at a time ever writes ledger and journals; allows s3a:// without a multi-cluster LogStore.",
    )
    target_file_rows: int = key(
        2**21, minimum=2**10, maximum=2**31, doc="Rows of one file of a release; decides the number of write tasks."
    )

    def problems(self) -> Findings:
        """Cross-field checks for the loader."""
        if has_scheme(self.policy):
            yield "policy", f"found {self.policy!r}, expected a file that the driver can open, not a URI"
        if self.roster is not None and has_scheme(self.roster):
            yield "roster", f"found {self.roster!r}, expected a file that the driver can open, not a URI"
        if (self.roster is None) != (self.roster_key is None):
            missing = "roster" if self.roster is None else "roster_key"
            yield missing, "a roster counts by the signature of the site's key: give `roster` and `roster_key`, or none"
        zones = {name: getattr(self, name) for name in ZONES}
        faults = {name: fault for name in ZONES if (fault := zone_fault(zones[name])) is not None}
        yield from faults.items()
        yield from overlapping({name: zones[name] for name in ZONES if name not in faults})


@dataclass(frozen=True)
class Site(SiteDocument):
    """A site file with its locations resolved against its folder.

    Attributes:
        digest: SHA-256 of the content as written, so that it does not depend on where the file lies.
    """

    digest: str = field(kw_only=True)


def load_site(path: Path) -> Site:
    """Read a site file.

    Raises:
        ConfigError: With every problem found.
    """
    document = load_document(path, SiteDocument)
    written, base = document.value, path.parent
    zones = {name: resolve_zone(base, getattr(written, name)) for name in ZONES}
    conflicts = [document.problem(name, message) for name, message in overlapping(zones)]
    if conflicts:
        raise ConfigError(conflicts)
    tracking = dataclasses.replace(written.tracking, uri=resolve_tracking(base, written.tracking.uri))
    values = {item.name: getattr(written, item.name) for item in dataclasses.fields(SiteDocument)}
    values["roster"] = None if written.roster is None else resolve(base, written.roster)
    values |= {**zones, "policy": resolve(base, written.policy), "tracking": tracking}
    return Site(**values, digest=digest(written))
