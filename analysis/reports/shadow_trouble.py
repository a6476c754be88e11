"""Sections of the shadow report about single requests: those that failed, were slow, or differ most."""

from analysis.measures.shadow_reading import MOST_DIFFERENT, ROLES
from analysis.reports.document import Section, Table
from analysis.reports.shadow_figures import ShadowFigures
from analysis.reports.words import counted, milliseconds, number, percent


def failures(figures: ShadowFigures) -> Section:
    failed, reading = figures.errors, figures.reading
    low, high = failed.interval
    if not failed.hits:
        return Section(
            "Does it fail?",
            (
                f"No. All {reading.records:,} copies were answered; a true share of up to {percent(high)}"
                " fits that.",
            ),
        )
    rows = tuple(
        (kind, f"{count:,}", percent(count / reading.records)) for kind, count in reading.errors.items()
    )
    return Section(
        "Does it fail?",
        (
            f"It gave no usable answer to {counted(failed.hits, 'request')} of {reading.records:,}:"
            f" {percent(failed.value)}, 95% interval {percent(low)} to {percent(high)}. In a canary such"
            " users get the old model's answer.",
        ),
        (Table(("kind", "requests", "share"), rows),),
    )


def latency(figures: ShadowFigures) -> Section:
    latency = figures.reading.latency
    rows = tuple(
        (name, *(milliseconds(latency[role][place]) for role in ROLES), f"{number(figures.ratios[place])} x")
        for place, name in enumerate(("half within (p50)", "95% within (p95)", "99% within (p99)"))
    )
    return Section(
        "Is it slow?",
        (
            "The new model answers copies in batches, and its time is its share of the batch: a bound from"
            " below. The canary measures what users wait.",
        ),
        (Table(("", "old model", "new model", "new / old"), rows),),
    )


def unlike(figures: ShadowFigures) -> Section:
    rows = tuple(
        (
            f"{row['time']:%Y-%m-%d %H:%M}",
            *(_said(row, role) for role in ROLES),
            number(row["far"]),
            ", ".join(f"{name}={value}" for name, value in row["context"].items()),
            row["request_id"],
        )
        for row in figures.reading.unlike
    )
    if not rows:
        return Section("Which requests differ most?")
    columns = ("time (UTC)", "old model", "new model", "difference", "context", "request id")
    about = f"The {min(MOST_DIFFERENT, len(rows))} requests whose answers lie farthest apart"
    return Section("Which requests differ most?", (), (Table(columns, rows, about),))


def _said(row: dict[str, object], role: str) -> str:
    value, name = float(str(row[role])), row[f"{role}_class_name"]
    return number(value) if name is None else f"{name} ({number(value)})"
