"""Why is a container in its state? A few sentences, from its row and its record and nothing else.

Exit codes: 126, 127 and 128+n are the shell's convention (bash(1), EXIT STATUS; POSIX, Shell Command Language 2.8.2), 125 is
`docker run`'s. Signals: signal(7).
"""

from __future__ import annotations

import re
import signal
from datetime import datetime

from engine.model.container import Container, Probe
from engine.model.run import Way
from engine.model.status import Status
from engine.model.world import ContainerRow
from tui.view.containers import alarms
from tui.view.figures import duration
from tui.view.text import clean

Sentences = tuple[str, ...]

_CAUSES = {
    signal.SIGHUP: "its terminal went away, or it was told to read its settings again",
    signal.SIGINT: "as Ctrl-C does",
    signal.SIGQUIT: "as Ctrl-\\ does",
    signal.SIGILL: "it ran an instruction that this processor does not have: was it built for another one?",
    signal.SIGTRAP: "a debugger's breakpoint",
    signal.SIGABRT: "the program gave up on itself: a failed assertion, or memory found damaged",
    signal.SIGBUS: "it read or wrote where a file or memory has no such place",
    signal.SIGFPE: "a division by zero, or the like",
    signal.SIGSEGV: "it touched memory that is not its own: an error in the program",
    signal.SIGPIPE: "it wrote to somebody who no longer reads",
    signal.SIGALRM: "a timer of its own ran out",
    signal.SIGTERM: "somebody asked it to end",
    signal.SIGXCPU: "its limit of CPU time was reached",
    signal.SIGXFSZ: "its limit of file size was reached",
    signal.SIGSYS: "it made a system call that is not allowed to it: the seccomp profile",
}

_CODES = {
    0: "that means success: it had done what it came for",
    1: "that is a program's general word for an error; its last log lines usually say more",
    2: "most programs say so of options they do not understand, and a shell of a script it cannot read",
    125: "as `docker run` uses it, the engine could not run the container; here the program itself chose it",
    126: "its command was found but cannot be executed: no permission, a directory, or built for another system",
    127: "its command was not found in the image: a typing error, or a path that is not there",
    128: "the runtime could not start it, or it ended on a nonsense exit code",
    255: "that is -1: the program failed without saying how, or nobody saw it end",
}


def explain(row: ContainerRow, c: Container) -> Sentences:
    """What one should know, the most important first."""
    return tuple(sentence for part in (_now(row), _status(row, c), _policy(row, c)) for sentence in part)


def _now(row: ContainerRow) -> Sentences:
    """What goes before everything else: somebody is at work on it, or something of it is gone."""
    if row.lesson:
        yet = f"step {min(row.at + 1, row.of)} of {row.of}"
        return (f"It is being walked through {row.verb} step by step, at {yet}, and locked to others; t goes on with it.",)
    said: Sentences = ()
    if row.verb:
        said = (f"A {row.verb} is on its way: step {min(row.at + 1, row.of)} of {row.of}, {row.step}.",)
    if row.missing:
        said += (f"Deleted behind the engine's back: {alarms(row)}. A restart makes it anew.",)
    return said


def _status(row: ContainerRow, c: Container) -> Sentences:
    match row.status:
        case Status.RUNNING | Status.PAUSED:
            return (*_alive(row), *_memory(row, c), *_health(row, c))
        case Status.EXITED:
            return (_ended(row, c), *_memory(row, c), *_error(row))
        case Status.RESTARTING:
            return (_ended(row, c), *_memory(row, c), *_error(row), _next(row, c))
        case Status.CREATED:
            return _created(row)
        case Status.DEAD:
            return _dead(row, c)
        case Status.REMOVING:
            return ("Its removal has begun and has not come to its end; d goes on with it.",)
        case Status.CREATING:
            return ("It is being made.",)


# Alive


