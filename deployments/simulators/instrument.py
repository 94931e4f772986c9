"""A simulated laboratory analyser: the documented HTTP interface, with faults that can be switched on.

    with SimulatedInstrument(honours_keys=False) as instrument:
        instrument.faults.set("wrong_patient", times=1)
        ...
        assert instrument.journal.count("queued") == 1

`python -m deployments.simulators.instrument --help` serves many of them from one process.
"""

import secrets
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from deployments.simulators.instrument_api import InstrumentApi
from deployments.simulators.instrument_control import control_app
from deployments.simulators.instrument_options import InstrumentOptions
from deployments.simulators.instrument_push import Pusher
from deployments.simulators.instrument_queue import Entry
from deployments.simulators.serving import Listener, LoopThread


class SimulatedInstrument:
    """One analyser at its own address, in a thread; the port is taken at once, connections from `start` on."""

    def __init__(
        self, options: InstrumentOptions | None = None, *, thread: LoopThread | None = None, **settings: Any
    ) -> None:
        """`settings` are fields of InstrumentOptions (TypeError for others); without api_keys one is made up."""
        self.options = replace(options or InstrumentOptions(), **settings)
        if not self.options.api_keys:
            self.options.api_keys = (secrets.token_urlsafe(24),)
        self._api = InstrumentApi(self.options, on_accepted=self._accepted)
        self._pusher = Pusher(self._api)
        self.queue, self.faults, self.journal = self._api.queue, self._api.faults, self._api.journal
        self._own_thread = None if thread is not None else LoopThread("simulated-instrument")
        self._thread = thread or self._own_thread or LoopThread("simulated-instrument")
        self._listener = Listener(
            self._api,
            host=self.options.host,
            port=self.options.port,
            certificate=self.options.certificate,
            private_key=self.options.private_key,
        )
        self.url, self.port = self._listener.url, self._listener.port

    @property
    def api_key(self) -> str:
        """A key it takes."""
        return self.options.api_keys[0]

    @property
    def entries(self) -> tuple[Entry, ...]:
        """Every order on board, oldest first: what a test counts to see a doubled submission."""
        return self.queue.entries()

    def start(self) -> Self:
        """Serve until `stop`."""
        self._thread.start()
        self.faults.on_change = self._follow_faults
        self._follow_faults()
        return self

    def stop(self) -> None:
        """Cut every connection and give the port back."""
        self.faults.on_change = None
        self._thread.run(self._end())
        self._listener.release()
        if self._own_thread is not None:
            self._own_thread.stop()

    def forget(self, request_id: str | None = None) -> int:
        """Lose the orders of one requestId, or all; returns how many."""

        async def forget() -> int:
            return self.queue.forget(request_id)

        return self._thread.run(forget())

    def advance_hours(self, hours: float) -> None:
        """Make everything on board so many hours older; after 24 h a result is forgotten."""
        self.queue.advance_hours(hours)

    def _follow_faults(self) -> None:
        self._thread.run(self._listener.close() if self.faults.is_on("refuse_connections") else self._listener.open())

    def _accepted(self, entry: Entry) -> None:
        self._pusher.schedule(entry)

    async def _end(self) -> None:
        self._pusher.stop()
        await self._listener.close()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


class InstrumentFleet:
    """Many analysers in one thread, all with the same settings and keys; with `control` their panel as well."""

    def __init__(
        self, count: int, options: InstrumentOptions | None = None, *, control: int | None = None, **settings: Any
    ) -> None:
        """From `port` upwards, or each on a free port for port 0; `control` is the panel's port (0: a free one)."""
        shared = replace(options or InstrumentOptions(), **settings)
        if not shared.api_keys:
            shared.api_keys = (secrets.token_urlsafe(24),)
        self._thread = LoopThread("simulated-instruments")
        self.instruments = [
            SimulatedInstrument(
                shared,
                thread=self._thread,
                port=shared.port + number if shared.port else 0,
                name=f"{shared.name} {number + 1}" if count > 1 else shared.name,
            )
            for number in range(count)
        ]
        self._control = None if control is None else Listener(control_app(self.instruments), port=control)

    @property
    def control_url(self) -> str | None:
        """Where the panel answers; none without one."""
        return None if self._control is None else f"{self._control.url}/control"

    def start(self) -> Self:
        """Serve until `stop`."""
        self._thread.start()
        for instrument in self.instruments:
            instrument.start()
        if self._control is not None:
            self._thread.run(self._control.open())
        return self

    def stop(self) -> None:
        """Cut every connection and give the ports back."""
        if self._control is not None:
            self._thread.run(self._control.close())
            self._control.release()
        for instrument in self.instruments:
            instrument.stop()
        self._thread.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


if __name__ == "__main__":
    from deployments.simulators.instrument_cli import main

    main()
