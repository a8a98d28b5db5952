import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.model.errors import Invalid
from engine.model.settings import Config, Healthcheck
from engine.spec.merge import command, merge

IMAGE = Config(
    user="app",
    working_dir="/srv",
    stop_signal="SIGINT",
    entrypoint=("/init",),
    cmd=("serve",),
    env=("PATH=/bin", "MODE=image"),
    labels={"a": "image", "b": "image"},
    exposed_ports={"80/tcp": {}},
    volumes={"/data": {}},
    healthcheck=Healthcheck(test=("CMD", "probe"), interval=5, retries=2),
)


def test_image_fills_what_the_user_left_out() -> None:
    merged = merge(Config(image="x", shell=("sh",)), IMAGE)
    assert merged == Config(
        image="x",
        shell=("sh",),
        user="app",
        working_dir="/srv",
        stop_signal="SIGINT",
        entrypoint=("/init",),
        cmd=("serve",),
        env=("PATH=/bin", "MODE=image"),
        labels={"a": "image", "b": "image"},
        exposed_ports={"80/tcp": {}},
        volumes={"/data": {}},
        healthcheck=IMAGE.healthcheck,
    )


def test_user_wins() -> None:
    user = Config(
        user="root",
        working_dir="/",
        stop_signal="9",
        env=("NEW=1", "MODE=user"),
        labels={"a": "user"},
        exposed_ports={"81/tcp": {}},
        healthcheck=Healthcheck(interval=7),
    )
    merged = merge(user, IMAGE)
    assert (merged.user, merged.working_dir, merged.stop_signal) == ("root", "/", "9")
    assert merged.env == ("NEW=1", "MODE=user", "PATH=/bin")
    assert merged.labels == {"a": "user", "b": "image"}
    assert merged.exposed_ports == {"80/tcp": {}, "81/tcp": {}}
    assert merged.healthcheck == Healthcheck(test=("CMD", "probe"), interval=7, retries=2)


def test_a_variable_unset_by_the_user_is_not_brought_back() -> None:
    assert merge(Config(env=("MODE",)), IMAGE).env == ("MODE", "PATH=/bin")


@pytest.mark.parametrize(
    ("user", "line"),
    [
        (Config(), ("/init", ("serve",))),
        (Config(cmd=("sh",)), ("/init", ("sh",))),
        (Config(cmd="sh"), ("/init", ("sh",))),
        (Config(entrypoint=("/own",), cmd=("x",)), ("/own", ("x",))),
        (Config(entrypoint="/own"), ("/own", ())),
        (Config(entrypoint=(), cmd=("x",)), ("x", ())),
        (Config(entrypoint=("",), cmd=("x", "y")), ("x", ("y",))),
    ],
)
def test_command(user: Config, line: tuple[str, tuple[str, ...]]) -> None:
    assert command(merge(user, IMAGE)) == line


@pytest.mark.parametrize(("user", "image"), [(Config(), Config()), (Config(entrypoint=("",)), IMAGE)])
def test_no_command(user: Config, image: Config) -> None:
    with pytest.raises(Invalid, match="no command"):
        command(merge(user, image))


ENTRIES = st.lists(st.from_regex(r"[A-C](=[xy]?)?", fullmatch=True), max_size=6).map(tuple)


@given(ENTRIES, ENTRIES)
def test_env_keeps_all_of_the_users_and_only_other_names_of_the_images(user: tuple[str, ...], image: tuple[str, ...]) -> None:
    merged = merge(Config(env=user), Config(env=image)).env or ()
    own = {entry[0] for entry in user}
    assert merged[: len(user)] == user
    assert merged[len(user) :] == tuple(entry for entry in image if entry[0] not in own)
