"""Values beyond the bounds, from the noisy marginal to the released row: cells of their own that a gate counts."""

from __future__ import annotations

import json
from dataclasses import replace
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from joint_fits import DOMAIN as FITTED
from joint_fits import ROWS, data, run, task
from small_model import model_file
from synthward.config.canonical import digest
from synthward.config.loader import bind
from synthward.domain.codes import CodeBook, codebooks
from synthward.domain.spec import Domain, Numeric
from synthward.errors import IntegrityError
from synthward.evaluate.gates import clipped as gate
from synthward.evaluate.gates.gate import Thresholds
from synthward.evaluate.inspect import _as_source_cells
from synthward.evaluate.metrics import column_quality
from synthward.evaluate.relations import clique_quality
from synthward.evaluate.tables import NoisyTable, compared, compared_labels, noise_cells
from synthward.fit.groups import grouping
from synthward.fit.model import Model
from synthward.fit.within_bin import Histogram, refined
from synthward.fit.zeros import read_zeros
from synthward.sample import _worker
from synthward.sample.blocks import sample_plan
from synthward.sample.model_file import ModelFile
from synthward.spec.request import Utility

CELSIUS = CodeBook("temp", Numeric(bounds=(Decimal(34), Decimal(43)), resolution=Decimal("0.1"), bins=9))
NAMES = ("x", "y", "z", "age")


def table(book: CodeBook, counts: dict[int, float], deviation: float = 1.0) -> NoisyTable:
    """A noisy one-way table, zero where nothing is said."""
    cells = np.zeros(book.cells)
    for code, count in counts.items():
        cells[code] = count
    return NoisyTable((book.name,), cells, deviation, 0.8 * deviation, 1)


def released(book: CodeBook, counts: dict[int, int]) -> np.ndarray:
    """Counts of a release in the source's cells: without `below` and `above`, then as inspection lays them out."""
    cells = np.zeros(book.attribute.size + 2, dtype=np.int64)
    for code, count in counts.items():
        cells[code] = count
    return _as_source_cells(cells, (book.name,), {book.name: book})


def fitted(name: str, below: float, above: float) -> Model:
    """A model of rows of which some are beyond the bounds of `age`."""
    rows = data()
    draw = np.random.default_rng(4).random(ROWS)
    book = codebooks(FITTED)["age"]
    age = np.where(draw < below, book.below, np.where(draw > 1 - above, book.above, rows["age"]))
    return run(task(name, epsilon="8"), rows=pd.DataFrame({**rows, "age": age}))[0]


@pytest.mark.parametrize("name", ["fixed", "aim", "few_round"])
def test_what_is_clipped_is_released_as_the_bound(name: str) -> None:
    """30 % above the bounds are 30 % of rows at the upper bound, and not a tenth of them on each value of the bin."""
    model = fitted(name, below=0.1, above=0.3)
    assert model.column("age").clipped
    plan = sample_plan(model, codebooks(FITTED), ROWS, 7)
    places = np.concatenate([batch[NAMES.index("age")] for batch in _worker.Sampler(plan).batches(0)])
    shares = np.bincount(places[places >= 0], minlength=100) / ROWS
    inside = shares[90:99].max()
    assert shares[99] == pytest.approx(0.3 + inside, abs=0.03)
    assert shares[0] == pytest.approx(0.1, abs=0.03)


def test_a_model_of_clipped_values_is_format_4_and_one_without_is_what_it_was() -> None:
    """Digests of earlier models hold: their text is written as it was."""
    earlier = model_file()
    assert earlier.model.body["format"] == 2
    assert Model.parse(earlier.model.text, earlier.model.digest).digest == earlier.model.digest
    model = fitted("fixed", below=0.1, above=0.1)
    assert model.body["format"] == 4
    again = Model.parse(model.text, model.digest)
    assert again.digest == model.digest
    assert again.column("age").clipped
    with pytest.raises(IntegrityError, match=r"format 5 is unknown; this version reads formats 2 and 3 and 4"):
        Model.from_body({**model.body, "format": 5})


def test_a_model_file_of_an_earlier_version_is_read() -> None:
    """Its domain has no keys that came later, and its digest is that of the text that is there."""
    file = model_file()
    body = json.loads(file.text)
    for attribute in body["domain"]["attributes"].values():
        for later in ("decimal", "trim", "case", "normalise"):
            attribute.pop(later, None)
    model = replace(file.model, domain_digest=digest(body["domain"]))
    body |= {"digest": model.digest, "model": model.body}
    assert ModelFile.parse(json.dumps(body)).model.digest == model.digest
    body["domain"]["attributes"]["sex"]["other"] = "V"
    with pytest.raises(IntegrityError, match="not that of the model"):
        ModelFile.parse(json.dumps(body))


@pytest.mark.parametrize(
    ("clipped", "with_first"),
    [(5.0, True), (500.0, False)],
)
def test_few_clipped_values_go_with_the_bin_next_to_them(clipped: float, with_first: bool) -> None:
    counts = np.full(CELSIUS.cells, 300.0)
    counts[[CELSIUS.below, CELSIUS.above]] = clipped
    found = grouping(CELSIUS, counts, 10.0, counts.sum(), ())
    last = CELSIUS.attribute.size - 1
    assert (found.groups[CELSIUS.below] == found.groups[0]) == with_first
    assert (found.groups[CELSIUS.above] == found.groups[last]) == with_first
    assert found.groups[CELSIUS.below] not in found.groups[[CELSIUS.other, CELSIUS.missing, CELSIUS.above]]


