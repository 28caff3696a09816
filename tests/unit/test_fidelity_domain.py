"""The benchmark's domain has the codes of the fidelity protocol."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

from synthward.domain.codes import codebooks
from synthward.domain.spec import load_domain

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.realdata
def test_codes_are_those_of_the_protocol(data_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    protocol = data_dir.parent / "fidelity"
    if not protocol.is_dir():
        pytest.skip(f"no fidelity protocol at {protocol}")
    monkeypatch.setattr(sys, "path", [str(protocol), *sys.path])
    prep = importlib.import_module("prep")
    books = codebooks(load_domain(ROOT / "conf" / "domains" / "diabetes130_fidelity.yaml"))
    assert {name: book.attribute.size for name, book in books.items()} == prep.domain("diabetes130")
    raw = prep.load_raw(data_dir / "diabetes130" / "diabetic_data.csv.gz").iloc[::100]
    wanted = prep.encode(raw, "diabetes130")
    for name, book in books.items():
        codes = book.encode(raw[name].tolist())
        if book.clips:  # the protocol counts what it clips in the last bin, as a release does
            codes[codes == book.above] = book.attribute.size - 1
        assert codes.tolist() == wanted[name].tolist(), name
