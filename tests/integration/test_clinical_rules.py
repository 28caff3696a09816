"""Clinical rules on staged rows: Spark counts what a plain reading of each rule counts, for every type of a release."""

from __future__ import annotations

import datetime as dt
from typing import Any

import pytest
import yaml
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from synthward.config.loader import bind
from synthward.domain.codes import codebooks
from synthward.domain.spec import Domain
from synthward.errors import GateFailed
from synthward.evaluate.rules import broken, counted
from synthward.spec.request import Utility
from trial import TestSite, approve, open_budget

DOMAIN = """
version: 1
attributes:
  sex: {type: categorical, values: [F, M], case: fold}
  pregnant: {type: boolean, "true": ["J"], "false": ["N"]}
  code: {type: categorical, values: ["1", "2", "3"], other: rest}
  age: {type: numeric, integer: true, bounds: [0, 110]}
  weight: {type: numeric, bounds: [0, 300], resolution: 0.1, decimal: ","}
  admitted: {type: date, bounds: [2020-01-01, 2020-12-31]}
  seen: {type: date, bounds: [2020-01-01, 2020-12-31]}
"""
DAY = dt.date(2020, 2, 1)
ROWS = [
    ("M", "J", "1", 30, "70,5", DAY, DAY),
    ("F", "J", "2", 30, "70,5", DAY, dt.date(2020, 1, 1)),
    ("M", "N", "rest", 3, "200", DAY, None),
    (None, "J", None, 3, None, None, DAY),
    ("F", None, "3", None, "0,3", dt.date(2020, 3, 1), DAY),
]
TEXTS = "sex STRING, pregnant STRING, code STRING, age INT, weight STRING, admitted DATE, seen DATE"
CASES: list[tuple[dict[str, Any], list[int]]] = [
    ({"when": {"sex": ["m"]}, "never": {"pregnant": ["j"]}}, [0]),
    ({"never": {"pregnant": ["J"], "code": ["1", "2"]}}, [0, 1]),
    ({"when": {"pregnant": ["J"]}, "always": {"code": ["2"]}}, [0]),
    ({"always": {"code": ["1", "2", "3"]}}, [2]),
    ({"when_between": {"age": [0, 11]}, "always_between": {"weight": [0.3, 90]}}, [2]),
    ({"never_between": {"weight": [0.3, 0.3]}}, [4]),
    ({"when_between": {"age": [0, 110]}, "never": {"sex": ["F", "M"]}}, [0, 1, 2]),
    ({"not_before": {"seen": "admitted"}}, [1, 4]),
    ({"when": {"code": ["2"]}, "not_before": {"seen": "admitted"}}, [1]),
]


@pytest.fixture(params=["texts", "typed"])
def staged(request: pytest.FixtureRequest, spark: SparkSession) -> Any:
    frame = spark.createDataFrame([(*row, number) for number, row in enumerate(ROWS)], f"{TEXTS}, row INT")
    if request.param == "texts":
        return frame.withColumn("admitted", F.col("admitted").cast("string"))
    return frame.withColumns(
        {
            "pregnant": F.col("pregnant") == "J",
            "weight": F.replace("weight", F.lit(","), F.lit(".")).cast("double"),
            "age": F.col("age").cast("decimal(10,2)"),
        }
    )


@pytest.mark.parametrize(("given", "wrong"), CASES)
def test_spark_finds_the_rows_that_break_a_rule(staged: Any, given: dict[str, Any], wrong: list[int]) -> None:
    books = codebooks(bind(DOMAIN, Domain, None))
    body = yaml.safe_dump({"max_out_of_domain_share": 1, "rules": [{"name": "rule", **given}]})
    [rule] = bind(body, Utility, None).rules or ()
    types = {field.name: field.dataType for field in staged.schema.fields}
    found = staged.where(broken(rule, books, types)).select("row").collect()
    assert sorted(row[0] for row in found) == wrong
    assert staged.agg(*counted([rule], books, types)).collect()[0][0] == len(wrong)


def test_a_release_that_breaks_a_rule_is_quarantined_and_one_that_keeps_it_is_published(
    spark: SparkSession, tmp_path: Any
) -> None:
    site = TestSite(tmp_path)
    site.write(spark)
    utility: dict[str, Any] = {"max_out_of_domain_share": 1, "max_clipped_share": 1, "replicates": 0}
    none = {"name": "no men", "never": {"sex": ["M"]}}
    half = {"name": "few men", "never": {"sex": ["M"]}, "at_most": 1}
    ward = site.open(spark)
    open_budget(ward)
    breaks = ward.request(site.request("broken", utility={**utility, "rules": [none, half]}))
    approve(ward, breaks)
    with pytest.raises(GateFailed, match="gate 'clinical rules' failed: broken rules: 'no men'"):
        ward.run(breaks)
    assert ward.judged is not None
    assert [gate.gate for gate in ward.judged.record.failed_gates] == ["clinical rules"]
    output = {"name": "kept", "rows": 200}
    keeps = ward.request(site.request("kept", output=output, utility={**utility, "rules": [half]}))
    approve(ward, keeps)
    assert ward.run(keeps).manifest.record.passed
