"""The README's state diagram, drawn from the transition table: `python -m tests.diagram` prints it."""

from __future__ import annotations

from engine.model.status import AFTER, FORCED, TRANSITIONS, Answer, Status, Verb

START, END = "[*]", "[*]"


def diagram() -> str:
    """Every transition that the table lets go, as a Mermaid diagram in a Markdown fence."""
    arrows = [(START, str(AFTER[Verb.CREATE]), str(Verb.CREATE))]
    for verb, answers in TRANSITIONS.items():
        word = "its process ends" if verb is Verb.EXITED else str(verb)
        arrows += [(str(status), str(AFTER[verb] or END), word) for status, answer in answers.items() if answer is Answer.GO]
    arrows += [(str(status), END, "remove, forced") for status in Status if status in FORCED]
    joined: dict[tuple[str, str], list[str]] = {}
    for before, after, word in arrows:
        joined.setdefault((before, after), []).append(word)
    lines = (f"    {before} --> {after}: {', '.join(words)}" for (before, after), words in joined.items())
    return "\n".join(("```mermaid", "stateDiagram-v2", "    direction LR", *lines, "```"))


if __name__ == "__main__":
    print(diagram())