def _alive(row: ContainerRow) -> Sentences:
    since = f" since {when(row.started_at)}" if row.started_at else ""
    freezer, paused = row.freezer, row.status is Status.PAUSED
    kernel = freezer.kernel if freezer else ""
    if freezer and kernel == "freezing":
        return (
            "It was asked to freeze, and the kernel is not done: a process of it is inside a system call that it cannot leave,"
            " most often waiting for a disk or a network file system (see the tab Processes). It freezes when that ends.",
        )
    if freezer and kernel == "frozen" and freezer.parent_frozen and not freezer.self_frozen:
        return ("Its processes stand still because a cgroup above its own is frozen; thawing that one lets it go on.",)
    if kernel == "frozen" and not paused:
        return (
            "Its processes stand still, and not because of us: somebody froze its cgroup from outside."
            " Thaw it there, or freeze it here and thaw it again with p.",
        )
    if paused and kernel == "thawed":
        return ("It was paused here, but the kernel says thawed: somebody thawed its cgroup from outside, and it runs.",)
    if paused:
        took = f", which took {duration(freezer.ms)}" if freezer and freezer.ms else ""
        return (f"It was paused from here: the cgroup freezer holds its processes{took}; p thaws it.",)
    return (f"It runs{since}: its process, {row.pid} on the host, has not ended.",)


def _memory(row: ContainerRow, c: Container) -> Sentences:
    if not row.oom or (row.exit_code == 137 and not row.status.alive):
        return ()
    return (f"The kernel killed a process of it for want of memory{_limit(c)}, though not its first one.",)


def _limit(c: Container) -> str:
    limit = c.host_config.memory
    return f": its limit is {limit / (1 << 20):.0f} MB" if limit else ""


def _health(row: ContainerRow, c: Container) -> Sentences:
    if not row.health or row.status is Status.PAUSED:
        return ()
    due = f" The next probe is at {when(row.probe_due)}." if row.probe_due else ""
    log = c.state.health.log if c.state.health else ()
    failed = next((probe for probe in reversed(log) if probe.exit_code), None)
    if row.health == "healthy":
        return (f"Its health check succeeds.{due}",)
    if row.health == "starting":
        if failed is None:
            return (f"No probe of its health check has ended yet.{due}",)
        return (f"Its health check has not succeeded yet; {_probe(failed)}.{due}",)
    times = f"{row.streak} times in a row" if row.streak > 1 else "the last time"
    why = f": {_probe(failed)}" if failed else ""
    return (f"It is unhealthy because its health check failed {times}{why}.{due}",)


def _probe(probe: Probe) -> str:
    last = next((clean(text).strip() for text in reversed(probe.output.splitlines()) if text.strip()), "")
    how = f"it ended with {probe.exit_code}" if probe.exit_code >= 0 else "it did not come to an end"
    return f"{how} and said “{last}”" if last else f"{how} and said nothing"


# Not alive


def _ended(row: ContainerRow, c: Container) -> str:
    at = f" at {when(row.finished_at)}" if row.finished_at else ""
    means = meaning(row.exit_code, c.signalled, oom=row.oom)
    return f"Its process ended{at} with exit code {row.exit_code}: {means}.{_oom(row, c)}"


def _oom(row: ContainerRow, c: Container) -> str:
    return f" The kernel killed it for want of memory{_limit(c)}." if row.oom and row.exit_code == 137 else ""


def meaning(code: int, sent: tuple[int, ...] = (), *, oom: bool = False) -> str:
    """What an exit code says, without a full stop. `sent`: the signals it was sent from here before."""
    if code == 0 and sent:
        return f"it was sent {names(sent)} from here, and ended in good order"
    if code in _CODES:
        return _CODES[code]
    if 128 < code <= 128 + signal.NSIG:
        return _by_signal(code - 128, sent, oom=oom)
    return "what that means only the program knows; its log or its documentation may say"


