"""How many patients keep each text of some columns: exact counts of distinct patients, native expressions only.

A text is a candidate when it matches a public pattern and is not listed already. Of the distinct candidates in a
patient's rows of one column, the patient keeps at most K0: the lowest by HMAC-SHA256 of (id, text) under the run's
secret, and by the text itself where hashes are equal. So what a patient keeps depends on that patient's rows and on the
secret alone, and one patient changes at most K0 counts of a column, each by 1 (PROOFS.md, section 8.1).
`privacy.thresholds.patient_counts` is the reference.

No cell can raise an error: a pattern is one of `domain.patterns`, so that matching is bounded, and everything else is
comparison, concatenation and hashing of bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from pyspark.sql import Column, DataFrame, Window
from pyspark.sql import functions as F

from synthward.kernels.encode import UNIT, plain_text

PLACE, TEXT, PATIENTS = "place", "text", "patients"

_BLOCK = 64
"""Bytes of a block of SHA-256, to which HMAC pads its key."""


@dataclass(frozen=True)
class TextColumn:
    """One column whose texts are counted.

    Attributes:
        pattern: What a candidate looks like as a whole, in the language of `domain.patterns`.
        listed: Texts that are no candidates.
        most: K0.
    """

    pattern: str
    listed: tuple[str, ...]
    most: int


def kept_counts(rows: DataFrame, columns: Sequence[TextColumn], secret: bytes, by: Sequence[str] = ()) -> DataFrame:
    """Patients who keep each candidate.

    Args:
        rows: Columns `c0`, `c1`, ... in the order of `columns`, and `unit` where units own several rows; without it
            every row is a unit of its own, with one text a column.
        columns: What to count.
        secret: Key of the hash, at most 64 bytes.
        by: Columns that tell apart data sets which are answered together.

    Returns:
        Rows (*by, place INT, text STRING, patients LONG), one for each candidate that somebody keeps.
    """
    owner = [UNIT] if UNIT in rows.columns else []
    texts = [
        F.struct(F.lit(place).alias(PLACE), _candidate(rows, f"c{place}", column.pattern).alias(TEXT))
        for place, column in enumerate(columns)
    ]
    pairs = rows.select(*by, *owner, F.inline(F.array(*texts))).where(F.col(TEXT).isNotNull())
    found = _unlisted(pairs, columns)
    if owner:
        found = _kept(found.distinct(), columns, secret, by)
    return found.groupBy(*by, PLACE, TEXT).agg(F.count(F.lit(1)).alias(PATIENTS))


def _candidate(rows: DataFrame, name: str, pattern: str) -> Column:
    """The text where it matches as a whole, else NULL; `$` would let a line break pass."""
    text = plain_text(F.col(name), rows.schema[name].dataType)
    return F.when(text.rlike(rf"\A(?:{pattern})\z"), text)


def _unlisted(pairs: DataFrame, columns: Sequence[TextColumn]) -> DataFrame:
    listed = [(place, text) for place, column in enumerate(columns) for text in column.listed]
    if not listed:
        return pairs
    known = pairs.sparkSession.createDataFrame(listed, f"{PLACE} int, {TEXT} string")
    return pairs.join(F.broadcast(known), [PLACE, TEXT], "left_anti")


def _kept(pairs: DataFrame, columns: Sequence[TextColumn], secret: bytes, by: Sequence[str]) -> DataFrame:
    # The id as bytes: integers as their decimal digits, everything else is binary already.
    owner = F.col(UNIT) if pairs.schema[UNIT].dataType.simpleString() == "binary" else F.col(UNIT).cast("string")
    own = Window.partitionBy(*by, UNIT, PLACE).orderBy(keyed_hash(owner.cast("binary"), F.col(TEXT), secret), TEXT)
    most = F.array(*(F.lit(column.most) for column in columns))
    ranked = pairs.withColumn("rank", F.row_number().over(own))
    return ranked.where(F.col("rank") <= F.get(most, F.col(PLACE))).drop("rank")


def keyed_hash(owner: Column, text: Column, secret: bytes) -> Column:
    """HMAC-SHA256 of the id's length in eight bytes, the id and the text; as hexadecimal digits, which sort like bytes.

    Args:
        owner: BINARY.
        text: STRING.
        secret: At most 64 bytes.
    """
    if len(secret) > _BLOCK:
        raise ValueError(f"a key of the hash has at most {_BLOCK} bytes, found {len(secret)}")
    padded = secret.ljust(_BLOCK, b"\0")
    inner, outer = (F.lit(bytes(byte ^ mask for byte in padded)) for mask in (0x36, 0x5C))
    length = F.unhex(F.lpad(F.hex(F.octet_length(owner).cast("long")), 16, "0"))
    return F.sha2(F.concat(outer, F.unhex(F.sha2(F.concat(inner, length, owner, text.cast("binary")), 256))), 256)
