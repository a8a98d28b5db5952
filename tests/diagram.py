"""The README's state diagram, drawn from the transition table: `python -m tests.diagram` prints it."""

from __future__ import annotations

from engine.model.status import AFTER, FORCED, TRANSITIONS, Answer, Status, Verb

START, END = "[*]", "[*]"
WORDS = {Verb.EXITED: "its process ends", Verb.AGAIN: "its back-off is over"}
"""What nobody asks for."""


def diagram() -> str:
    """Every transition that the table lets go, as a Mermaid diagram in a Markdown fence. What changes no status is left out."""
    arrows = [(START, str(AFTER[Verb.CREATE]), str(Verb.CREATE))]
    for verb, answers in TRANSITIONS.items():
        going = [str(status) for status, answer in answers.items() if answer is Answer.GO and verb in AFTER]
        arrows += [(status, str(AFTER[verb] or END), WORDS.get(verb, str(verb))) for status in going]
        if verb is Verb.EXITED:
            arrows += [(status, str(Status.RESTARTING), "its process ends, its policy says again") for status in going]
    arrows += [(str(status), END, "remove, forced") for status in Status if status in FORCED]
    joined: dict[tuple[str, str], list[str]] = {}
    for before, after, word in arrows:
        joined.setdefault((before, after), []).append(word)
    lines = (f"    {before} --> {after}: {', '.join(words)}" for (before, after), words in joined.items())
    return "\n".join(("```mermaid", "stateDiagram-v2", "    direction LR", *lines, "```"))


if __name__ == "__main__":
    print(diagram())
