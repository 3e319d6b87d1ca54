"""Many peers in one process, one of them honest: `python -m tests.network.drippers` reads a script and prints URLs.

The script is one JSON object on standard input: `blocks` and `hashes` of the honest chain, its `chainwork`, how many
`liars` there are, and the `place` at which they begin to drip. All claim more work than the honest peer has. All answer
their status at once, except those whose place is the status.
"""

import asyncio
import json
import sys
from contextlib import suppress
from typing import Any
from urllib.parse import parse_qs, urlsplit

Json = dict[str, Any]

# Where a liar begins to drip. Before that it answers as the honest peer does.
PLACES = ("status", "headers", "bodies", "head", "chunked", "flood", "stops", "least")
# Of the tutorial's rules: the chain is all that is asked for. `second`: the first time it is told as it should be.
WHOLE_PLACES = ("whole", "second")
_PIECE_SECONDS = 0.3
_PAD = b" " * 65_536


class Peers:
    """What all of them know."""

    def __init__(self, script: Json) -> None:
        self.blocks: list[Json] = script["blocks"]
        self.hashes: list[str] = script["hashes"]
        self.chainwork: int = script["chainwork"]
        self.place: str = script["place"]
        self.longer: list[Json] = script.get("longer", [])  # what liars of the tutorial's rules begin with
        self.told: set[int] = set()

    def honest(self, path: str) -> Json | None:
        parts = urlsplit(path)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        if parts.path == "/status" and not self.longer:
            return self.status(self.chainwork)
        if parts.path == "/headers" and not self.longer:
            known = [name for name in query["locator"].split(",") if name in self.hashes]
            first = self.hashes.index(known[0]) + 1 if known else 0
            page = self.blocks[first : first + int(query["limit"])]
            return {"headers": [{k: v for k, v in block.items() if k != "transactions"} for block in page]}
        if parts.path == "/chain":
            first = int(query.get("from", 1)) - 1
            return {"chain": self.blocks[first : first + int(query.get("limit", 10**6))]}
        return None

    def status(self, chainwork: int) -> Json:
        height = len(self.hashes)
        return {"genesis": self.hashes[0], "tip": self.hashes[-1], "height": height, "chainwork": chainwork}

    async def serve(self, number: int | None, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection; `number` of the liar, None for the honest peer."""
        with suppress(OSError, asyncio.IncompleteReadError):
            request = await reader.readuntil(b"\r\n\r\n")
            path = request.split(b" ")[1].decode()
            if number is None:
                await _answer(writer, self.honest(path))
            else:
                await self._lie(number, path, writer)
        with suppress(OSError):
            writer.close()

    async def _lie(self, number: int, path: str, writer: asyncio.StreamWriter) -> None:
        asked = urlsplit(path).path
        if self.longer:
            if asked != "/chain" or (self.place == "second" and number not in self.told):
                self.told.add(number)
                await _answer(writer, {"chain": self.longer} if asked == "/chain" else None)
            else:
                await _drip(writer, _head(9_000) + json.dumps({"chain": self.longer}).encode(), 1)
        elif asked == "/status":
            answer = json.dumps(self.status(10**9 + number)).encode()
            if self.place == "status":
                await _drip(writer, _head(len(answer)) + answer, 1)
            else:
                await _answer(writer, self.status(10**9 + number))
        elif self.place == "bodies" and asked == "/headers":
            await _answer(writer, self.honest(path))
        else:
            await self._stall(json.dumps(self.honest(path)).encode(), writer)

    async def _stall(self, answer: bytes, writer: asyncio.StreamWriter) -> None:
        match self.place:
            case "head":
                await _drip(writer, b"HTTP/1.1 200 OK\r\nX-Slow: " + b"z" * 10_000, 1)
            case "chunked":
                writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                await _drip(writer, b"a\r\n          \r\n" * 10_000, 15)
            case "flood":
                writer.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                for _ in range(10_000):
                    writer.write(b"10000\r\n" + _PAD + b"\r\n")
                    await writer.drain()
            case "stops":
                writer.write(_head(len(answer)) + answer[: len(answer) // 2])
                await asyncio.sleep(300)
            case "least":  # a little more than the least rate that a node accepts
                await _drip(writer, _head(2**20) + _PAD * 16, int(10_000 * _PIECE_SECONDS))
            case _:
                await _drip(writer, _head(len(answer)) + answer, 1)


def _head(length: int) -> bytes:
    return f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n".encode()


async def _answer(writer: asyncio.StreamWriter, value: Json | None) -> None:
    if value is None:
        writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\n{}")
    else:
        body = json.dumps(value).encode()
        writer.write(_head(len(body)) + body)
    await writer.drain()


async def _drip(writer: asyncio.StreamWriter, data: bytes, piece: int) -> None:
    for start in range(0, len(data), piece):
        writer.write(data[start : start + piece])
        await writer.drain()
        await asyncio.sleep(_PIECE_SECONDS)


async def _main() -> None:
    script = json.loads(sys.stdin.readline())
    peers = Peers(script)

    async def listen(number: int | None) -> str:
        server = await asyncio.start_server(
            lambda reader, writer: peers.serve(number, reader, writer), "127.0.0.1", 0, backlog=64
        )
        return f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"

    urls = [await listen(number) for number in range(script["liars"])]
    print(json.dumps({"liars": urls, "honest": await listen(None)}), flush=True)
    # Until the process that started this one closes its end.
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    asyncio.run(_main())
