"""`metrics`: what Prometheus would scrape, once."""

from __future__ import annotations

import typer

from octolog.cli.command import Call, command


def add_to(app: typer.Typer) -> None:
    """Register the command."""
    command(app)(metrics)


def metrics(call: Call) -> None:
    """What Prometheus scrapes where `metrics_port` is set: processes, lag of the processor, trees, attempts, cost."""
    from octolog.app.knowledge.metrics import exposition, registry_of

    registry = registry_of(call.settings())
    samples = [sample for family in registry.collect() for sample in family.samples]
    document = {"metrics": [{"name": one.name, "labels": one.labels, "value": one.value} for one in samples]}
    call.show(document, lambda: exposition(registry).rstrip())
