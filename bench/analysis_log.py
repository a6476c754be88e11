"""A big prediction log for the benchmark of the analysis: as the service writes it, and the same as Parquet.

DuckDB writes it, in half a minute; the lines are those of service.prediction_log.schema to the byte, made
by format strings, in files of some 64 MB as the service begins new ones. Of 20 records 13 are predictions,
5 pairs of the shadow and 2 feedback; 30% of the users are assigned to the challenger.
"""

import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from string import Template
from typing import Final

import duckdb

REQUESTS_OF_FILE: Final = 104_000
"""Requests of which each file tells; 160,000 records, some 64 MB."""
USERS: Final = 500_000
_CONTEXT: Final = '{"country":"%s","plan":"%s"}'
_PREDICTION: Final = (
    '{"schema":1,"time":"%s","kind":"prediction","request_id":"%s","user":"%s","context":%s,"assigned":"%s",'
    '"model":"%s","reason":"%s","model_name":"%s","model_version":"1","prediction":%d,"class_name":"%s",'
    '"probability":%.16g,"seconds":%.6f}'
)
_ANSWER: Final = (
    '{"name":"%s","version":"1","class_name":"%%s","prediction":%%d,"probability":%%.16g,"seconds":%%.16g}'
)
_SHADOW: Final = (
    '{"schema":1,"kind":"shadow","request_id":"%s","time":"%s","user":"%s","context":%s,"champion":'
    + _ANSWER % "breast-cancer-logistic-regression"
    + ',"challenger":'
    + _ANSWER % "breast-cancer-random-forest"
    + ',"agree":%s,"error":null}'
)
_FEEDBACK: Final = (
    '{"schema":1,"time":"%s","kind":"feedback","request_id":"%s","user":null,"outcome":"bought","value":%.2f,'
    '"known":true,"assigned":"%s"}'
)
_STAMP: Final = "%Y-%m-%dT%H:%M:%S.%gZ"
_RECORDS: Final = """
WITH request AS (
    SELECT md5(i::VARCHAR) || '-a' || substr(md5((-i)::VARCHAR), 1, 10) AS id,
        md5('user' || number) AS "user",
        number % 10 < 3 AS is_challenger,
        make_timestamp(1793491200000000 + i * 1209600000 // $requests * 1000) AS asked,
        printf('$context', ['NO', 'SE', 'DK', 'FI', 'DE', 'FR', 'NL', 'PL'][1 + number % 8],
            ['free', 'pro', 'team'][1 + number // 8 % 3]) AS context,
        hash(i * 3) % 1000000007 / 1000000007 AS p,
        hash(i * 11) % 1000003 / 1000003 / 100 AS s,
        hash(i * 13) % 1000003 / 1000003 AS noise
    FROM (SELECT i, (hash(i * 7) % $users)::INT AS number FROM range($begin, $end) AS _(i))
), said AS (
    SELECT *, greatest(0, least(1, p + (noise - 0.5) / 10)) AS q,
        if(is_challenger, 'challenger', 'champion') AS role
    FROM request
), line AS (
    SELECT asked, printf('$prediction', strftime(asked, '$stamp'), id, "user", context, role, role,
        if(is_challenger, 'flag_on', 'flag_off'),
        if(is_challenger, 'breast-cancer-random-forest', 'breast-cancer-logistic-regression'),
        (p > 0.5)::INT, if(p > 0.5, 'benign', 'malignant'), p, s) AS line
    FROM said
    UNION ALL
    SELECT asked + to_milliseconds(250),
        printf('$shadow', id, strftime(asked + to_milliseconds(250), '$stamp'), "user", context,
        if(p > 0.5, 'benign', 'malignant'), (p > 0.5)::INT, p, s,
        if(q > 0.5, 'benign', 'malignant'), (q > 0.5)::INT, q, s * 1.5, ((p > 0.5) = (q > 0.5))::VARCHAR)
    FROM said WHERE NOT is_challenger AND noise < 0.55
    UNION ALL
    SELECT asked + to_seconds(7200 * noise),
        printf('$feedback', strftime(asked + to_seconds(7200 * noise), '$stamp'), id, 20 + 100 * s, role)
    FROM said WHERE noise % 0.01 < 0.00154
)
SELECT line FROM line ORDER BY asked
"""
_FORMATS: Final = {
    "context": _CONTEXT,
    "prediction": _PREDICTION,
    "shadow": _SHADOW,
    "feedback": _FEEDBACK,
    "stamp": _STAMP,
}


def make(folder: Path, records: int, tell: Callable[[str], None]) -> tuple[Path, Path]:
    """Folders with some `records` as JSON lines and as Parquet; what is there from before is used again."""
    lines, parquet = folder / "jsonl", folder / "parquet"
    if (folder / "complete").exists():
        return lines, parquet
    shutil.rmtree(folder, ignore_errors=True)
    for path in (lines, parquet):
        path.mkdir(parents=True)
    requests = records * 13 // 20
    with duckdb.connect() as engine:
        engine.execute("SET memory_limit = '2GB'")
        for number, begin in enumerate(range(0, requests, REQUESTS_OF_FILE)):
            end = min(requests, begin + REQUESTS_OF_FILE)
            query = Template(_RECORDS).substitute(
                _FORMATS, users=USERS, requests=requests, begin=begin, end=end
            )
            file = lines / f"predictions-{number:04d}.jsonl"
            as_it_is = "FORMAT csv, HEADER false, QUOTE '', ESCAPE '', DELIMITER '\x01'"
            engine.execute(f"COPY ({query}) TO '{file}' ({as_it_is})")
            packed = parquet / f"{file.stem}.parquet"
            engine.execute(
                f"COPY (FROM read_json('{file}', maximum_depth = 3)) TO '{packed}' (COMPRESSION zstd)"
            )
            tell(f"{end:,} of {requests:,} requests written")
    os.sync()
    (folder / "complete").touch()
    return lines, parquet


if __name__ == "__main__":
    make(Path(sys.argv[1]), int(sys.argv[2]), lambda text: print(text, flush=True))
