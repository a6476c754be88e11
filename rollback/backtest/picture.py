"""The evidence over time against its limit: an HTML page that needs nothing else, and a terminal chart."""

from collections.abc import Iterable, Sequence
from datetime import timedelta
from html import escape

import leather
import numpy as np
import plotille

from rollback.backtest.replay import Rollout, Trail
from rollback.backtest.report import Backtest, headline, sentences
from rollback.guardrails.counts import Values

WIDTH, HEIGHT = 900, 300  # pixels
POINTS = 450  # of one line; more cannot be told apart
DEEPEST = -8.0  # below, there is only "no evidence at all"
COLOURS = {"evidence": "#1f6fb2", "limit": "#c0392b", "regression": "#e08e0b", "breach": "#7d3c98"}
TERMINAL = {"width": 64, "height": 10}

_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Backtest of the guardrails</title>
<style>
  body {{ font-family: system-ui, sans-serif; max-width: {width}px; margin: 2em auto; padding: 0 1em; }}
  svg {{ max-width: 100%; height: auto; font-family: system-ui, sans-serif; }}
  h2 {{ margin: 2em 0 0.3em; }}
  p {{ margin: 0.3em 0; }}
</style>
<h1>Backtest of the guardrails</h1>
{body}
</html>
"""


def page(study: Backtest) -> str:
    """One rollout of the study, a chart a sequential guardrail, with what the study came to above it."""
    rollout = shown(study)
    parts = [f"<p>{escape(line)}</p>" for line in sentences(study)]
    parts.append(f"<p>Shown: {escape(headline(rollout))}.</p>")
    for trail in _weighed(rollout):
        parts.append(f"<h2>{escape(trail.guardrail)}</h2>")
        parts.append(f"<p>{escape(trail.sentence)}.</p>")
        parts.append(_chart(study, rollout, trail))
    return _PAGE.format(width=WIDTH, body="\n".join(parts))


def terminal(study: Backtest, *, colours: bool) -> str:
    """The guardrail that came nearest to its limit, in characters."""
    rollout = shown(study)
    trail = max(_weighed(rollout), key=_nearness, default=None)
    if trail is None or trail.log_e is None or trail.needed is None:
        return "No guardrail could be weighed, so there is no evidence to draw."
    figure = plotille.Figure()
    figure.width, figure.height = TERMINAL["width"], TERMINAL["height"]
    figure.color_mode, figure.with_colors = "names", colours
    hours, evidence = _thinned(trail.log_e, rollout.step)
    figure.set_x_limits(min_=0, max_=max(hours[-1], 0.01))
    figure.x_ticks_fkt = lambda value, _next: f"{value:.2f} h"
    figure.y_ticks_fkt = lambda value, _next: f"{value:6.1f}"
    figure.x_label, figure.y_label = "since the beginning", "log e"
    figure.plot([0, hours[-1]], [trail.needed, trail.needed], lc="red")
    figure.plot(hours, evidence, lc="cyan")
    what = f"{trail.guardrail}: evidence against the challenger; a breach at {trail.needed:.1f}"
    return f"{what}\n{figure.show()}"


def shown(study: Backtest) -> Rollout:
    """The rollout that is drawn: with the regression if there is one, and a breach if there was one."""
    every = study.worse or study.plain
    return next((each for each in every if each.first), every[0])


def _chart(study: Backtest, rollout: Rollout, trail: Trail) -> str:
    assert trail.log_e is not None and trail.needed is not None  # noqa: S101, PT018 - of `_weighed`
    hours, evidence = _thinned(trail.log_e, rollout.step)
    end = max(hours[-1], 0.01)
    low, high = min(*evidence, 0.0), max(*evidence, trail.needed)
    chart = leather.Chart()
    chart.add_x_scale(0, end)
    chart.add_y_scale(low - 0.5, high + 0.5)
    chart.add_x_axis(name="hours since the beginning")
    chart.add_y_axis(name="log e")
    _line(chart, "evidence", zip(hours, evidence, strict=True))
    _line(chart, "limit", [(0, trail.needed), (end, trail.needed)])
    if study.injections:
        moment = study.after / timedelta(hours=1)
        _line(chart, "regression", [(moment, low), (moment, high)])
    if trail.breach is not None:
        moment = (rollout.moment(trail.breach) - rollout.start) / timedelta(hours=1)
        _line(chart, "breach", [(moment, low), (moment, high)])
    svg: str = chart.to_svg(width=WIDTH, height=HEIGHT)
    return svg.replace('font-family="Monaco"', "")  # as the page around it


def _line(chart: leather.Chart, name: str, points: Iterable[tuple[float, float]]) -> None:
    chart.add_line(list(points), name=name, stroke_color=COLOURS[name])


def _weighed(rollout: Rollout) -> list[Trail]:
    return [trail for trail in rollout.trails if trail.log_e is not None]


def _nearness(trail: Trail) -> float:
    return float(np.max(trail.log_e)) / trail.needed if trail.log_e is not None and trail.needed else -1.0


def _thinned(log_e: Values, step: timedelta) -> tuple[list[float], Sequence[float]]:
    """Hours and evidence; of many steps the highest of each group, because that is what a breach goes by."""
    size = -(-len(log_e) // POINTS)
    padded = np.append(log_e, np.full(-len(log_e) % size, -np.inf))
    highest = np.maximum(padded.reshape(-1, size).max(axis=1), DEEPEST)
    hour = step.total_seconds() / 3600
    hours = [min((number + 1) * size, len(log_e)) * hour for number in range(len(highest))]
    return [0.0, *hours], [0.0, *highest.tolist()]
