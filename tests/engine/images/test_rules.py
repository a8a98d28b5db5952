"""What goes with an image and what keeps it: Docker's rules, pure."""

import pytest
from msgspec.structs import replace

from engine.host import Forgotten
from engine.images.rules import Removal, names_of
from engine.images.upkeep import to_save
from engine.model.container import Container, State
from engine.model.errors import Conflict, Invalid, NotFound
from engine.model.image import Image, ImageLayer
from engine.model.status import Status
from tests.engine.spec.made import container

DIGEST = "@sha256:" + "d" * 64


def image(mark: str, *names: str, parent: str = "", layers: str = "") -> Image:
    """`mark`: the digit its id is made of. `layers`: a letter for each; layers of the same letters are the same."""
    return Image(
        id=f"sha256:{mark * 64}",
        parent=f"sha256:{parent * 64}" if parent else "",
        tags=tuple(name for name in names if "@" not in name),
        digests=tuple(name for name in names if "@" in name),
        layers=tuple(
            ImageLayer(diff_id=letter, chain_id=layers[: at + 1], cache_id=letter, size=10**at)
            for at, letter in enumerate(layers)
        ),
    )


def using(mark: str, status: Status = Status.EXITED) -> Container:
    return replace(container(), id="c" * 64, image=f"sha256:{mark * 64}", state=State(status=status))


def removal(*images: Image, of: tuple[Container, ...] = ()) -> Removal:
    return Removal({each.id: each for each in images}, of)


def gone(deciding: Removal, freed: str = "") -> list[str]:
    """What was told, an id by its first letter; `freed`: chain ids, with a space between."""
    told = deciding.told(freed.split())
    return [f"-{u}" if (u := line.get("Untagged")) else line["Deleted"].removeprefix("sha256:")[:12] for line in told]


def short(mark: str) -> str:
    return mark * 12


def test_by_name_the_image_goes_with_its_last_name() -> None:
    one = removal(image("1", "web:1", "web:2", layers="ab"), image("2", "api:1", layers="ac"))
    one.remove("web:1")
    assert gone(one) == ["-web:1"] and one.forgotten == Forgotten(["web:1"], ())
    one.remove("web:2")
    assert gone(one, "ab") == ["-web:1", "-web:2", short("1"), "ab"]
    assert [action for action, _ in one.events] == ["untag", "untag", "delete"]
    assert one.reclaimed(["ab"]) == 10 and one.reclaimed(["a", "ab"]) == 11
    with pytest.raises(NotFound):
        one.remove("web:2")


def test_digests_go_with_the_last_tag_of_their_repository() -> None:
    one = removal(image("1", "web:1", "web" + DIGEST, "api" + DIGEST))
    one.remove("web:1")
    assert gone(one) == ["-web:1", "-web" + DIGEST] and len(one.events) == 1, "dockerd tells no event of the digest"
    one.remove("api" + DIGEST)
    assert gone(one)[2:] == ["-api" + DIGEST, short("1")]


def test_by_id_all_names_of_one_repository_go() -> None:
    one = removal(image("1", "web:1", "web" + DIGEST))
    one.remove("1" * 5)
    assert gone(one) == ["-web:1", "-web" + DIGEST, short("1")]


@pytest.mark.parametrize("names", [("web:1", "web:2"), ("web:1", "api:1"), ("web:1", "api" + DIGEST)])
def test_by_id_several_names_must_be_forced(names: tuple[str, ...]) -> None:
    one = removal(image("1", *names))
    with pytest.raises(
        Conflict, match=rf"^conflict: unable to delete {short('1')} \(must be forced\) - image is referenced in mult"
    ):
        one.remove("sha256:111")
    assert one.forgotten == Forgotten([], ()), "what was refused has decided nothing"
    one.remove("sha256:111", force=True)
    assert set(gone(one)) == {*(f"-{name}" for name in names), short("1")}


@pytest.mark.parametrize("status", [Status.CREATED, Status.EXITED, Status.DEAD])
def test_a_stopped_container_is_a_reason_that_can_be_forced(status: Status) -> None:
    one = removal(image("1", "web:1"), of=(using("1", status),))
    with pytest.raises(
        Conflict, match=rf'^conflict: unable to remove repository reference "web:1" \(must force\) - container {short("c")} '
    ):
        one.remove("web:1")
    with pytest.raises(Conflict, match=rf"\(must be forced\) - image is being used by stopped container {short('c')}$"):
        one.remove("111")
    one.remove("web:1", force=True)
    assert gone(one) == ["-web:1", short("1")]


