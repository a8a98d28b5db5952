"""What a verb has left behind, for a test to look at."""

from __future__ import annotations

from engine.core import Engine


async def told(engine: Engine) -> list[str]:
    """Every event so far, `type action` or `action` for a container's; a signal and an exit code with it."""
    events = engine.events
    with events.subscribe(since=0, until=events.clock()) as messages:
        return [
            " ".join(
                [
                    *([message.type] if message.type != "container" else []),
                    message.action,
                    *(message.actor.attributes[key] for key in ("signal", "exitCode") if key in message.actor.attributes),
                ]
            )
            async for message in messages
        ]


def steps(engine: Engine, name: str = "web") -> list[str]:
    """Names of the steps of the last operation, a minus before those that were reversed."""
    run = engine.resolve(name).run
    assert run
    return [("-" if row.reverse else "") + row.step for row in run.rows]
