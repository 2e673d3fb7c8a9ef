"""A plain reverse proxy on aiohttp, as one would write it: bodies streamed, connections kept. Takes two PORTs."""

from __future__ import annotations

import asyncio
import sys
from typing import Final

from aiohttp import ClientSession, ClientTimeout, DummyCookieJar, TCPConnector, web
from multidict import CIMultiDict

HOP_BY_HOP: Final = (
    "Connection",
    "Keep-Alive",
    "Proxy-Connection",
    "TE",
    "Trailer",
    "Transfer-Encoding",
    "Upgrade",
)


def without_hop_by_hop(headers: CIMultiDict[str]) -> CIMultiDict[str]:
    for name in HOP_BY_HOP:
        headers.popall(name, None)
    return headers


async def main() -> None:
    port, to = map(int, sys.argv[1:])
    # what a client would do beyond passing on: no decoding, no cookies kept, no headers of its own
    session = ClientSession(
        connector=TCPConnector(limit=0),
        auto_decompress=False,
        cookie_jar=DummyCookieJar(),
        timeout=ClientTimeout(total=None),
        skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
    )
    base = f"http://127.0.0.1:{to}"

    async def forward(request: web.BaseRequest) -> web.StreamResponse:
        asked = session.request(
            request.method,
            base + request.raw_path,
            headers=without_hop_by_hop(CIMultiDict(request.headers)),
            data=request.content.iter_any() if request.body_exists else None,
            allow_redirects=False,
        )
        async with asked as answer:
            headers = without_hop_by_hop(CIMultiDict(answer.headers))
            if answer.content.is_eof():
                return web.Response(status=answer.status, headers=headers, body=await answer.read())
            response = web.StreamResponse(status=answer.status, headers=headers)
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
            return response

    runner = web.ServerRunner(web.Server(forward, access_log=None))
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port, backlog=1024).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
