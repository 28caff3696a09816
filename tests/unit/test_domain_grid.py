"""Grids, bins and fixed point: exact, in range for every double, and never finer than the overflow check allows."""

from __future__ import annotations

import math
from datetime import date
from decimal import Decimal
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from synthward.domain.cells import LANE_BITS, WORD_BITS, Packing, tables
from synthward.domain.codes import ABOVE, BELOW, MISSING, OTHER, CodeBook, codebooks, square_of
from synthward.domain.grid import LEVEL_BITS, FixedPoint, Grid
from synthward.domain.spec import Categorical, Domain, Numeric

decimals = st.decimals(min_value=-(10**12), max_value=10**12, places=3)
resolutions = st.sampled_from([Decimal(text) for text in ("0.001", "0.01", "0.1", "0.5", "1", "3", "0.007", "250")])
anything = st.one_of(st.floats(), st.floats(-1e13, 1e13), st.integers(-(2**63), 2**63 - 1), st.none())


@st.composite
def numerics(draw: st.DrawFn) -> Numeric:
    low, resolution = draw(decimals), draw(resolutions)
    high = low + resolution * draw(st.integers(1, 10**6))
    bins = draw(st.one_of(st.none(), st.integers(1, 200)))
    attribute = Numeric(
        bounds=(low, high), resolution=resolution, bins=bins, outside=draw(st.sampled_from(["clip", "missing"]))
    )
    try:
        _ = attribute.grid
    except ValueError:
        assume(False)
    return attribute


@given(attribute=numerics(), value=anything)
def test_every_value_has_a_place_a_code_and_a_bounded_integer(attribute: Numeric, value: float | None) -> None:
    book = CodeBook("x", attribute)
    place, code, q = book.place_of(value), book.code_of(value), book.quantum_of(value)
    assert place in (ABOVE, BELOW, MISSING, OTHER) or 0 <= place < attribute.grid.count
    assert 0 <= code < book.cells
    scale = attribute.fixed_point
    assert abs(q) <= scale.limit
    assert 0 <= square_of(q, scale.shift) <= scale.square_limit


@given(attribute=numerics(), data=st.data())
def test_every_grid_value_finds_its_own_index_and_bin(attribute: Numeric, data: st.DataObject) -> None:
    grid = attribute.grid
    index = data.draw(st.integers(0, grid.count - 1))
    book = CodeBook("x", attribute)
    place = book.place_of(float(grid.value(index)))
    assert place == index
    starts = grid.starts
    assert starts[book.code_of_place(index)] <= index
    assert index < (*starts, grid.count)[book.code_of_place(index) + 1]


@given(low=st.floats(-1e12, 1e12), width=st.floats(1e-6, 1e12))
def test_fixed_point_limits(low: float, width: float) -> None:
    """2^15 <= Q <= 2^16 and Q2 = (Q^2 + 2^15) div 2^16 <= 2^16: what the overflow check counts on."""
    high = low + width
    assume(high > low)
    scale = FixedPoint.of(low, high)
    assert LEVEL_BITS == scale.shift == 16
    assert 2**15 <= scale.limit <= 2**16
    assert scale.square_limit == (scale.limit**2 + 2**15) // 2**16 <= 2**16
    assert scale.unit == math.ldexp(1, scale.exponent)
    assert scale.unit * scale.per_unit == 1
    half = max(Fraction(high) - Fraction(scale.centre), Fraction(scale.centre) - Fraction(low))
    assert (scale.limit - 1) * Fraction(scale.unit) < half <= scale.limit * Fraction(scale.unit)


@given(st.integers(-(2**16), 2**16))
def test_squares_are_the_nearest_multiple(q: int) -> None:
    assert abs(Fraction(q * q, 2**16) - square_of(q, 16)) <= Fraction(1, 2)


