"""What watches cost those who write."""

import asyncio
import json
import ssl
import statistics
import struct
import threading
import time
import urllib.request


class Watches:
    """Open watches, read by one thread: a hundred on each connection of HTTP/2 (RFC 9113), as clients have them.

    Frames are counted and not decoded: the reader shares the machine with what it measures.
    """

    EACH = 100

    def __init__(self, server, token):
        self.server, self.token = server, token
        self.loop = asyncio.new_event_loop()
        self.received = 0
        self.tasks = []
        threading.Thread(target=self.loop.run_forever, daemon=True).start()
        self.context = unverified()
        self.context.set_alpn_protocols(["h2"])

    def open(self, paths):
        """Opens a watch for each path; returns when the server has answered all of them."""
        asyncio.run_coroutine_threadsafe(self._open(paths), self.loop).result(timeout=300)

    async def _open(self, paths):
        ready = []
        for start in range(0, len(paths), self.EACH):
            ready.append(self.loop.create_future())
            self.tasks.append(self.loop.create_task(self._connection(paths[start:start + self.EACH], ready[-1])))
        await asyncio.gather(*ready)

    def _head(self, path):
        def literal(name, value):
            """A field that no table keeps (RFC 7541, section 6.2.2); lengths of up to 16,510 bytes."""
            def text(value):
                count = len(value)
                length = bytes([count]) if count < 127 else bytes([127, (count - 127) & 127 | 128, (count - 127) >> 7])
                return length + value
            return b"\0" + text(name.encode()) + text(value.encode())

        return b"".join(literal(*field) for field in (
            (":method", "GET"), (":scheme", "https"), (":authority", "apus"), (":path", path),
            ("authorization", f"Bearer {self.token}")))

    async def _connection(self, paths, begun):
        def frame(kind, flags, stream, payload):
            return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload

        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.server.port, ssl=self.context)
            # Windows of a GiB: nothing has to be said about them later.
            writer.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(4, 0, 0, struct.pack(">HI", 4, 1 << 30))
                         + frame(8, 0, 0, struct.pack(">I", 1 << 30)))
            for number, path in enumerate(paths):
                writer.write(frame(1, 5, 2 * number + 1, self._head(path)))
            answered = 0
            while True:
                header = await reader.readexactly(9)
                payload = await reader.readexactly(int.from_bytes(header[:3], "big"))
                kind = header[3]
                if kind == 0 and payload:
                    self.received += 1
                elif kind == 1:
                    assert b"\x88" in payload[:4], f"not 200: {payload}"
                    answered += 1
                    if answered == len(paths):
                        begun.set_result(None)
                elif kind == 4 and not header[4]:
                    writer.write(frame(4, 1, 0, b""))
                elif kind == 6 and not header[4]:
                    writer.write(frame(6, 1, 0, payload))
                elif kind in (3, 7):
                    raise ConnectionError(f"frame {kind}: {payload}")
        except Exception as error:
            if not begun.done():
                begun.set_exception(error)

    def wait(self, count, seconds=30):
        end = time.monotonic() + seconds
        while self.received < count:
            assert time.monotonic() < end, f"{self.received} of {count} events after {seconds} s"
            time.sleep(0.001)

    def close(self):
        async def cancel():
            for task in self.tasks:
                task.cancel()
            await asyncio.gather(*self.tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(cancel(), self.loop).result(timeout=60)
        self.loop.call_soon_threadsafe(self.loop.stop)


def unverified():
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def measure(server, token, wrk, row):
    """Rows for a server that has the namespace `bench`."""
    base = "/api/v1/namespaces/bench/configmaps"

    def creates(prefix):
        rate, latency, cost = wrk(server, "create.lua", "configmap", token, prefix, connections=16)
        return rate, f"{rate:,.0f}/s, p99 {latency['99']}, {cost:.2f} ms CPU each"

    without, text = creates("unwatched")
    row("durable configmap creates, 16 writers, no watch", text)
    watches = Watches(server, token)
    watches.open([f"{base}?watch=1&resourceVersion=0&fieldSelector=metadata.name%3Dw{number}" for number in range(1000)])
    rate, text = creates("watched")
    row("the same with 1,000 watches, each of one name", f"{text}: {rate / without:.2f} of that", "", "> 0.9")
    watches.close()

    def create(name):
        body = json.dumps({"metadata": {"name": name}}).encode()
        request = urllib.request.Request(
            f"https://127.0.0.1:{server.port}/api/v1/namespaces/default/configmaps", body,
            {"Authorization": f"Bearer {token}", "Content-Type": "application/json"})
        begun = time.monotonic()
        with urllib.request.urlopen(request, context=context) as answer:
            answer.read()
        return (time.monotonic() - begun) * 1000

    context = unverified()
    alone = [create(f"alone-{number}") for number in range(21)][1:]
    watches = Watches(server, token)
    count = 5000
    # From now on, so that nothing is sent before the writes.
    now = json.loads(server.kubectl("get", "--raw", "/api/v1/namespaces/default/configmaps?limit=1"))["metadata"]["resourceVersion"]
    watches.open([f"/api/v1/namespaces/default/configmaps?watch=1&resourceVersion={now}"] * count)
    answers, told = [], []
    for number in range(10):
        begun = time.monotonic()
        answers.append(create(f"watched-{number}"))
        watches.wait(count * (number + 1))
        told.append((time.monotonic() - begun) * 1000)
    watches.close()
    row(f"one create with {count:,} watches that want it",
        f"answered after {statistics.median(answers):.1f} ms (without: {statistics.median(alone):.1f} ms), all told after "
        f"{statistics.median(told):.0f} ms, at most {max(told):.0f} ms", "", "< 500 ms")