@pytest.mark.parametrize(
    ("status", "why"),
    [
        (Status.RUNNING, "running container cccccccccccc"),
        (Status.PAUSED, "running container cccccccccccc"),
        (Status.RESTARTING, "running container cccccccccccc"),
        (Status.CREATING, "container cccccccccccc, which is being created"),
    ],
)
def test_what_runs_or_is_being_made_keeps_its_image_though_not_its_names(status: Status, why: str) -> None:
    one = removal(image("1", "web:1", "web:2"), of=(using("1", status),))
    with pytest.raises(Conflict, match=rf"\(cannot be forced\) - image is being used by {why}$"):
        one.remove("111", force=True)
    one.remove("web:1")
    one.remove("web:2", force=True)
    assert gone(one) == ["-web:1", "-web:2"]


def test_parents_without_a_name_go_too_unless_asked_not_to() -> None:
    family = (image("1", layers="a"), image("2", parent="1", layers="ab"), image("3", "web:1", parent="2", layers="abc"))
    one = removal(*family)
    with pytest.raises(Conflict, match=r"\(cannot be forced\) - image has dependent child images"):
        one.remove("222", force=True)
    one.remove("web:1")
    assert gone(one, "a ab abc") == ["-web:1", short("3"), "abc", short("2"), "ab", short("1"), "a"]
    one = removal(*family)
    one.remove("web:1", prune=False)
    assert gone(one, "abc") == ["-web:1", short("3"), "abc"]
    for kept in ((image("4", "other:1", parent="2"), ()), (family[0], (using("2"),))):
        one = removal(*family, kept[0], of=kept[1])
        one.remove("web:1")
        assert gone(one) == ["-web:1", short("3")]
    named = removal(image("1", "base:1"), image("2", "web:1", parent="1"))
    named.remove("base:1")
    assert gone(named) == ["-base:1"], "by name it is quiet: the child keeps the image"


def test_a_name_wins_over_an_id_that_begins_so() -> None:
    one = removal(image("1", "aaa:latest", "web:1"), image("a", "web:2"))
    one.remove("aaa")
    assert gone(one) == ["-aaa:latest"]
    one.remove("aaa")
    assert gone(one)[1:] == ["-web:2", short("a")]


def test_prune_takes_what_nobody_uses() -> None:
    family = (image("1", "base:1", layers="a"), image("2", parent="1", layers="ab"), image("3", parent="2", layers="abc"))
    others = (
        image("4", "web:1", "web:2", layers="x"),
        image("5", layers="y"),
        image("6", "web" + DIGEST),
        image("7", layers="z"),
    )
    one = removal(*family, *others, of=(using("4"), using("5")))
    one.prune(lambda image: image.id[-1] != "7")
    assert set(gone(one, "abc ab")) == {short("3"), "abc", short("2"), "ab", "-web" + DIGEST, short("6")}
    assert one.reclaimed(["abc", "ab"]) == 110
    every = removal(*family, *others, of=(using("4"), using("5")))
    every.prune(lambda image: True, dangling=False)
    left = {each.id[-1] for each in (*family, *others)} - {id[-1] for id in every.forgotten.images}
    assert left == {"4", "5"} and "web:1" not in every.forgotten.names


def test_names_are_in_dockers_order() -> None:
    one = image("1", "web:1", "a/b:1", "localhost/x:1", "example.org/z:1", "web" + DIGEST)
    assert names_of(one) == ("a/b:1", "web:1", "web" + DIGEST, "example.org/z:1", "localhost/x:1")


def test_what_is_saved_under_which_name() -> None:
    one, two, three = image("1", "web:1", "api:1"), image("2", "web:2", "web" + DIGEST), image("3")
    images = {each.id: each for each in (one, two, three)}
    assert to_save(["web"], images) == {one.id: ("web:1",), two.id: ("web:2",)}
    assert to_save(["web:1", "api:1", "web:1"], images) == {one.id: ("web:1", "api:1")}
    assert to_save([two.id, "333", "web" + DIGEST], images) == {two.id: (), three.id: ()}
    with pytest.raises(NotFound, match="No such image: nope:latest"):
        to_save(["web", "nope"], images)
    with pytest.raises(Invalid, match="no image is named"):
        to_save([], images)
