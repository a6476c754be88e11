"""Databases, by Ibis: a log that a shipper has put into ClickHouse, Trino, BigQuery...

There the log is three tables, `predictions`, `shadow` and `feedback`, with the columns of
analysis.log.columns. What is a bad line is a matter of whoever loaded them.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import ibis
from ibis.backends import BaseBackend
from ibis.expr import types as ir

from analysis.errors import EngineError, LogError
from analysis.log.columns import LATER, TABLE_NAMES, TABLES
from analysis.log.engine import Engine, Wanted, brief


class InDatabase(Engine):
    """The tables in the schema `location` of the database at `url`."""

    def __init__(self, url: str, location: str) -> None:
        self.name = url.partition(":")[0]
        self.files = tuple(f"{location}.{name}" for name in TABLE_NAMES.values())
        try:
            self.backend: BaseBackend = ibis.connect(url)
        except Exception as error:  # each driver has its own
            said = brief(error).replace(url, _without_secret(url))
            raise EngineError(
                f"{_without_secret(url)}: no connection: {said}. A database needs its own part of "
                f"Ibis, such as pip install 'ibis-framework[{self.name}]'"
            ) from error
        self._tables = self._find(location)

    def records(self, wanted: Wanted) -> ir.Table:
        """See analysis.log.records.typed; nothing here has a fault."""
        return together(self._tables, wanted)

    def keep(self, table: ir.Table) -> ir.Table:
        """`table` as it is: a database is made to be asked, and need not let us write."""
        return table

    def rows(self, table: ir.Table) -> list[dict[str, Any]]:
        """The rows of a small table."""
        try:
            rows: list[dict[str, Any]] = self.backend.to_pyarrow(table).to_pylist(maps_as_pydicts="lossy")
        except Exception as error:  # each driver has its own
            raise LogError(f"{self.name} does not answer: {brief(error)}") from error
        return rows

    def _find(self, location: str) -> Mapping[str, ir.Table]:
        found = {}
        for kind, name in TABLE_NAMES.items():
            try:
                found[kind] = self.backend.table(name, database=location)
            except Exception as error:  # each driver has its own
                raise LogError(
                    f"{location}.{name}: not in {self.name}: {brief(error)}. It needs the columns "
                    + ", ".join(TABLES[kind].names)
                ) from error
            if missing := sorted(set(TABLES[kind].names) - LATER - set(found[kind].columns)):
                raise LogError(f"{location}.{name}: has no {', '.join(missing)}")
        return found


def together(tables: Mapping[str, ir.Table], wanted: Wanted) -> ir.Table:
    """What `analysis.log.records.typed` makes of raw records, of tables that are apart already."""
    names = dict.fromkeys(name for of_kind in wanted.values() for name in of_kind)
    parts = [
        tables[kind].select(
            kind=ibis.literal(kind),
            fault=ibis.null("string"),
            file=ibis.null("string"),
            **{name: _column(tables, kind, name, wanted[kind]) for name in names},
        )
        for kind in wanted
    ]
    return ibis.union(*parts)


def _column(tables: Mapping[str, ir.Table], kind: str, name: str, wanted: Sequence[str]) -> ir.Value:
    if name in LATER and name not in tables[kind].columns:
        return ibis.null(TABLES["prediction"][name].copy(nullable=True))
    source = next(of for of, schema in TABLES.items() if name in schema.names and name in tables[of].columns)
    # A context may be a map or JSON, as the database has it; see context_of.
    wished = tables[source][name].type() if name == "context" else TABLES[source][name]
    if wished.is_timestamp():
        wished = wished.copy(scale=6)  # without it ClickHouse cuts off what is less than a second
    wished = wished.copy(nullable=True)
    if name in wanted:
        return tables[kind][name].cast(wished)
    return ibis.literal({}, wished) if wished.is_map() else ibis.null(wished)  # ClickHouse has no null map


def _without_secret(url: str) -> str:
    scheme, _separator, rest = url.partition("://")
    return f"{scheme}://{rest.rpartition('@')[2]}"
