"""Lines of a log, good and bad ones, each with what is said of it."""

import json
from typing import Any

from tests.unit.analysis.make_log import LogPlan, line, make_records

KINDS = ("prediction", "shadow", "feedback")
RECORDS = make_records(LogPlan(users=40, failures=0.1))


def of(kind: str, /, **changes: Any) -> bytes:
    """A line of that kind, with changed fields; a field that becomes ... is left out."""
    record = next(record for record in RECORDS if record["kind"] == kind)
    return line({name: value for name, value in {**record, **changes}.items() if value is not ...})


def answer(role: str, /, **changes: Any) -> bytes:
    """A pair whose answer of `role` is changed."""
    record = next(record for record in RECORDS if record["kind"] == "shadow")
    return of("shadow", **{role: {**record[role], **changes}})


GOOD = {
    "as written": of("prediction"),
    "spaces": json.dumps(json.loads(of("feedback"))).encode(),
    "a field of tomorrow": of("prediction", mood="fine"),
    "a kind of tomorrow": of("prediction", kind="retraining", seconds=...),
    "a label": of("prediction", prediction="spam", class_name="spam"),
    "a regressor": of("prediction", prediction=3.25, class_name=None, probability=None),
    "another zone": of("prediction", time="2026-11-02T02:00:00.000+02:00"),
    "no user": of("prediction", user=None),
    "no context": of("prediction", context={}),
    "letters": of("prediction", context={"country": "Åland 🇦🇽"}),
    "numbers in the context": of("prediction", context={"age": 7, "tags": ["a"], "none": None}),
    "features": of("prediction", features=[1.5, "red"]),
    "no answer": answer("challenger", class_name=None, prediction=None, probability=None, seconds=None),
    "no value": of("feedback", value=None),
    "about nobody": of("feedback", request_id=None, user=None),
    "empty": b"",
    "spaces only": b"   ",
}
BAD = {
    "half a line": (of("prediction")[:70], "no JSON object"),
    "no JSON": (b"Traceback (most recent call last):", "no JSON object"),
    "two in one line": (of("prediction") + of("prediction"), "no JSON object"),
    "an array": (b"[1, 2]", "no JSON object"),
    "null": (b"null", "no JSON object"),
    "a number": (b"17", "no JSON object"),
    "zeros of a crash": (b"\0" * 200, "no JSON object"),
    "binary": (bytes(range(128, 256)).replace(b"\n", b""), "no JSON object"),
    "no UTF-8": (of("prediction").replace(b"champion", b"champi\xf8n"), "no JSON object"),
    "no schema": (of("prediction", schema=...), "no JSON object"),
    "schema of tomorrow": (of("prediction", schema=2), "this schema is not known"),
    "no kind": (of("prediction", kind=None), "no kind"),
    "no time": (of("prediction", time=...), "time is no"),
    "a strange time": (of("feedback", time="yesterday"), "time is no"),
    "no request_id": (of("prediction", request_id=...), "no request_id"),
    "no role": (of("prediction", assigned="experiment"), "assigned is no"),
    "nobody answered": (of("prediction", model=None), "model is no"),
    "a probability of 2": (of("prediction", probability=2), "probability is none"),
    "a probability in words": (of("prediction", probability="high"), "probability is none"),
    "negative seconds": (of("prediction", seconds=-1), "seconds is no"),
    "endless seconds": (of("prediction").replace(b'"seconds":0', b'"seconds":1e999,"s":0'), "seconds is no"),
    "NaN": (of("prediction").replace(b'"seconds":0', b'"seconds":NaN,"s":0'), "seconds is no"),
    "no champion": (of("shadow", champion=...), "champion has no name"),
    "champion is a number": (of("shadow", champion=7), "champion has no name"),
    "a strange probability": (answer("challenger", probability="low"), "probability of the challenger"),
    "strange seconds": (answer("champion", seconds="fast"), "seconds of the champion"),
    "agrees a little": (of("shadow", agree="a little"), "agree is neither"),
    "no outcome": (of("feedback", outcome=None), "no outcome"),
    "a value in words": (of("feedback", value="much"), "value is no"),
    "known to some": (of("feedback", known="partly"), "known is neither"),
    "of another role": (of("feedback", assigned="both"), "assigned is no"),
}
