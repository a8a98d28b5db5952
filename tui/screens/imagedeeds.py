"""The keys that change images, or bring them here and away: each asks the engine, and shows its `docker` command."""

from __future__ import annotations

import asyncio
import os
import re
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar, cast

from textual import work
from textual.screen import Screen

from engine.model.errors import Conflict, EngineError
from tui import transfers
from tui.panes.images import ImagesPane
from tui.screens.bulk import Bulk
from tui.screens.deeds import Deeds
from tui.screens.dialogs import Ask, Choice, Confirm, Menu
from tui.view import docker, images
from tui.view.bulk import Item
from tui.view.figures import duration, size
from tui.view.images import Entry
from tui.view.scene import Notice

if TYPE_CHECKING:
    from tui.app import LongshoreApp

T = TypeVar("T")


class Tagged(NamedTuple):
    name: str
    image: str
    """The id of the image that it was given to."""
    before: str
    """The id of the one that had it; empty: none."""


class ImageDeeds(Screen[None]):
    """The half of the images' screen that acts."""

    longshore: LongshoreApp
    marks: frozenset[str]
    tagged: Tagged | None = None
    """What was tagged last from here, for undo."""

    @property
    def table(self) -> ImagesPane:
        raise NotImplementedError

    @property
    def entry(self) -> Entry | None:
        raise NotImplementedError

    @property
    def aimed(self) -> list[Entry]:
        """The marked entries; the selected one where none is marked."""
        raise NotImplementedError

    def select(self, key: str) -> None:
        raise NotImplementedError

    def follow(self, key: int) -> None:
        raise NotImplementedError

    def may_change(self) -> bool:
        """False, and the reason is said, with `--read-only`."""
        if self.longshore.read_only:
            self.longshore.say("this dashboard is read-only: it was started with --read-only", "warn")
        return not self.longshore.read_only

    def _ready(self) -> Entry | None:
        """The selected entry, where there is one that may be acted on; else the reason is said."""
        if not self.may_change():
            return None
        if self.entry is None:
            self.longshore.say("there is no image to act on; p pulls one, L loads one", "warn")
        return self.entry

    def _docker(self, *words: str) -> str:
        return docker.line(self.longshore.docker, *words)

    async def _do(self, command: str, work: Awaitable[T], said: Callable[[T], str] = lambda done: "") -> T | Conflict | None:
        """Await it, and say how it went; `said` tells what came of it. None or the conflict when it failed."""
        app, began = self.longshore, time.monotonic()
        app.notice = Notice(command=command, text="…", tone="dim")
        try:
            done = await work
        except (EngineError, OSError) as error:
            app.notice = Notice(command=command, text=f"✘ {error}", tone="bad")
            return error if isinstance(error, Conflict) else None
        took = duration((time.monotonic() - began) * 1000)
        app.notice = Notice(command=command, text=" · ".join(filter(None, [f"✔ {took}", said(done)])), tone="good")
        return done

    # To and from elsewhere

    @work
    async def action_pull(self) -> None:
        if not self.may_change():
            return

        def command(name: str) -> str:
            return self._docker("pull", name)

        hint = "busybox, nginx:1.27, registry.example:5000/team/app"
        dialog = Ask("Pull", "Image", "Pull", command, hint=hint, wrong=images.wrong_reference)
        if name := await self.longshore.push_screen_wait(dialog):
            self._begin("pull", images.with_tag(name), command(name), transfers.pull(self.longshore.engine, name))

    @work
    async def action_push(self) -> None:
        entry = self._ready()
        if entry is None:
            return
        if not entry.name or "@" in entry.name:
            self.longshore.say("cannot push it: it has no tag, and a registry goes by it; t gives it one", "warn")
            return
        command = self._docker("push", entry.name)
        question = f"Bring {entry.name} to the registry that its name says?"
        if await self.longshore.push_screen_wait(Confirm("Push", question, "Push", command)):
            self._begin("push", entry.name, command, transfers.push(self.longshore.engine, entry.name))

    @work
    async def action_load(self) -> None:
        if not self.may_change():
            return

        def command(path: str) -> str:
            return self._docker("load", "-i", path)

        dialog = Ask("Load", "File", "Load", command, hint="an archive: .tar, .tar.gz, .tar.zst", check=_readable)
        if answer := await self.longshore.push_screen_wait(dialog):
            path = _path(answer)
            self._begin("load", path.name, command(str(path)), transfers.load(self.longshore.engine, path))

    @work
    async def action_save(self) -> None:
        names = tuple(entry.target for entry in self.aimed)
        if not names:
            self.longshore.say("there is no image to save; p pulls one, L loads one", "warn")
            return

        def command(path: str) -> str:
            return self._docker("save", "-o", path, *names)

        first = re.sub(r"[^\w.-]+", "-", names[0].rpartition("/")[2])
        proposed = f"{first if len(names) == 1 else 'images'}.tar"
        dialog = Ask("Save", "File", "Save", command, proposed, "a file that does not exist yet", check=_writable)
        if answer := await self.longshore.push_screen_wait(dialog):
            path = _path(answer)
            what = names[0] if len(names) == 1 else f"{len(names)} images"
            self._begin("save", what, command(str(path)), transfers.save(self.longshore.engine, names, path))

    def _begin(self, verb: str, name: str, command: str, work: transfers.Work) -> None:
        app = self.longshore
        if any((moving.verb, moving.name) == (verb, name) for moving in app.transfers.running):
            app.say(f"{name} is on its way already", "warn")
            return
        if verb == "pull":
            self.select(name)
        self.follow(app.transfers.begin(verb, name, command, work))

    # Here

    @work
    async def action_new(self) -> None:
        entry, main = self._ready(), cast(Deeds, self.longshore.screen_stack[0])
        if entry:
            tags = entry.image.tags
            if await main.new(image=entry.name if entry.name in tags else next(iter(tags), entry.image.id)):
                self.dismiss()

    @work
    async def action_tag(self) -> None:
        entry = self._ready()
        if entry is None:
            return
        target, tags = entry.target, self._tags()

        def command(name: str) -> str:
            return self._docker("tag", target, name)

        def wrong(name: str) -> str:
            if "@" in name:
                return "a digest cannot be given: it is what the image has"
            if name and images.with_tag(name) in entry.image.tags:
                return "that is its name already"
            return images.wrong_reference(name)

        hint = "registry.example:5000/team/app:1.0"
        dialog = Ask("Tag", "Name", "Tag", command, "" if "@" in entry.name else entry.name, hint, wrong)
        if name := await self.longshore.push_screen_wait(dialog):
            moved = images.with_tag(name) in tags
            question = f"{images.with_tag(name)} is another image's name. That image loses it."
            if moved and not await self.longshore.push_screen_wait(Confirm("Tag", question, "Move the name", command(name))):
                return
            whole = images.with_tag(name)
            self.select(whole)
            self.tagged = Tagged(whole, entry.image.id, tags.get(whole, ""))
            await self._do(command(name), self.longshore.engine.image_tag(entry.name or entry.image.id, name))

    def _tags(self) -> dict[str, str]:
        """Whose each name is: the image's id."""
        return {tag: image.id for image in self.longshore.scene.world.images.values() for tag in image.tags}

    @work
    async def action_undo(self) -> None:
        """Take the last tag back: the name goes to the image that had it; where none had, it goes."""
        tagged, tags = self.tagged, self._tags()
        if not self.may_change():
            return
        if tagged is None or tags.get(tagged.name) != tagged.image:
            self.longshore.say("no image was tagged from here, or its name is another's by now", "warn")
        elif tagged.before:
            self.tagged = None
            command = self._docker("tag", tagged.before, tagged.name)
            await self._do(command, self.longshore.engine.image_tag(tagged.before, tagged.name))
        elif list(tags.values()).count(tagged.image) == 1:
            self.longshore.say(f"{tagged.name} is the image's only name: with it the image would go; d removes it", "warn")
        else:
            self.tagged = None
            await self._do(self._docker("rmi", tagged.name), self.longshore.engine.image_remove(tagged.name), _removed)

    @work
    async def action_remove(self) -> None:
        if self.marks:
            self._remove_marked()
            return
        entry = self._ready()
        if entry is None:
            return
        question = images.question(self.longshore.scene, entry, self.table.weights)
        command = self._docker("rmi", entry.target)
        if await self.longshore.push_screen_wait(Confirm("Remove", question, "Remove", command)):
            await self._remove(entry)

    async def _remove(self, entry: Entry) -> None:
        """As asked; by force, where that is what Docker's rules want, and it is asked for again."""
        app, name = self.longshore, entry.name or entry.image.id
        command = self._docker("rmi", entry.target)
        refused = await self._do(command, app.engine.image_remove(name), _removed)
        if not isinstance(refused, Conflict) or not images.must_be_forced(str(refused)):
            return
        command = self._docker("rmi", "-f", entry.target)
        question = f"{refused}.\n\nRemove it by force? Containers that were made from it keep their files."
        if await app.push_screen_wait(Confirm("Remove by force", question, "Remove by force", command)):
            await self._do(command, app.engine.image_remove(name, force=True), _removed)

    def _remove_marked(self) -> None:
        if not self.may_change():
            return
        app, rows = self.longshore, self.aimed
        items, freed = images.removal(rows, self.table.weights)
        names = {row.target: row.name or row.image.id for row in rows}

        async def act(item: Item) -> None:
            await app.engine.image_remove(names[item.name])

        command = self._docker("rmi", *names)
        app.push_screen(Bulk(app, f"Remove {len(items)} · frees {size(freed)}", "Remove", items, command, act))

    @work
    async def action_prune(self) -> None:
        if not self.may_change():
            return
        scene, weights = self.longshore.scene, self.table.weights
        choices = [Choice(None, "cancel", "remove nothing")]
        for value, text, about in (
            ("true", "dangling", "without a tag, and nothing needs them"),
            ("false", "all unused", "no container was made from them"),
        ):
            ids = images.prunable(scene, dangling=value == "true")
            choices.append(Choice(value, text, f"{len(ids)} {about}: frees {size(weights.freed(ids))}"))
        dangling = await self.longshore.push_screen_wait(Menu("Prune", "Which images may go?", choices))
        if dangling:
            command = self._docker("image", "prune", "-f", *([] if dangling == "true" else ["-a"]))
            await self._do(command, self.longshore.engine.images_prune(dangling=[dangling]), _pruned)

    def action_copy(self) -> None:
        app, entry = self.longshore, self.entry
        text = app.notice.command or (self._docker("image", "inspect", entry.target) if entry else self._docker("images"))
        app.copy_to_clipboard(text)
        app.notice = Notice(text="copied", tone="good", command=text)


