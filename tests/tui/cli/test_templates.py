"""Templates after `--format`: what is typed is what is filled in, and whatever else is typed is refused in a sentence."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.errors import Invalid
from tui.cli.rows import binary, decimal
from tui.cli.templates import Field, Template, parse

ONE = {
    "Id": "7" * 64,
    "Name": "/web",
    "State": {"Running": True, "Pid": 12, "Health": None},
    "Config": {"Cmd": ["sh", "-c", "x"], "Labels": {"a": "b"}, "Env": None},
    "Odd": "a\x1b[31mb",
}

names = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,8}", fullmatch=True)
fields = st.builds(Field, st.lists(names, min_size=1, max_size=3).map(tuple), st.booleans())
texts = st.text("ab .:/-}ü\t\n", min_size=1).filter(lambda text: "}}" not in text)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=4,
)


@given(st.lists(fields | texts), st.booleans())
def test_what_is_written_is_read(pieces: list[Field | str], spaced: bool) -> None:
    def typed(piece: Field | str) -> str:
        if isinstance(piece, str):
            return piece
        inside = f"json {piece}" if piece.as_json else str(piece)
        return f"{{{{ {inside} }}}}" if spaced else f"{{{{{inside}}}}}"

    whole = "".join(map(typed, pieces))
    read = parse(f"table {whole}" if spaced else f"x{whole}")
    assert read.table is spaced
    assert "".join(map(typed, read.pieces)) == (whole if spaced else f"x{whole}")


@given(st.text() | st.text("{}.jsontable \\-aA\t"), values)
def test_anything_else_is_refused_in_a_sentence(text: str, value: Any) -> None:
    try:
        filled = parse(text).fill(value)
    except Invalid as error:
        assert str(error).isprintable() or not text.isprintable()
    else:
        assert "{{" not in text or filled != text


@given(fields, values)
def test_a_field_is_as_json_has_it_or_there_is_none(field: Field, value: Any) -> None:
    nested: Any = value
    for name in reversed(field.path):
        nested = {name: nested}
    assert json.loads(Template((Field(field.path, True),)).fill(nested)) == value
    with pytest.raises(Invalid, match="no field"):
        Template((Field((*field.path, "Nope"), False),)).fill({field.path[0]: 1})


@pytest.mark.parametrize(
    ("text", "filled"),
    [
        ("{{.Name}}", "/web"),
        (r"{{.Name}}\t{{ .State.Running }}\n", "/web\ttrue\n"),
        ("{{.ID}}", "7" * 64),
        ("{{json .State}}", '{"Running":true,"Pid":12,"Health":null}'),
        ("{{.Config.Cmd}} {{.State.Pid}} {{.State.Health}}", "[sh -c x] 12 <nil>"),
        ("{{json .Config.Labels.a}}}}", '"b"}}'),
        ("{{.Odd}}", "ab"),
        ("no field", "no field"),
    ],
)
def test_a_line(text: str, filled: str) -> None:
    assert parse(text).fill(ONE) == filled
    assert json.loads(parse("{{json .}}").fill(ONE)) == ONE


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{{.Name", "without }}"),
        ("{{}}", "{{}} is not known here"),
        ("{{range .Mounts}}{{.Name}}{{end}}", "{{range .Mounts}} is not known here; take {{.FIELD}}"),
        ('{{index .Config.Labels "a"}}', "is not known here"),
        ("{{.Nope}}", "there is no field .Nope; . has Config, Id, Name, Odd, State"),
        ("{{.State.Pid.x}}", "there is no field .State.Pid.x: .State.Pid has no fields"),
        ("{{.State}}", ".State has fields of its own; take one of them, or {{json .State}}"),
        ("{{.}}", "has fields of its own"),
    ],
)
def test_what_is_not_known(text: str, said: str) -> None:
    with pytest.raises(Invalid) as refused:
        parse(text).fill(ONE)
    assert said in str(refused.value)


def test_a_table() -> None:
    read = parse(r"table {{.Name}}:{{.ID}}\t{{json .Name}}")
    rows = [{"Name": "a\tb", "ID": "1"}]
    assert list(read.cells(rows, {"Name": "NAME", "ID": "THE ID"})) == [["NAME:THE ID", "NAME"], ["a       b:1", '"a\\tb"']]
    assert read.wants("ID") and not read.wants("Size") and parse("{{json .}}").wants("Size")
    with pytest.raises(Invalid, match=r"no field \.ID in this list; take of Name"):
        read.check({"Name": ""})


@pytest.mark.parametrize(
    ("bytes", "told"), [(0, "0B"), (999, "999B"), (1000, "1kB"), (1_983_456, "1.983MB"), (10**18, "1000PB")]
)
def test_bytes_as_docker_writes_them(bytes: int, told: str) -> None:
    assert decimal(bytes, 4) == told
    assert binary(1 << 20) == "1MiB" and binary(319_488) == "312KiB" and decimal(1_983_456, 3) == "1.98MB"
