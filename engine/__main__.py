"""longshored: read the configuration, build the real host, recover, serve. The only place where all parts meet."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path

import psutil

from engine import __version__
from engine.api.server import serving, vacant
from engine.config import Config, parse
from engine.core import Engine
from engine.defaults import Defaults
from engine.doctor import doctor
from engine.host import Facts, Host
from engine.host.priority import go_first
from engine.host.real import RealHost
from engine.host.systemd import journal, notify
from engine.host.threads import short
from engine.model.errors import EngineError, HostFailed
from engine.model.frames import EngineChanged
from engine.model.settings import LogConfig
from engine.model.world import EngineRow
from engine.monitor.exits import Exits
from engine.monitor.health import Health
from engine.monitor.restarts import Restarts
from engine.monitor.samples import Samples
from engine.networks import POOLS, Networks
from engine.recovery import Recovery, end_all, start_up
from engine.sessions.execs import Execs
from engine.unit import unit

log = logging.getLogger("longshored")


def main(argv: Sequence[str] | None = None) -> None:
    try:
        match list(sys.argv[1:] if argv is None else argv):
            case ["doctor", *options]:
                sys.exit(asyncio.run(doctor(parse(options))))
            case ["unit", *options]:
                print(unit(parse(options), options), end="")
            case options:
                serve(parse(options))
    except EngineError as error:
        print(f"longshored: {error}", file=sys.stderr)
        sys.exit(1)
    except OSError as error:
        print(f"longshored: cannot go on: {error}", file=sys.stderr)
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)


def serve(config: Config) -> None:
    """Be the engine until somebody ends it."""
    level = {"warn": "WARNING", "fatal": "CRITICAL"}.get(config.log_level, config.log_level.upper())
    date = "" if journal() else "%(asctime)s "
    logging.basicConfig(level=level, format=f"{date}%(levelname)s %(message)s", stream=sys.stderr)
    for chatty in ("pyroute2", "asyncio", "grpc", "aiohttp"):
        logging.getLogger(chatty).setLevel(logging.WARNING)
    asyncio.run(run(config))


async def run(config: Config) -> None:
    """Serve until SIGTERM or SIGINT (containers run on) or until a client asks to shut down."""
    go_first()
    loop = asyncio.get_running_loop()
    asked: asyncio.Future[bool] = loop.create_future()

    def ask(containers: bool) -> None:
        if not asked.done():
            asked.set_result(containers)

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, ask, False)
    machine = RealHost(
        Facts(
            root=config.data_root,
            exec_root=config.exec_root,
            cgroup_parent=config.parent,
            systemd_cgroup=config.systemd_cgroup,
            bridge=config.bridge,
        ),
        config.containerd,
        config.places,
    )
    _raise_limits()
    all_goes = False
    try:
        await machine.hold()
        for path in config.sockets:
            await short(vacant, path, config.group)
        host = await machine.open()
        networks = Networks(host, config.pools or POOLS, config.bip, config.mtu)
        try:
            all_goes = await _serve(config, host, networks, ask, asked)
        except (EngineError, OSError):
            all_goes = not await host.tasks.all()  # nothing runs on what we have made
            raise
        finally:
            if all_goes:
                await networks.close()
                await host.cgroups.drop_parent()
    finally:
        await machine.close(all=all_goes)


async def _serve(
    config: Config, host: Host, networks: Networks, ask: Callable[[bool], None], asked: asyncio.Future[bool]
) -> bool:
    """From recovery to the end that was asked for. True: no container is left, and all that we have made may go."""
    await networks.open()
    defaults = Defaults(
        log=LogConfig(type=config.log_driver, config=config.log_opts),
        live_restore=config.live_restore,
        shutdown_timeout=config.shutdown_timeout,
    )
    engine = Engine(host, networks, defaults)
    engine.on_shutdown = ask
    async with AsyncExitStack() as stack:
        execs = Execs(engine)
        stack.push_async_callback(execs.close)
        await _bring_up(engine, execs, stack)
        stack.enter_context(_pidfile(config.pid_path))
        await stack.enter_async_context(serving(engine, execs, config.sockets, config.group))
        log.info("longshored %s serves %s", __version__, ", ".join(config.sockets))
        # What is there now stays: looking through all of it for garbage would keep everybody waiting for 30 ms, time and again.
        gc.freeze()
        notify("READY=1")
        all_goes = await asked
        notify("STOPPING=1")
        if all_goes or not config.live_restore:
            await end_all(engine, patient=all_goes)
    await engine.close()
    return all_goes


def _raise_limits() -> None:
    """As many open files as we may have: each container keeps six of them open for its output."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


async def _bring_up(engine: Engine, execs: Execs, stack: AsyncExitStack) -> None:
    """Recover, then let the monitors begin. They end before the engine does."""
    host = engine.host
    row = EngineRow(
        version=__version__,
        containerd=host.facts.containerd_version,
        cgroup=f"v{host.facts.cgroup_version}",
        cpus=host.facts.cpus,
        memory=psutil.virtual_memory().total,
    )
    engine.hub.publish(EngineChanged(engine=row))
    exits, restarts, health, samples = Exits(engine), Restarts(engine), Health(engine, execs), Samples(engine)
    recovery = Recovery(engine)
    await recovery.open()
    await execs.recover()
    await _first_image(engine, host)
    for monitor in (recovery, exits, restarts, health, samples):
        stack.push_async_callback(monitor.close)
    for monitor in (restarts, health, samples):
        monitor.open()
    start_up(engine)


async def _first_image(engine: Engine, host: Host) -> None:
    """The first container needs no network: an image from the host's own busybox."""
    if not await host.images.load_all():
        try:
            await host.images.make_busybox()
        except EngineError as error:
            log.warning("there is no first image: %s", error)
    await engine.refresh_images()


@contextmanager
def _pidfile(path: str) -> Iterator[None]:
    pidfile = Path(path)
    try:
        pidfile.write_text(f"{os.getpid()}\n")
    except OSError as error:
        raise HostFailed(f"cannot write the pidfile {path}: {error.strerror}", "give another --pidfile") from error
    yield
    pidfile.unlink(missing_ok=True)


if __name__ == "__main__":
    main()