def _removed(told: list[dict[str, str]]) -> str:
    gone = any("Deleted" in line for line in told)
    names = sum("@" not in line.get("Untagged", "@") for line in told)
    return f"{names} name{'s'[: names != 1]} gone" + (", and the image" if gone else "; the image stays")


def _pruned(told: dict[str, object]) -> str:
    return f"{size(float(cast(int, told.get('SpaceReclaimed') or 0)))} freed"


def _path(text: str) -> Path:
    return Path(text).expanduser().absolute()


async def _readable(text: str) -> str:
    """Why this file cannot be read; empty: it can."""
    return await asyncio.to_thread(_unreadable, _path(text))


def _unreadable(path: Path) -> str:
    try:
        if path.is_dir():
            return f"{path} is a directory; give an archive, as docker save writes it"
        if path.exists() and not path.is_file():
            return f"{path} is no file that could be read to its end"
        with path.open("rb"):
            return ""
    except OSError as error:
        return f"cannot read {path}: {error.strerror}"


async def _writable(text: str) -> str:
    """Why this file cannot be made; empty: it can."""
    return await asyncio.to_thread(_unwritable, _path(text))


def _unwritable(path: Path) -> str:
    if path.exists():
        return f"{path} exists already; give another name"
    if not path.parent.is_dir():
        return f"there is no directory {path.parent}"
    return "" if os.access(path.parent, os.W_OK) else f"cannot write in {path.parent}: permission denied"
