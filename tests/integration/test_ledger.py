"""The ledger on a real local Delta: several drivers, crashes, RESTORE."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from synthward.errors import BudgetExceeded
from synthward.ledger.charges import ChargeReceipt
from synthward.ledger.ledger import Ledger
from synthward.privacy.accounting import Charge
from synthward.store.delta import version_of
from synthward.store.places import Zone

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

WORKER = Path(__file__).with_name("ledger_worker.py")
LIMIT = 1800.0
"""Seconds; about ten times what an idle machine needs, for a busy one."""
TENTH = Charge.pure(Decimal("0.1"))


def opened(spark: SparkSession, zone: Zone, max_epsilon: str) -> Ledger:
    ledger = Ledger(spark, zone)
    state = ledger.open_scope(
        "a",
        max_epsilon=Decimal(max_epsilon),
        max_delta=Decimal(0),
        declared_patients=1000,
        unit="patient",
        by="lee",
        policy_digest="p",
        site_digest="s",
    )
    assert state.is_new
    return ledger


def charge(ledger: Ledger, run_id: str, cost: Charge = TENTH) -> ChargeReceipt:
    return ledger.charge(
        "a",
        run_id=run_id,
        attempt=0,
        request_digest="r",
        policy_digest="p",
        site_digest="s",
        journal_id="j",
        cost=cost,
        release_id=run_id,
        delta_report=Decimal("1e-6"),
        opened="0" * 64,
    )


def proof(receipt: ChargeReceipt) -> tuple[int, str, str]:
    return receipt.seq, receipt.head_hash, receipt.genesis_hash


@pytest.mark.connect
def test_open_charge_retry_refuse(spark: SparkSession, tmp_path: Path) -> None:
    zone = Zone(f"file:{tmp_path}/ledger")
    ledger = opened(spark, zone, "0.2")
    first = charge(ledger, "r1")
    again = charge(Ledger(spark, zone), "r1")
    assert (proof(again), first.is_new, again.is_new) == (proof(first), True, False)
    charge(ledger, "r2")
    with pytest.raises(BudgetExceeded, match="left: 0 "):
        charge(ledger, "r3")
    assert [line.epsilon for line in ledger.history("a")] == [Decimal("0.1"), Decimal("0.2")]
    assert [state.scope for state in Ledger(spark, zone).scopes()] == ["a"]


@pytest.mark.connect
@pytest.mark.slow_on_connect
def test_restored_ledger_is_found(spark: SparkSession, tmp_path: Path) -> None:
    zone = Zone(str(tmp_path / "ledger"))
    ledger = opened(spark, zone, "1")
    receipts = [proof(charge(ledger, "r1"))]
    before = version_of(spark, zone.table("charges"))
    receipts.append(proof(charge(ledger, "r2")))
    assert ledger.verify("a", receipts) == []
    spark.sql(f"RESTORE TABLE {zone.table('charges').sql} TO VERSION AS OF {before}").collect()
    assert ledger.verify("a") == []
    assert any("receipt 2" in problem and "restored" in problem for problem in ledger.verify("a", receipts))
    charge(ledger, "r3")
    assert any("receipt 2" in problem and "written again" in problem for problem in ledger.verify("a", receipts))


@pytest.mark.connect
@pytest.mark.slow_on_connect
def test_racing_appenders_for_one_run_pay_once(spark: SparkSession, tmp_path: Path) -> None:
    zone = Zone(str(tmp_path / "ledger"))
    opened(spark, zone, "1")
    got: list[ChargeReceipt] = []
    threads = [threading.Thread(target=lambda: got.append(charge(Ledger(spark, zone), "same"))) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(receipt.is_new for receipt in got) == [False, True]
    assert proof(got[0]) == proof(got[1])
    assert len(Ledger(spark, zone).state("a").charges) == 1


@pytest.mark.parametrize(
    ("lock", "processes", "each", "fitting"),
    [
        ("lock", 3, 5, 8),
        pytest.param("nolock", 3, 3, 5, marks=pytest.mark.slow),
        pytest.param("lock", 8, 20, 150, marks=pytest.mark.slow),
    ],
)
def test_processes_cannot_overspend(
    spark: SparkSession, tmp_path: Path, lock: str, processes: int, each: int, fitting: int
) -> None:
    zone = tmp_path / "ledger"
    cap = fitting * Decimal("0.1")
    ledger = opened(spark, Zone(str(zone)), str(cap))
    names = [f"p{number}" for number in range(processes)]
    workers = [
        subprocess.Popen(
            [sys.executable, str(WORKER), str(zone), name, str(each), lock], stdout=subprocess.PIPE, text=True
        )
        for name in names
    ]
    try:
        give_up = time.monotonic() + LIMIT
        while not all((zone / f"ready-{name}").exists() for name in names):
            assert all(worker.poll() is None for worker in workers)
            assert time.monotonic() < give_up
            time.sleep(0.1)
        (zone / "go").touch()
        printed = [worker.communicate(timeout=LIMIT)[0] for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
            worker.wait()
    outcomes: list[dict[str, Any]] = [json.loads(text.splitlines()[-1]) for text in printed]
    print("seconds in each process:", [round(outcome["seconds"], 1) for outcome in outcomes])
    receipts = [(seq, head, genesis) for outcome in outcomes for seq, head, genesis in outcome["made"]]
    state = ledger.state("a")
    assert state.epsilon_spent == cap
    assert [record.seq for record in state.charges] == list(range(1, fitting + 1))
    assert {seq for seq, _, _ in receipts} == set(range(1, fitting + 1))
    paid = [record.run_id for record in state.charges]
    assert len(set(paid)) == len(paid)
    assert sum(outcome["refused"] for outcome in outcomes) + len(receipts) == processes * each
    assert ledger.verify("a", receipts) == []
