"""A date that is declared to be after another one: the loader's checks, what is counted, and dates that are derived."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from itertools import product
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from ordered import BOOKS, CELLS, DAYS, DOMAIN, TEXTS, rows, understood
from synthward.config.canonical import canonical_json
from synthward.domain.codes import ABOVE, BELOW, MISSING, OTHER
from synthward.domain.differences import days_of, with_bases
from synthward.domain.spec import Date, Difference, Domain, load_domain
from synthward.domain.wanted import wanted_shares
from synthward.errors import ConfigError, UsageError
from synthward.evaluate.gates import order
from synthward.fit.model import ColumnModel, Model
from synthward.fit.zeros import read_zeros
from synthward.privacy.queries import Sum
from synthward.privacy.sensitivity import bound
from synthward.privacy.unit import PrivacyUnit
from synthward.prove.cells import every_code
from synthward.sample.local import sample_table
from synthward.sample.model_file import ModelFile
from synthward.sample.pyfunc import SyntheticRows
from synthward.spec.request_file import load_request
from trial import TestSite

DATE = "type: date, bounds: [2019-01-01, 2021-12-31]"


@pytest.mark.parametrize(
    ("later", "key", "said"),
    [
        ("after: admitted", "after", "`within: [0, 365]`"),
        ("within: [0, 9]", "within", "name that one with `after`"),
        ("after: entered, within: [0, 9]", "after", "'entered' is not declared"),
        ("after: ward, within: [0, 9]", "after", "'ward' is categorical"),
        ("after: month, within: [0, 9]", "after", "'month' has granularity month"),
        ("after: discharged, within: [0, 9]", "after", "lies itself after this date"),
        ("after: last, within: [0, 9]", "after", "lies itself after this date"),
        ("after: admitted, within: [9, 9]", "within", "ascending order"),
        ("after: admitted, within: [-1, 9]", "within", "found [-1, 9]"),
        ("after: admitted, within: [0, 9000000]", "within", "from 0 to 3652058"),
        ("after: admitted, within: [5, 9]", "bounds", "lie within [2019-01-06, 2022-01-05]"),
        ("after: admitted, within: [0, 9], granularity: month", "granularity", "counted in days, found month"),
        ("after: admitted, within: [0, 9], required: true", "required", "set `required` there too"),
    ],
)
def test_an_order_that_cannot_be_kept_is_refused(tmp_path: Path, later: str, key: str, said: str) -> None:
    file = tmp_path / "domain.yaml"
    lines = [
        "version: 1",
        "attributes:",
        f"  admitted: {{{DATE}}}",
        f"  discharged: {{{DATE}, {later}}}",
        f"  last: {{{DATE}, after: discharged, within: [0, 9]}}",
        f"  month: {{{DATE}, granularity: month}}",
        "  ward: {type: categorical, values: [A]}",
    ]
    file.write_text("\n".join(lines))
    with pytest.raises(ConfigError) as refused:
        load_domain(file)
    found = [problem for problem in refused.value.problems if problem.path == f"attributes.discharged.{key}"]
    assert len(found) == 1
    assert said in found[0].message
    assert found[0].line == 4


def test_a_domain_without_an_order_keeps_its_digest() -> None:
    plain = Domain(version=1, attributes={"a": Date(bounds=(date(2019, 1, 1), date(2020, 1, 1)))})
    assert not {"after", "within", "unit"} & {word.strip('"') for word in canonical_json(plain).split(":")}
    assert plain.counted == plain.attributes


def test_the_date_before_must_be_requested(tmp_path: Path) -> None:
    site = TestSite(tmp_path)
    site.domain(
        {name: {"type": "date", "bounds": ["2019-01-01", "2021-12-31"]} for name in ("a", "b")}
        | {"b": {"type": "date", "bounds": ["2019-01-01", "2021-12-31"], "after": "a", "within": [0, 9]}}
    )
    with pytest.raises(ConfigError, match=r"'b' is declared as a date after 'a', which is not requested"):
        load_request(site.request(columns=["b"]))
    assert load_request(site.request(columns=["b", "a"])).request.columns == ("b", "a")
    with pytest.raises(ConfigError, match="which is not requested"):
        DOMAIN.restricted_to(("discharged", "seen"))


@pytest.mark.parametrize("path", ["output", "sample", "count"])
def test_values_of_a_derived_date_cannot_be_wanted(path: str, tmp_path: Path) -> None:
    if path == "output":
        with pytest.raises(ValueError, match="derived from 'admitted'"):
            wanted_shares(BOOKS["discharged"], "2020-01-01")
        return
    rows_of_model = SyntheticRows(model_file())
    with pytest.raises(UsageError, match="derived from 'admitted'"):
        rows_of_model.predict({"rows": 5, "where": {"discharged": "2020-01-01"}})
    assert len(rows_of_model.predict({"rows": 5, "where": {"admitted": "2020-01-01"}})) == 5


def by_hand(name: str, own: object, base: object) -> int:
    """Where a pair of cells stands, as plainly as it can be said."""
    attribute = BOOKS[name].attribute
    assert isinstance(attribute, Difference)
    ends = []
    for date_of, cell in ((attribute.own, own), (attribute.start, base)):
        text = isinstance(cell, str)
        if cell is None or (text and (cell in date_of.missing or cell == "")):
            return MISSING
        try:
            ends.append(date.fromisoformat(cell) if isinstance(cell, str) else cell)
        except ValueError:
            ends.append(None)
        if ends[-1] in date_of.sentinels:
            return MISSING
    if None in ends:
        return OTHER
    days = (ends[0] - ends[1]).days  # type: ignore[operator]
    low, high = DOMAIN.attributes[name].within  # type: ignore[union-attr, misc]
    if low <= days <= high:
        return days - low
    return OTHER if attribute.outside == "missing" else BELOW if days < low else ABOVE


@pytest.mark.parametrize("cells", [CELLS, TEXTS], ids=["dates", "texts"])
def test_the_days_between_are_what_is_counted(cells: tuple[object, ...]) -> None:
    seen = set()
    for name in ("discharged", "seen"):
        for own, base in product(cells, cells):
            place = BOOKS[name].place_of((own, base))
            assert place == by_hand(name, own, base), (name, own, base)
            seen.add(place if place < 0 else 0)
    assert seen == {MISSING, OTHER, BELOW, ABOVE, 0}


def test_sums_are_of_the_days_between_and_within_their_bound() -> None:
    book = BOOKS["discharged"]
    scale = book.attribute.fixed_point  # type: ignore[union-attr]
    quanta = [book.quantum_of(pair) for pair in product(DAYS, DAYS)]
    # The bound is that of the difference; a date's own bounds would give another scale.
    assert max(map(abs, quanta)) == scale.limit
    assert bound(Sum("discharged"), PrivacyUnit("patient", 3), DOMAIN, "laplace") == 3 * scale.limit
    assert DOMAIN.graded == {name: book.attribute for name, book in BOOKS.items()}


PLACES = [
    np.array(part, dtype=np.int32)
    for part in zip(
        *product((0, 5, 30, OTHER, MISSING), (0, 7, 1095, 1090, OTHER, MISSING), (0, 9, 398, OTHER, MISSING)),
        strict=True,
    )
]


def test_a_derived_date_is_never_before_its_base_and_ends_at_its_bounds() -> None:
    places = dict(zip(BOOKS, PLACES, strict=True))
    for name, base in (("discharged", "admitted"), ("seen", "discharged")):
        own, absent = days_of(BOOKS, places, name)
        start, base_absent = days_of(BOOKS, places, base)
        low, high = DOMAIN.attributes[name].within  # type: ignore[union-attr, misc]
        assert np.array_equal(absent, base_absent | (places[name] < 0))
        between = (own - start)[~absent]
        assert between.min() >= low
        assert between.max() <= high
        last = (DOMAIN.attributes[name].bounds[1] - date(1970, 1, 1)).days  # type: ignore[union-attr]
        expected = np.minimum(start + places[name] + low, last)
        assert np.array_equal(own[~absent], expected[~absent])
        assert (own[~absent] == last).any()
    assert list(with_bases(BOOKS, "seen")) == ["seen", "discharged", "admitted"]


def model_file() -> ModelFile:
    """Independent columns, every cell equally likely."""
    columns = []
    for name, book in BOOKS.items():
        grid = book.attribute.grid  # type: ignore[union-attr]
        cells = grid.bins + 2
        columns.append(ColumnModel(name, np.full(cells, 1 / cells), np.array(grid.starts), grid.count))
    return ModelFile(Model("test", DOMAIN.digest, tuple(columns), tuple(BOOKS)), DOMAIN)


def test_local_rows_keep_the_order() -> None:
    file = ModelFile.parse(model_file().text)
    frame = sample_table(file, 5000, seed=2).to_pandas()
    for name, base in (("discharged", "admitted"), ("seen", "discharged")):
        low, high = DOMAIN.attributes[name].within  # type: ignore[union-attr, misc]
        both = frame[frame[name].notna()]
        assert both[base].notna().all()
        between = [(one - other).days for one, other in zip(both[name], both[base], strict=True)]
        assert low <= min(between)
        assert max(between) <= high
        assert len(both) > 2000
    assert {str(field.type) for field in sample_table(file, 3).schema} == {"date32[day]"}


def test_labels_say_days_and_cells_are_made_from_the_date_itself() -> None:
    book = BOOKS["discharged"]
    assert book.labels()[:2] == ("0 days", "6 days")
    assert book.labels()[-4:] == ("(below 0 days)", "(above 30 days)", "(other)", "(missing)")
    assert any(isinstance(cell, date) for cell in every_code(replace(book, attribute=book.declared)))


def test_every_row_has_codes() -> None:
    for row in rows(TEXTS):
        for book, value in zip(BOOKS.values(), understood(row), strict=True):
            assert 0 <= book.code_of(value) < book.cells


def test_the_gate_fails_alone() -> None:
    staged = SimpleNamespace(disordered={"discharged": 0, "seen": 2})
    assert order.judge(staged) == (False, "rows break the declared order of dates in: seen")  # type: ignore[arg-type]
    staged = SimpleNamespace(disordered={"discharged": 0})
    assert order.judge(staged)[0] is True  # type: ignore[arg-type]
    assert order.judge(SimpleNamespace(disordered={})) == (True, "no order of dates is declared")  # type: ignore[arg-type]


def test_a_structural_zero_cannot_name_a_derived_date() -> None:
    zeros, [said] = read_zeros([{"discharged": ("2020-01-01",), "admitted": ("2020-01-01",)}], BOOKS)
    assert not zeros
    assert said.startswith("zeros[0] names column 'discharged', a date derived from 'admitted'")
