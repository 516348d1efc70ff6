"""The plan of a prepared run, with its price in tokens. Reads the tokenizer, loads no weights."""

from __future__ import annotations

from sway_gguf.core.plan import Plan, PlannedProbe
from sway_gguf.engine.counting import counter
from sway_gguf.suite.prepare import Prepared
from sway_gguf.suite.run import plan
from sway_gguf.suite.speeds import known_speed
from sway_gguf.suite.visit import tokens_of


def planned(prepared: Prepared) -> Plan:
    """What the run would do."""
    work = plan(prepared)
    with counter(prepared.base.path, prepared.engine, prepared.base.context_length) as count:
        tokens = tokens_of(work.every, count)
        probes = [
            PlannedProbe(probe.options.name, probe.axis, len(set(probe.ask())), work.cost(place, count))
            for place, probe in enumerate(prepared.probes)
        ]
        least = sum(tokens_of(work.fewest, count).values())
        shown = (len(work.shown), work.shown_cost(count)) if work.shown else None
    skipped = [PlannedProbe(probe.name, probe.axis, skipped=probe.reason) for probe in prepared.skipped]
    server = prepared.spec.models.endpoint
    named = {
        "base": str(prepared.base.path),
        "adapter": prepared.name,
        "format": prepared.texts.speech.name,
    } | ({"server": server.url} if server else {})
    remarks = (*prepared.spec.remarks, *prepared.left_out)
    speed = known_speed(prepared.base, prepared.engine) if server is None else None
    return Plan(named, (*probes, *skipped), shown, len(work.every), work.queries, tokens, remarks, least, speed)
