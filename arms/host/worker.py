"""The worker process: a Faust app with one service, its timers and its health view."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import chain
from typing import Any, Final

import faust
from faust.app.base import BootStrategy
from faust.web import Request, Response, View

from arms import topics
from arms.arm import Arm, Fail
from arms.host.desk import Desk
from arms.host.earlier import EarlierRuns
from arms.host.guard import Guard
from arms.host.holding import Holding
from arms.host.intake import Intake, make_topics
from arms.host.outbox import Outbox
from arms.host.places import Places
from arms.host.settings import HostSettings
from arms.host.signs import Signs
from arms.host.warm import warm
from arms.model import Model
from arms.outcome import Outcomes
from octolog.domain.arm import ArmHealthChanged, ArmHeartbeat, ArmRegistered, Health
from octolog.domain.assignment import AttemptAssignment, AttemptRevoked
from octolog.domain.errors import BrokerUnavailable, ContractError, SettingsError
from octolog.domain.ids import ArmId
from octolog.domain.security import Security
from octolog.ports import BlobStore, Publisher
from octolog.safety.tokens import is_void
from schemas.codec import Codec

__all__ = ["serve"]

_log: Final = logging.getLogger(__name__)
_TICK_S: Final = 0.05
_COMMIT_S: Final = 0.2
_ALIVE_S: Final = 10.0
_FLUSH_S: Final = 1.0


class _Boot(BootStrategy):
    """Faust without its own consumer and producer: sensors and the web view."""

    def server(self) -> Iterable[Any]:
        return chain(self.sensors(), self.web_server())


class _App(faust.App):
    BootStrategy = _Boot

    async def _wait_for_table_recovery_completed(self) -> bool:
        """There are no tables, and so nobody who would say that they are recovered."""
        return False

    def _create_directories(self) -> None:
        """There are no tables: a folder for them would only be left behind by a host that is killed."""


class _Worker(faust.Worker):
    """Faust's worker, quiet and quick to leave: logging is the process's own business, and so is stdout."""

    def _setup_logging(self) -> None:
        """Leave logging alone."""

    def _shutdown_loop(self) -> None:
        """Close the loop without Faust's two seconds of waiting: the service has ended what it began."""
        pending = asyncio.all_tasks(self.loop)
        for task in pending:
            task.cancel()
        self.loop.run_until_complete(asyncio.gather(*pending, return_exceptions=True))
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.close()
        if self.crash_reason:
            raise self.crash_reason


def serve(
    settings: HostSettings,
    arms: Sequence[Arm],
    publisher: Publisher,
    codec: Codec,
    model: Model | None,
    blobs: BlobStore | None = None,
    on_registered: Callable[[], None] | None = None,
) -> None:
    """Host arms until a signal; see `arms.host.run_host`."""
    if model is None:
        arms = _without_model(arms)
    ids = [arm.arm_id for arm in arms]
    if not ids or len(set(ids)) != len(ids):
        raise SettingsError(f"arms to host: {', '.join(ids) or 'none'}; name at least one, each once")
    # Mode warns when a timer is late; on a busy machine that is every second, and nobody can act on it.
    logging.getLogger("mode.timers").setLevel(logging.ERROR)
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    app = _App(
        settings.group_id,
        broker=[f"kafka://{server}" for server in settings.bootstrap_servers.split(",")],
        loop=loop,
        autodiscover=False,
        web_enabled=settings.web_port is not None,
        web_host="127.0.0.1",
        web_bind="127.0.0.1",
        web_port=settings.web_port or 6066,
        worker_redirect_stdouts=False,
    )
    host = _Host(settings, arms, publisher, codec, model, blobs, loop=loop, beacon=app.beacon)
    host.on_registered = on_registered
    app.service(host)  # type: ignore[arg-type]  # Faust takes instances too
    _add_health_view(app, host)
    worker = _Worker(app, loop=loop, quiet=True, redirect_stdouts=False)
    worker.spinner = None
    try:
        worker.execute_from_commandline()
    except SystemExit as end:
        if end.code:
            raise
    if host.failure is not None:
        raise host.failure


def _without_model(arms: Sequence[Arm]) -> list[Arm]:
    """The arms that can do something without a model.

    Raises:
        SettingsError: There is none.
    """
    for arm in arms:
        if arm.needs_model:
            _log.warning(
                "arm %s is not hosted: it needs a model; set OCTOLOG_LLM_BASE_URL and OCTOLOG_LLM_MODEL",
                arm.arm_id,
            )
    able = [arm for arm in arms if not arm.needs_model]
    if arms and not able:
        raise SettingsError(
            "no arm to host does anything without a model; set OCTOLOG_LLM_BASE_URL and OCTOLOG_LLM_MODEL"
        )
    return able