def test_a_zero_on_the_first_or_last_bin_holds_for_what_is_released_as_its_bound() -> None:
    books = {"temp": CELSIUS}
    last = CELSIUS.attribute.size - 1
    zeros, problems = read_zeros([{"temp": ("34",)}, {"temp": ("43", "40")}], books)
    assert problems == []
    assert zeros[0].codes == ((0, CELSIUS.below),)
    assert zeros[1].codes[0][-2:] == (last, CELSIUS.above)
    assert read_zeros([{"temp": ("98.6",)}], books)[1] == [
        "zeros[0] names '98.6', which is not a declared value of 'temp'"
    ]


def test_histograms_of_learned_bins_keep_the_clipped_cells() -> None:
    model = fitted("fixed", below=0.2, above=0.1)
    starts = np.arange(100)
    finer = refined(model, [Histogram("age", starts, np.arange(100.0) * 40, 1.0)]).column("age")
    age = model.column("age")
    assert finer.clipped
    np.testing.assert_allclose(finer.probabilities[..., -4:], age.probabilities[..., -4:])


def test_a_release_that_follows_the_source_has_no_distance() -> None:
    """Released rows at a bound are compared with its bin and what was clipped to it, together."""
    size = CELSIUS.attribute.size
    sealed = table(
        CELSIUS, {0: 10, 3: 40, size - 1: 20, CELSIUS.below: 5, CELSIUS.above: 15, CELSIUS.other: 3, CELSIUS.missing: 7}
    )
    drawn = released(CELSIUS, {0: 15, 3: 40, size - 1: 35, size + 1: 10})
    quality = column_quality(CELSIUS, sealed, drawn)
    assert quality.distance == pytest.approx(0)
    assert quality.labels == (*CELSIUS.labels()[:size], "(missing)")
    assert (quality.below, quality.above, quality.out_of_domain) == pytest.approx((0.05, 0.15, 0.03))
    relation = clique_quality(sealed, drawn, {"temp": CELSIUS}, 100.0)
    assert (relation.distance, relation.cells) == (pytest.approx(0), size + 1)


def test_the_noise_of_merged_cells_is_that_of_their_sum() -> None:
    """Compared with drawn noise: cells of two have sqrt(2) times the noise."""
    noise = np.random.default_rng(1).normal(0, 1, (20_000, CELSIUS.cells))
    found = np.abs(np.apply_along_axis(compared, 1, noise, 0, CELSIUS)).sum(axis=1).mean()
    assert noise_cells(CELSIUS) * np.sqrt(2 / np.pi) == pytest.approx(found, rel=0.01)
    single = CodeBook("x", replace(CELSIUS.attribute, bins=1))  # type: ignore[type-var]
    assert noise_cells(single) == pytest.approx(3**0.5 + 2**0.5)
    assert len(compared_labels(single)) == 2


def judged(limit: str, counts: dict[int, float], deviation: float = 1.0) -> tuple[bool, str]:
    """The gate of clipped values on one column."""
    drawn = released(CELSIUS, {0: 1})
    quality = {"temp": column_quality(CELSIUS, table(CELSIUS, counts, deviation), drawn)}
    thresholds = Thresholds(1, 0, Decimal(1), Decimal(limit), None, None)
    return gate.judge(quality, thresholds)


def test_fahrenheit_in_a_celsius_column_fails_the_gate() -> None:
    codes = CELSIUS.encode(np.random.default_rng(2).normal(98.2, 0.8, 1000).round(1).tolist())
    counts = dict(enumerate(np.bincount(codes, minlength=CELSIUS.cells).astype(float)))
    passed, detail = judged("0.1", counts)
    assert not passed
    assert "temp (above)" in detail
    assert "unit" in detail
    codes = CELSIUS.encode(np.random.default_rng(2).normal(36.8, 0.5, 1000).round(1).tolist())
    assert judged("0.1", dict(enumerate(np.bincount(codes, minlength=CELSIUS.cells).astype(float))))[0]


def test_a_long_tail_is_within_its_limit_and_noise_alone_fails_nothing() -> None:
    tail = {3: 900.0, CELSIUS.above: 100.0}
    assert judged("0.12", tail)[0]
    assert not judged("0.05", tail)[0]
    assert judged("0.05", tail, deviation=30.0)[0]
    assert judged("0.0", {3: 900.0, CELSIUS.below: -3.0, CELSIUS.above: 3.0})[0]


def test_the_limit_has_a_default() -> None:
    utility = bind("max_out_of_domain_share: 0.2\n", Utility)
    assert utility.max_clipped_share == Decimal("0.1")


def test_domains_say_what_clips() -> None:
    text = "version: 1\nattributes:\n  t: {type: numeric, bounds: [0, 9], integer: true, outside: missing}\n"
    assert not codebooks(bind(text, Domain))["t"].clips
