"""`synthward count`: how many rows of the source meet a condition, with an interval; without Spark."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from synthward.cli.options import json_object


def register(commands: Any, common: argparse.ArgumentParser) -> None:
    """Adds the command."""
    count = commands.add_parser(
        "count",
        parents=[common],
        help="a count with a 95 %% interval from a model file; starts no Spark, costs nothing",
    )
    count.add_argument("model", type=Path, help="model.json of a release: `synthward report --artifact model.json`")
    count.add_argument(
        "--where",
        required=True,
        metavar="JSON",
        help='conditions that all hold: \'{"sex": "F", "age": {"from": 40, "to": 60}, "ward": ["A", "B"]}\'',
    )
    count.set_defaults(command=count_rows)


def count_rows(options: argparse.Namespace) -> int:
    """Prints one JSON line."""
    from synthward.sample.counts import Counts
    from synthward.sample.model_file import ModelFile

    where = json_object(options.where, """--where is a JSON object, column to condition, such as '{"sex": "F"}'""")
    file = ModelFile.load(options.model)
    line = {**Counts.of(file).count(where).to_json(), "model": file.model.digest}
    print(json.dumps(line, sort_keys=True))
    return 0
