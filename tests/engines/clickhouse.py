"""ClickHouse within this process (chDB), with a log in its tables as a shipper would have put it there."""

from pathlib import Path

import pyarrow.parquet
from ibis.expr import datatypes as dt

from analysis.log import Log
from analysis.log.columns import TABLE_NAMES, TABLES


def fill(log: Log, folder: Path, schema: str) -> str:
    """Put the three tables of `log` into `folder`, the only one of this process; the URL that Ibis opens."""
    import clickhouse_connect  # noqa: PLC0415 - only where it is installed

    client = clickhouse_connect.get_client(dsn=f"chdb://{folder}")
    client.command(f"CREATE DATABASE {schema}")
    for kind, name in TABLE_NAMES.items():
        columns = ", ".join(f"`{column}` {_type(of)}" for column, of in TABLES[kind].items())
        client.command(f"CREATE TABLE {schema}.{name} ({columns}) ENGINE = MergeTree ORDER BY time")
        file = folder / f"{name}.parquet"
        pyarrow.parquet.write_table(log.backend.to_pyarrow(getattr(log, name)), file)
        client.command(f"INSERT INTO {schema}.{name} SELECT * FROM file('{file}', Parquet)")
    client.close()
    return f"clickhouse://localhost/{schema}?interface=chdb&path={folder}"


def _type(kind: dt.DataType) -> str:
    if kind.is_map():
        return "Map(String, Nullable(String))"  # ClickHouse has no map that is null
    plain = {"string": "String", "timestamp": "DateTime64(6)", "float64": "Float64", "boolean": "Bool"}
    name = plain[str(kind.copy(nullable=True))]
    return f"Nullable({name})" if kind.nullable else name
