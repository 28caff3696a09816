"""A site whose records are kept in memory, for tests of what people do to requests and scopes. It has no Spark."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from people import demo_roster, write_roster
from store_doubles import MemoryLinks
from synthward.api import Ward
from synthward.ledger.ledger import Ledger
from synthward.run.suppliers import Suppliers
from synthward.spec.site import load_site
from synthward.store.chain import Chain
from synthward.store.places import TableRef, Zone
from trial import Clock, TestSite, open_budget


class NoReleases:
    """A registry without releases."""

    def listed(self, _: str | None = None) -> tuple[()]:
        """See `Registry.listed`."""
        return ()

    def receipts(self) -> tuple[()]:
        """See `Registry.receipts`."""
        return ()


class Office:
    """A site whose ledger and protected records are kept in memory."""

    def __init__(self, root: Path, *, roster: bool = False, policy: Mapping[str, Any] | None = None) -> None:
        signed = write_roster(root, demo_roster()) if roster else {}
        self.site = TestSite(root, site=signed, policy=policy)
        self.stores: dict[str, MemoryLinks] = {}
        self.clock = Clock()
        self.path = self.site.request()

    def store(self, ref: TableRef) -> MemoryLinks:
        return self.stores.setdefault(str(ref).rsplit("/", 1)[-1].strip("`"), MemoryLinks())

    def chain(self, _: Any, ref: TableRef, **settings: Any) -> Chain:
        return Chain(None, ref, store=self.store(ref), clock=settings["clock"])

    def ledger(self, _: Any, zone: Zone, **settings: Any) -> Ledger:
        store = self.stores.setdefault("ledger", MemoryLinks())
        return Ledger(None, zone, store=store, clock=settings["clock"])

    def ward(self, *, opened: bool = True) -> Ward:
        suppliers = Suppliers(
            chain=self.chain,
            ledger=self.ledger,
            registry=lambda *_: NoReleases(),  # type: ignore[arg-type, return-value]
            runs=lambda *_: None,  # type: ignore[arg-type, return-value]
        )
        made = Ward(None, load_site(self.site.file), clock=self.clock, suppliers=suppliers)  # type: ignore[arg-type]
        if opened:
            open_budget(made)
        return made
