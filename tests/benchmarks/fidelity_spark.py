"""The fidelity benchmark through the product: request, charge, pass, seals, fit, sampling, published Delta table."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from unittest import mock

import pandas as pd
import yaml
from fidelity_protocol import DATASET, ROOT, Configuration, Metered, Protocol
from pyspark.sql import SparkSession

from synthward.domain.spec import Categorical
from synthward.fit.catalog import SYNTHESIZERS, synthesizer

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from trial import EXPIRES, TestSite, approve, merged, open_budget, write_yaml

POLICY = {
    "allow_other_unit": True,
    "tiers": {"T1": {"max_epsilon_per_release": 100, "max_epsilon_per_scope": 10_000}},
}
"""Public data: any epsilon may be tried, as often as wanted."""


class SparkBench:
    """One site with one request; every run has a key, a charge and a release of its own."""

    def __init__(self, spark: SparkSession, folder: Path, chosen: Configuration, protocol: Protocol, runs: int) -> None:
        """Writes the site, its request and the training rows, opens the budget and collects the approvals."""
        self._chosen, self._protocol = chosen, protocol
        site = TestSite(folder, policy=POLICY)
        protocol.raw.to_csv(folder / "train.csv", index=False)
        shutil.copytree(ROOT / "conf" / "domains", folder, dirs_exist_ok=True)  # a domain lies beside its request
        own, scope = f"{protocol.dataset}_fidelity.yaml", f"{protocol.dataset}_fidelity"
        if protocol.dataset != DATASET:
            write_yaml(folder / own, _domain_file(protocol))
        shipped = yaml.safe_load((ROOT / "conf" / "requests" / "diabetes130_fidelity.yaml").read_text("utf-8"))
        declared = protocol.declared[chosen.unit]
        population = {"scope": scope, "declared_patients": declared, "declared_rows": protocol.declared["row"]}
        changes = {
            "requester": {"role": "data_engineer"},
            "audience": "enclave",
            "expires": EXPIRES,
            "source": {"path": "train.csv", "csv": {"records": "one_per_line"}},
            "patient": {"_whole": True, **self._patient()},
            "population": population,
            "domain": own,
            "columns": list(protocol.train.columns),
            "utility": {"_whole": True},
            "privacy": {
                "_whole": True,
                "mechanism": chosen.mechanism,
                "epsilon": float(chosen.epsilon),
                "delta": float(chosen.delta),
            },
            "synthesizer": {"_whole": True, "name": chosen.synthesizer, "max_cells": chosen.settings.max_cells}
            | ({"target": chosen.target} if chosen.target else {}),
            "output": {"rows": len(protocol.train)},
        }
        path = write_yaml(folder / "request.yaml", merged(shipped, changes))
        self._ward = site.open(spark)
        self._request = self._ward.request(path)
        open_budget(self._ward, epsilon="10000", scope=scope, unit=chosen.unit, declared_patients=declared)
        approve(self._ward, self._request, runs)

    def _patient(self) -> dict[str, object]:
        if self._chosen.unit == "row":
            return {"unit": "row", "max_rows_per_patient": 1}
        return {"key": self._protocol.key, "max_rows_per_patient": self._chosen.max_rows}

    def run(self, number: int, *, ml: bool) -> dict[str, float]:
        """One release and its figures."""
        metered = Metered(synthesizer(self._chosen.synthesizer))
        with mock.patch.dict(SYNTHESIZERS, {self._chosen.synthesizer: lambda: metered}):
            release = self._ward.run(self._request, run_key=f"run-{number}")
        # The rows of the published table, as a reader finds them.
        rows = self._ward.rows(release.release_id).select(*self._protocol.train.columns).toPandas()
        codes = self._protocol.prep.encode(pd.DataFrame(rows).astype(str), self._protocol.dataset)
        return self._protocol.score(codes, ml=ml) | metered.figures()


def _domain_file(protocol: Protocol) -> dict[str, object]:
    """The domain as a request names it."""
    attributes: dict[str, object] = {}
    for name, attribute in protocol.domain.attributes.items():
        assert isinstance(attribute, Categorical)
        label = {} if attribute.other is None else {"other": attribute.other}
        attributes[name] = {"type": "categorical", "required": True, "values": list(attribute.values), **label}
    return {"version": 1, "title": protocol.dataset, "attributes": attributes}