def _by_signal(number: int, sent: tuple[int, ...], *, oom: bool) -> str:
    name = signal_name(number)
    if number == signal.SIGKILL:
        if oom:
            return f"128+9, {name}"
        if number in sent and len(set(sent)) > 1:
            first = names(tuple(n for n in sent if n != number))
            return f"128+9, {name}, sent from here because it had not ended on {first} within its grace time"
        if number in sent:
            return f"128+9, {name}, sent from here; no program can refuse it"
        return f"128+9, {name}, not sent from here: somebody on this host killed it, or the host itself was out of memory"
    if number in sent:
        return f"128+{number}, {name}, sent from here"
    cause = _CAUSES.get(signal.Signals(number), "") if number in set(signal.Signals) else ""
    return f"128+{number}, {name}{': ' if cause else ''}{cause}"


def signal_name(number: int) -> str:
    if number in set(signal.Signals):
        return signal.Signals(number).name
    low = int(signal.SIGRTMIN)
    return f"SIGRTMIN+{number - low}" if number > low else f"signal {number}"


def names(numbers: tuple[int, ...]) -> str:
    return ", ".join(dict.fromkeys(signal_name(n) for n in numbers))


def _error(row: ContainerRow) -> Sentences:
    return (f"The engine says of it: {sentence(row.error)}",) if row.error else ()


def _created(row: ContainerRow) -> Sentences:
    if not row.error:
        return ("It was made and never started: directories and a record, no process; s starts it.",)
    code = f" Exit code {row.exit_code}: {meaning(row.exit_code)}." if row.exit_code else ""
    return (f"It was made, and could not be started: {sentence(row.error)}{code}",)


def _dead(row: ContainerRow, c: Container) -> Sentences:
    if c.run and c.run.way is Way.BROKEN:
        why = f": {c.run.error}" if c.run.error else ""
        reason = f"Its last operation, {c.run.verb}, could go neither forward nor back{why}"
        return (sentence(reason), "It is tried again at the engine's next start, or d removes it.")
    return (sentence(f"It is dead: {row.error or 'its removal did not come to its end'}"), "d removes what is left of it.")


# What comes


def _next(row: ContainerRow, c: Container) -> str:
    most = c.host_config.restart_policy.maximum_retry_count
    number = f"{row.restarts + 1} of {most}" if most else f"{row.restarts + 1}"
    at = f" at {when(row.restart_at)}" if row.restart_at else ""
    waits = f", after waiting {duration(c.backoff * 1000)}; the wait doubles up to a minute" if c.backoff else ""
    return f"Its policy {row.policy} starts it again{at}, restart {number}{waits}."


def _policy(row: ContainerRow, c: Container) -> Sentences:
    """Why it was started again, or was not."""
    if row.status.alive:
        times = "once" if row.restarts == 1 else f"{row.restarts} times"
        return (f"Its policy {row.policy} has started it again {times} since somebody last did.",) if row.restarts else ()
    if row.status is not Status.EXITED:
        return ()
    policy = c.host_config.restart_policy
    if policy.name in ("", "no"):
        return ("It has no restart policy, so it stays down until somebody starts it.",)
    if c.has_been_manually_stopped:
        return (f"Its policy {row.policy} leaves it alone, because somebody stopped it by hand.",)
    if policy.name == "on-failure" and row.exit_code == 0:
        return (f"Its policy {row.policy} starts it again only after a failure.",)
    if policy.maximum_retry_count and row.restarts >= policy.maximum_retry_count:
        return (f"Its policy {row.policy} has given up after {row.restarts} restarts.",)
    return ()


def when(moment: datetime | None) -> str:
    """The time of day, with the date where it is not today's."""
    if moment is None:
        return "-"
    local = moment.astimezone()
    return f"{local:%H:%M:%S}" if local.date() == datetime.now().astimezone().date() else f"{local:%Y-%m-%d %H:%M}"


def sentence(text: str) -> str:
    text = re.sub(r"\s+", " ", clean(text)).strip()
    return text if text.endswith((".", "!", "?")) else text + "."