@pytest.mark.parametrize(
    ("low", "high", "resolution", "message"),
    [
        ("1", "1", "1", "ascending"),
        ("2", "1", "1", "ascending"),
        ("NaN", "1", "1", "finite"),
        ("0", "Infinity", "1", "finite"),
        ("0", "1", "0", "positive"),
        ("0", "1", "-1", "positive"),
        ("0", "1", "0.3", "whole number of resolutions"),
        ("0", "1e10", "1", "too many"),
        ("100000000000000007", "100000000000000009", "1", "digits"),
        ("100000000000000000.1", "100000000000000001.1", "0.1", "digits"),
        ("-1.7e308", "1.7e308", "1e307", "exponents"),
        ("0", "1e-310", "1e-311", "exponents"),
        ("0", "1e400", "1e399", "exponents"),
    ],
)
def test_numbers_that_make_no_grid(low: str, high: str, resolution: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Grid.of(Decimal(low), Decimal(high), Decimal(resolution))


@pytest.mark.parametrize("edges", [("0",), ("11",), ("3", "2"), ("2", "2"), ("0.5",)])
def test_edges_that_cut_no_grid(edges: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match="edge"):
        Grid.of(Decimal(0), Decimal(10), Decimal(1), edges=tuple(map(Decimal, edges)))


def test_bins() -> None:
    grid = Grid.of(Decimal(0), Decimal(10), Decimal(1), bins=4)
    assert grid.starts == (0, 3, 6, 9)
    assert grid.bin_step == 3
    uneven = Grid.of(Decimal(0), Decimal(10), Decimal(1), edges=(Decimal(1), Decimal(10)))
    assert uneven.starts == (0, 1, 10)
    assert uneven.bin_step is None
    assert Grid.of(Decimal(0), Decimal(10), Decimal(1), bins=1).bin_step == 11


@given(st.integers(2, 60), st.sets(st.integers(1, 59), max_size=6))
def test_a_bin_is_the_index_div_the_step_where_there_is_a_step(count: int, inner: set[int]) -> None:
    """Also at the upper bound: bounds [0, 80] with edges 5, 10, ..., 75 have a last bin of six values, so no step."""
    edges = tuple(Decimal(edge) for edge in sorted(inner) if edge < count)
    grid = Grid.of(Decimal(0), Decimal(count - 1), Decimal(1), edges=edges, bins=None if edges else 1)
    if grid.bin_step is not None:
        bins = np.searchsorted(grid.starts, np.arange(count), side="right") - 1
        assert (np.arange(count) // grid.bin_step).tolist() == bins.tolist()
    wide = Grid.of(Decimal(0), Decimal(80), Decimal(1), edges=tuple(Decimal(edge) for edge in range(5, 80, 5)))
    assert wide.bin_step is None
    assert Grid.of(Decimal(0), Decimal(3), Decimal(1), bins=100).starts == (0, 1, 2, 3)


@given(st.lists(st.one_of(st.integers(1, 5000), st.just(70_000)), min_size=1, max_size=40))
def test_packed_codes_come_back(sizes: list[int]) -> None:
    """Every code of every column, at once: nothing overlaps, no word is negative."""
    books = {
        f"x{k}": CodeBook(f"x{k}", Categorical(values=tuple(map(str, range(size))))) for k, size in enumerate(sizes)
    }
    packing = Packing.of(books)
    assert [slot.name for slot in packing.slots] == list(books)
    for slot in packing.slots:  # a code that fits a lane lies in one lane, a wider one begins with a lane
        first, last = slot.shift // LANE_BITS, (slot.shift + slot.bits - 1) // LANE_BITS
        assert first == last if slot.bits <= LANE_BITS else slot.shift % LANE_BITS == 0
    for pick in (lambda book: book.missing, lambda book: 0, lambda book: book.cells // 2):
        words = [0] * packing.words
        for slot in packing.slots:
            words[slot.word] += pick(books[slot.name]) << slot.shift
        assert all(0 <= word < 2**WORD_BITS for word in words)
        for slot in packing.slots:
            assert words[slot.word] >> slot.shift & (1 << slot.bits) - 1 == pick(books[slot.name])


def test_tables_lie_one_after_the_other_in_row_major_order() -> None:
    values = {"a": ("x", "y"), "b": ("x", "y", "z")}
    books = codebooks(Domain(version=1, attributes={name: Categorical(values=v) for name, v in values.items()}))
    first, second = tables(books, [("a",), ("b", "a")], start=7)
    assert (first.offset, first.shape, first.cells) == (7, (4,), 4)
    assert (second.offset, second.shape, second.strides) == (11, (5, 4), (4, 1))
    assert np.ravel_multi_index((2, 3), second.shape) == 2 * second.strides[0] + 3 * second.strides[1]


def test_dates_lie_on_their_own_grid() -> None:
    from synthward.domain.codes import date_at
    from synthward.domain.spec import Date

    for granularity in ("day", "month", "year"):
        attribute = Date(bounds=(date(1899, 12, 31), date(2030, 2, 28)), granularity=granularity)
        for index in (0, 1, attribute.grid.count - 1):
            assert attribute.ordinal(date_at(attribute, index)) - attribute.grid.low == index
