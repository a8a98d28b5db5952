"""Instructions that change a config, as Docker reads them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from engine.model.errors import Invalid
from engine.model.settings import Config, Healthcheck
from engine.spec.changes import apply
from engine.spec.shellwords import expand, split

BASE = Config(
    cmd=("sleep", "1"), env=("PATH=/bin", "HOME=/root"), working_dir="/srv", labels={"a": "1"}, exposed_ports={"1/tcp": {}}
)


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        ('CMD ["sh", "-c", "true"]', {"cmd": ("sh", "-c", "true")}),
        ("cmd echo $HOME", {"cmd": ("/bin/sh", "-c", "echo $HOME")}),
        ("CMD [not json", {"cmd": ("/bin/sh", "-c", "[not json")}),
        ("CMD []", {"cmd": None}),
        ('ENTRYPOINT ["sh"]', {"entrypoint": ("sh",), "cmd": None}),
        ('ENTRYPOINT ["sh"]\nCMD ["x"]', {"entrypoint": ("sh",), "cmd": ("x",)}),
        ("ENV HOME=/x NEW=$HOME/y", {"env": ("PATH=/bin", "HOME=/x", "NEW=/root/y")}),
        ("ENV a b  c", {"env": ("PATH=/bin", "HOME=/root", "a=b  c")}),
        ("ENV a=\"b  c\" d='$HOME' e=f\\ g", {"env": (*BASE.env, "a=b  c", "d=$HOME", "e=f g")}),  # type: ignore[misc]
        ("LABEL a=2 b=c", {"labels": {"a": "2", "b": "c"}}),
        ("EXPOSE 80 81-82/UDP", {"exposed_ports": {key: {} for key in ("1/tcp", "80/tcp", "81/udp", "82/udp")}}),
        ("USER $HOME:1", {"user": "/root:1"}),
        ("WORKDIR sub/../other", {"working_dir": "/srv/other"}),
        ("WORKDIR //x", {"working_dir": "/x"}),
        ("VOLUME /a /b", {"volumes": {"/a": {}, "/b": {}}}),
        ('VOLUME ["/a b"]', {"volumes": {"/a b": {}}}),
        ("STOPSIGNAL SIGUSR1", {"stop_signal": "SIGUSR1"}),
        ("ONBUILD RUN make\nONBUILD COPY . .", {"on_build": ("RUN make", "COPY . .")}),
        ("HEALTHCHECK NONE", {"healthcheck": Healthcheck(test=("NONE",))}),
        (
            "HEALTHCHECK --interval=1m30s --timeout=500ms --retries=2 CMD curl -f x",
            {"healthcheck": Healthcheck(test=("CMD-SHELL", "curl -f x"), interval=90 * 10**9, timeout=5 * 10**8, retries=2)},
        ),
        ('HEALTHCHECK CMD ["true"]', {"healthcheck": Healthcheck(test=("CMD", "true"))}),
        ("# a comment\n\nUSER \\\n  me\n", {"user": "me"}),
        ("", {}),
    ],
)
def test_what_an_instruction_changes(change: str, changed: dict[str, Any]) -> None:
    assert apply((change,), BASE) == replace(BASE, **changed)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ("RUN make", "run is not a valid change command"),
        ("nonsense", "nonsense is not a valid change command"),
        ("CMD [1]", "arrays must be comprised of strings only"),
        ("ENV", "ENV requires at least one argument"),
        ("ENV a", "ENV must have two arguments"),
        ("ENV a=1 b", "Syntax error - can't find = in 'b'"),
        ("ENV =1", "names can not be blank"),
        ('ENV a="b', "looking for matching"),
        ("LABEL", "LABEL requires at least one argument"),
        ("EXPOSE", "EXPOSE requires at least one argument"),
        ("EXPOSE 0", "Invalid containerPort: 0"),
        ("EXPOSE 80/icmp", "Invalid containerPort"),
        ("USER", "USER requires exactly one argument"),
        ("WORKDIR", "WORKDIR requires exactly one argument"),
        ("VOLUME", "VOLUME requires at least one argument"),
        ('VOLUME [""]', "can not be an empty string"),
        ("STOPSIGNAL SIGNONE", "is no signal"),
        ("ONBUILD", "ONBUILD requires at least one argument"),
        ("ONBUILD ONBUILD RUN x", "Chaining ONBUILD"),
        ("ONBUILD FROM x", "FROM isn't allowed as an ONBUILD trigger"),
        ("HEALTHCHECK", "HEALTHCHECK requires at least one argument"),
        ("HEALTHCHECK CMD", "Missing command after HEALTHCHECK CMD"),
        ("HEALTHCHECK CMD []", "Missing command after HEALTHCHECK CMD"),
        ("HEALTHCHECK NONE x", "takes no arguments"),
        ("HEALTHCHECK TRY x", "Unknown type 'TRY' in HEALTHCHECK"),
        ("HEALTHCHECK --nonsense=1 CMD x", "Unknown flag: nonsense"),
        ("HEALTHCHECK --interval=1 CMD x", "invalid duration '1'"),
        ("HEALTHCHECK --interval=1ns CMD x", "cannot be less than 1ms"),
        ("HEALTHCHECK --retries=0 CMD x", "--retries must be at least 1"),
        ("USER ${x", "looking for matching }"),
        ("USER ${x?y}", "unsupported modifier"),
        ("USER ${}", "bad substitution"),
        ("USER " + "${x:-" * 2000, "too deep"),
    ],
)
def test_what_is_no_instruction(change: str, why: str) -> None:
    with pytest.raises(Invalid) as refused:
        apply(("USER me", change), BASE)
    assert why in str(refused.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("$x ${x} $y.", "1 1 ."),
        ("${x:-other}${e:-other}${y-other}${e-other}", "1otherother"),
        ("${x:+is}${e:+is}${e+is}${y+is}", "isis"),
        ("${y:-${x}}", "1"),
        ('a\\$x \'$x\' "$x \\"\\a"', 'a$x $x 1 "\\a'),
        ("$ $% a$", "$ $% a$"),
    ],
)
def test_words(text: str, words: str) -> None:
    assert expand(text, {"x": "1", "e": ""}) == words


@given(st.text())
def test_any_text_is_words_or_refused(text: str) -> None:
    assert "".join(split(text)) == "".join(text.split()) or any(quote in text for quote in "'\"\\")
    try:
        apply((text,), BASE)
    except Invalid as error:
        assert str(error)


@given(st.lists(st.text(st.characters(exclude_characters="'\0\n\r\x0b\x0c\x1c\x1d\x1e\x85\u2028\u2029"), min_size=1)))
def test_what_is_quoted_comes_back(words: list[str]) -> None:
    pairs = " ".join(f"k{n}='{word}'" for n, word in enumerate(words))
    env = apply((f"ENV {pairs}",), Config()).env if words else ()
    assert env == tuple(f"k{n}={word}" for n, word in enumerate(words))