class _Host(faust.Service):
    """Joins the pieces: intake to desks, desks to signs and outbox."""

    def __init__(
        self,
        settings: HostSettings,
        arms: Sequence[Arm],
        publisher: Publisher,
        codec: Codec,
        model: Model | None,
        blobs: BlobStore | None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.failure: BrokerUnavailable | None = None
        self.on_registered: Callable[[], None] | None = None
        self._settings, self._arms, self._model, self._blobs = settings, arms, model, blobs
        self._publisher, self._codec = publisher, codec
        self._desks: dict[str, Desk] = {}
        self._pool = ThreadPoolExecutor(settings.threads, thread_name_prefix="arm")
        self._outbox = Outbox(publisher, codec, self.loop)
        self._signs = Signs(
            self._outbox, settings.instance_id, settings.grace_ms / 1000, settings.session_timeout_ms / 2000
        )
        self._earlier = EarlierRuns(settings, codec)
        self._guard = Guard(settings, codec, self._on_tokens_revoked)
        self._holding = Holding(settings, codec, self._signs, lambda: self._intake)
        self._intake: Intake | None = None

    def status(self) -> dict[str, Any]:
        """What the health view says."""
        desks: dict[str, dict[str, Any]] = {
            arm_id: {"held": len(desk.held), "running": desk.running} for arm_id, desk in self._desks.items()
        }
        for arm in self._arms:
            if arm.companion is not None and arm.arm_id in desks:
                desks[arm.arm_id] |= arm.companion.status()
        return {
            "arms": desks,
            "instance_id": self._settings.instance_id,
            "reports_waiting": self._outbox.waiting,
        }

    async def on_start(self) -> None:
        for arm in self._arms:
            self._desks[arm.arm_id] = Desk(
                arm,
                self._outbox,
                self._pool,
                self._model,
                self._signs.began,
                self._earlier,
                Outcomes(arm, self._settings.pii, self._blobs),
                guard=self._guard,
                holding=self._holding,
            )
        names = [f"{topics.ASSIGNMENTS_PREFIX}{arm_id}" for arm_id in self._desks]
        await make_topics(self._settings, names)
        await asyncio.to_thread(warm, self._codec, self._arms[0])
        self._intake = Intake(self._settings, names, self._on_revoked)
        await self._intake.start()
        for arm in self._arms:
            self._say(arm.arm_id, ArmRegistered(arm.capability, self._settings.instance_id), "registered")
            if arm.companion is not None:
                await arm.companion.start(partial(self._on_health, arm.arm_id))
        if self.on_registered is not None:
            self.on_registered()

    async def on_stop(self) -> None:
        tasks = [task for desk in self._desks.values() for task in desk.close()]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=self._settings.stop_s)
            for task in late:
                task.cancel()
            await asyncio.sleep(0)
        for arm in self._arms:
            if arm.companion is not None:
                await arm.companion.stop()
        for arm_id, desk in self._desks.items():
            gone = ArmHealthChanged(
                desk.arm.arm_id, Health.UNAVAILABLE, Health.HEALTHY, "its host was stopped"
            )
            self._say(arm_id, gone, "stopped")
        await self._drain()
        if self._intake is not None:
            await self._intake.stop()
        await self._guard.stop()
        self._pool.shutdown(wait=False, cancel_futures=True)

    @faust.Service.task
    async def _read(self) -> None:
        while not self.should_stop:
            full = sum(len(desk.held) for desk in self._desks.values()) >= self._settings.max_held
            if self._intake is None:
                return
            for places, records in await self._intake.read(full=full):
                for record in records:
                    self._take(places, record)
            # After the whole batch, or backlog: revocations come before the start, and priorities are compared.
            if full or await self._intake.caught_up():
                for desk in self._desks.values():
                    desk.dispatch()

    @faust.Service.timer(_TICK_S)
    async def _tick(self) -> None:
        self._signs.tick()

    @faust.Service.timer(_COMMIT_S)
    async def _commit(self) -> None:
        if self._intake is not None:
            await self._intake.commit()

    @faust.Service.timer(_ALIVE_S)
    async def _alive(self) -> None:
        for arm_id, desk in self._desks.items():
            if desk.arm.companion is not None and not desk.arm.companion.alive:
                continue
            report = ArmHeartbeat(desk.arm.arm_id, self._settings.instance_id, desk.running, len(desk.held))
            self._say(arm_id, report, f"alive:{id(report)}")

    def _take(self, places: Places, record: Any) -> None:
        try:
            command = self._codec.decode(record.value)
        except ContractError as error:
            # Only the task processor writes here; it put what it could not use into dead-letters itself.
            _log.error("%s %s@%s: %s", record.topic, record.partition, record.offset, error)
            places.finish(record.offset)
            return
        desk = self._desks.get(getattr(command, "arm_id", ""))
        if desk is not None and isinstance(command, AttemptAssignment):
            held = desk.take(command, (places, record.offset), _trace(record.headers))
            if held is not None:
                self._signs.hold(held)
            return
        if desk is not None and isinstance(command, AttemptRevoked):
            desk.revoke(command)
        places.finish(record.offset)

    def _on_revoked(self, gone: list[Places]) -> None:
        for desk in self._desks.values():
            desk.forget(gone)

    def _on_tokens_revoked(self, security: Security) -> None:
        for desk in self._desks.values():
            for held in list(desk.held.values()):
                if self._guard.concerns(held.assignment) and is_void(held.assignment, security):
                    desk.refuse(held, Fail("the token was revoked", "CAPABILITY_REVOKED"))

    def _on_health(self, arm_id: ArmId, health: Health, before: Health, reason: str) -> None:
        event = ArmHealthChanged(arm_id, health, before, self._desks[arm_id].sayable(reason))
        self._say(arm_id, event, f"health:{id(event)}")

    def _say(self, arm_id: str, event: Any, what: str) -> None:
        event_id = f"{arm_id}:{self._settings.instance_id}:{what}"
        self._outbox.send(topics.ARMS, arm_id, event, event_id=event_id, source=arm_id)

    async def _drain(self) -> None:
        deadline = self.loop.time() + _FLUSH_S
        while self._outbox.waiting and self.loop.time() < deadline:  # noqa: ASYNC110 -- bounded, at the end only
            await asyncio.sleep(0.01)


def _trace(headers: Iterable[tuple[str, bytes]]) -> str | None:
    return next((value.decode("ascii", "replace") for name, value in headers if name == "traceparent"), None)


def _add_health_view(app: Any, host: _Host) -> None:
    @app.page("/health/")  # type: ignore[untyped-decorator]
    async def health(view: View, _request: Request) -> Response:
        return view.json(host.status())

    _ = health
