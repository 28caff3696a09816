"""One driver of the multi-process ledger test: charges a scope several times and prints what came of it.

Usage: ledger_worker.py ZONE NAME COUNT LOCK, with LOCK `lock` or `nolock`. Starts when the file ZONE/go is there.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
from decimal import Decimal
from pathlib import Path

from synthward.errors import BudgetExceeded
from synthward.ledger import ledger as ledgers
from synthward.privacy.accounting import Charge
from synthward.spark.session import build_session, stop_session
from synthward.store.places import Zone


def main(zone: str, name: str, count: int, lock: str) -> None:
    if lock == "nolock":
        ledgers.lock_for = lambda _: contextlib.nullcontext  # type: ignore[assignment]
    spark = build_session(
        f"ledger-{name}",
        master="local[1]",
        conf={
            "spark.driver.memory": "512m",
            "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
            "spark.databricks.delta.snapshotPartitions": "1",
            "spark.sql.shuffle.partitions": "1",
        },
    )
    ledger = ledgers.Ledger(spark, Zone(zone))
    Path(zone, f"ready-{name}").touch()
    while not Path(zone, "go").exists():
        time.sleep(0.05)
    made: list[tuple[int, str, str]] = []
    refused = 0
    began = time.monotonic()
    # The last charge is for one and the same run in every process: it must be paid once.
    for run_id in [*(f"{name}-{number}" for number in range(count - 1)), "shared"]:
        try:
            receipt = ledger.charge(
                "a",
                run_id=run_id,
                attempt=0,
                request_digest="r",
                policy_digest="p",
                site_digest="s",
                journal_id="j",
                cost=Charge.pure(Decimal("0.1")),
                release_id=run_id,
                delta_report=Decimal("1e-6"),
                opened="0" * 64,
            )
        except BudgetExceeded:
            refused += 1
        else:
            made.append((receipt.seq, receipt.head_hash, receipt.genesis_hash))
    print(json.dumps({"made": made, "refused": refused, "seconds": time.monotonic() - began}))
    stop_session(spark)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4])
