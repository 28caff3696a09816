"""`synthward sample`: rows from a model file, on this machine, without Spark and without the site."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from synthward.cli.options import json_object

WHERE = """--where must be a JSON object from column to value or shares, such as '{"sex": "F"}'"""


def register(commands: Any, common: argparse.ArgumentParser) -> None:
    """Add the command."""
    sample = commands.add_parser("sample", parents=[common], help="draw rows from a model file; starts no Spark")
    sample.add_argument("model", type=Path, help="model.json of a release: `synthward report --artifact model.json`")
    sample.add_argument("--rows", type=int, required=True, help="number of rows")
    sample.add_argument("--out", type=Path, required=True, help="file to write, .parquet or .csv")
    sample.add_argument("--seed", type=int, default=1, help="public seed; equal seeds give equal rows (default: 1)")
    sample.add_argument(
        "--where",
        default=None,
        metavar="JSON",
        help='wanted values or shares, for instance \'{"sex": "F", "age": {"40": 0.5, "60": 0.5}}\'; null is missing',
    )
    sample.set_defaults(command=sample_rows)


def sample_rows(options: argparse.Namespace) -> int:
    """Write rows and print one JSON line."""
    from synthward.cli.sessions import known_zones
    from synthward.sample.local import write_rows
    from synthward.sample.model_file import ModelFile
    from synthward.store.outputs import require_outside

    where = {} if options.where is None else json_object(options.where, WHERE)
    require_outside(str(options.out.absolute()), known_zones(options), "--out")
    file = ModelFile.load(options.model)
    write_rows(file, options.out, options.rows, options.seed, where)
    line = {"file": str(options.out), "rows": options.rows, "synthetic": True, "model": file.model.digest}
    print(json.dumps(line, sort_keys=True))
    return 0
