"""A TCP proxy that stands before a server and spoils the network: delay, stall, reset, and back to normal.

Bytes are neither read nor changed, so it serves any protocol. The proxy keeps its port for its life: to its clients it
is the server's address, whatever becomes of the server behind it.
"""

from __future__ import annotations

import asyncio
import socket
import struct
import threading
from collections.abc import Coroutine
from typing import Any

CHUNK = 64 * 1024
MOST_CHUNKS = 64
"""What one direction of a connection may hold; a sender that goes on meets TCP's own back-pressure."""
_RESET = struct.pack("ii", 1, 0)


class TcpProxy:
    """Listens on 127.0.0.1 and forwards to `host:port`, in a thread of its own. Close it, or use it in a `with`.

    Args:
        upstream: the server, `host:port`. A client that comes while it does not answer is reset.
        port: to listen on; 0 takes a free one.
    """

    def __init__(self, upstream: str, port: int = 0) -> None:
        host, _, number = upstream.rpartition(":")
        self._upstream = (host, int(number))
        self._loop = asyncio.new_event_loop()
        self._delay = 0.0
        self._resetting = False
        self._flows = asyncio.Event()
        self._flows.set()
        self._pairs: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._serving: set[asyncio.Task[None]] = set()
        self.connections = 0
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy of {upstream}", daemon=True)
        self._thread.start()
        self._server = self._call(self._listen(port))
        self.port: int = self._server.sockets[0].getsockname()[1]
        self.address = f"127.0.0.1:{self.port}"

    def delay(self, seconds: float) -> None:
        """Every byte arrives that much later, in both directions; bandwidth stays as it is."""
        self._loop.call_soon_threadsafe(setattr, self, "_delay", seconds)

    def stall(self) -> None:
        """Nothing arrives any more, and nobody is told: connections stay open, new ones are accepted."""
        self._loop.call_soon_threadsafe(self._flows.clear)

    def reset(self) -> None:
        """Every connection is torn down with RST, and so is each new one, until `heal`."""
        self._call(self._reset_all())

    def heal(self) -> None:
        """As a network should be. What was held back by a stall now arrives."""
        self._call(self._heal())

    def close(self) -> None:
        """Tear all connections down and stop listening."""
        if not self._thread.is_alive():
            return
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)
        self._loop.close()

    def __enter__(self) -> TcpProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _call(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(10)

    async def _listen(self, port: int) -> asyncio.Server:
        return await asyncio.start_server(self._serve, "127.0.0.1", port, limit=CHUNK)

    async def _serve(self, from_client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        self.connections += 1
        to_server: asyncio.StreamWriter | None = None
        try:
            if self._resetting:
                return
            from_server, to_server = await asyncio.open_connection(*self._upstream, limit=CHUNK)
            pair = (to_client, to_server)
            self._pairs.add(pair)
            try:
                async with asyncio.TaskGroup() as both:
                    both.create_task(self._forward(from_client, to_server))
                    both.create_task(self._forward(from_server, to_client))
            finally:
                self._pairs.discard(pair)
        except* (OSError, asyncio.IncompleteReadError):
            pass  # either side is gone: so is the connection
        finally:
            self._serving.discard(task)
            for writer in (to_client, to_server):
                if writer is not None:
                    _abort(writer) if self._resetting or to_server is None else writer.close()

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One direction; the end of the stream travels like its bytes."""
        held: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(MOST_CHUNKS)

        async def read() -> None:
            data = b"-"
            while data:
                data = await reader.read(CHUNK)
                await held.put((self._loop.time() + self._delay, data))

        async def write() -> None:
            while True:
                due, data = await held.get()
                if (wait := due - self._loop.time()) > 0:
                    await asyncio.sleep(wait)
                await self._flows.wait()
                if not data:
                    if writer.can_write_eof():
                        writer.write_eof()
                    return
                writer.write(data)
                await writer.drain()

        async with asyncio.TaskGroup() as both:
            both.create_task(read())
            both.create_task(write())

    async def _reset_all(self) -> None:
        self._resetting = True
        for pair in list(self._pairs):
            for writer in pair:
                _abort(writer)

    async def _heal(self) -> None:
        self._delay, self._resetting = 0.0, False
        self._flows.set()

    async def _end(self) -> None:
        self._server.close()
        await self._reset_all()
        self._flows.set()
        tasks = list(self._serving)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _abort(writer: asyncio.StreamWriter) -> None:
    """Close with RST instead of FIN."""
    sock = writer.get_extra_info("socket")
    if sock is not None and sock.fileno() >= 0:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    writer.transport.abort()
