"""An MCP client made of the official Python SDK, of whichever major version is installed; driven line by line.

    python mcp_client.py URL STORE

It connects, authorizes when it must, and answers each JSON line on standard input with one on standard output:
{"list": true}, {"tool": NAME, "arguments": {…}}, {"expire": true}. In between it may say {"open": ADDRESS}, for a browser
(it listens for the callback itself), or {"elicit": ADDRESS, "message": …}, answered by {"action": "accept"}.
"""

import asyncio
import importlib.metadata
import json
import sys
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import anyio
from mcp.client.auth import OAuthClientProvider, TokenStorage
from mcp.client.session import ClientSession
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.auth import OAuthClientInformationFull, OAuthClientMetadata, OAuthToken

MAJOR = int(importlib.metadata.version("mcp").split(".")[0])
if MAJOR == 1:
    import httpx
    import mcp.types as types
    from mcp.shared.exceptions import McpError as MCPError
else:
    import httpx2 as httpx
    import mcp_types as types
    from mcp import Client
    from mcp.client.auth import AuthorizationCodeResult
    from mcp.shared.exceptions import MCPError


def say(**event) -> None:
    print(json.dumps(event), flush=True)


async def heard() -> dict | None:
    line = await anyio.to_thread.run_sync(sys.stdin.readline, abandon_on_cancel=True)
    return json.loads(line) if line.strip() else None


class Store(TokenStorage):
    """A file, so that the next process knows what this one learned."""

    def __init__(self, path: Path):
        self.path = path
        self.kept = json.loads(path.read_text()) if path.exists() else {}

    async def keep(self, name: str, value) -> None:
        self.kept[name] = value.model_dump(mode="json", exclude_none=True)
        self.path.write_text(json.dumps(self.kept))

    async def get_tokens(self):
        return OAuthToken.model_validate(self.kept["tokens"]) if "tokens" in self.kept else None

    async def set_tokens(self, tokens):
        await self.keep("tokens", tokens)

    async def get_client_info(self):
        return OAuthClientInformationFull.model_validate(self.kept["client"]) if "client" in self.kept else None

    async def set_client_info(self, client_info):
        await self.keep("client", client_info)


class Callback:
    """Where the browser comes back to."""

    async def listen(self) -> int:
        self.arrived = asyncio.get_running_loop().create_future()
        self.server = await asyncio.start_server(self.serve, "127.0.0.1", 0)
        return self.server.sockets[0].getsockname()[1]

    async def serve(self, reader, writer) -> None:
        line = (await reader.readline()).decode()
        while (await reader.readline()).strip():
            pass
        query = {name: values[0] for name, values in parse_qs(urlsplit(line.split(" ")[1]).query).items()}
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nConnection: close\r\nContent-Length: 4\r\n\r\ndone")
        await writer.drain()
        writer.close()
        if "state" in query and not self.arrived.done():
            self.arrived.set_result(query)

    async def result(self):
        query = await self.arrived
        self.arrived = asyncio.get_running_loop().create_future()
        if MAJOR == 1:
            return query["code"], query["state"]
        return AuthorizationCodeResult(code=query["code"], state=query["state"], iss=query.get("iss"))


async def elicit(context, params):
    say(elicit=params.url, message=params.message)
    answer = await heard()
    return types.ElicitResult(action=answer["action"])


async def main(url: str, store: Store) -> None:
    callback = Callback()
    port = await callback.listen()

    async def opened(address: str) -> None:
        say(open=address)

    provider = OAuthClientProvider(
        server_url=url, storage=store, redirect_handler=opened, callback_handler=callback.result,
        client_metadata=OAuthClientMetadata(
            client_name=f"SDK {MAJOR}", redirect_uris=[f"http://127.0.0.1:{port}/callback"],
            grant_types=["authorization_code", "refresh_token"], response_types=["code"]))
    async with httpx.AsyncClient(auth=provider, timeout=60, trust_env=True) as http:
        if MAJOR == 1:
            async with streamable_http_client(url, http_client=http) as (read, write, _), \
                    ClientSession(read, write, elicitation_callback=elicit) as session:
                connected = await session.initialize()
                say(ready=connected.protocolVersion)
                await serve(session, provider)
        else:
            async with Client(streamable_http_client(url, http_client=http), elicitation_callback=elicit) as client:
                say(ready=str(client.session.protocol_version))
                await serve(client, provider)


async def serve(session, provider) -> None:
    while (asked := await heard()) is not None:
        try:
            if "list" in asked:
                say(result=[tool.name for tool in (await session.list_tools()).tools])
            elif "expire" in asked:
                provider.context.token_expiry_time = 1.0
                say(result=None)
            else:
                result = await session.call_tool(asked["tool"], asked.get("arguments", {}))
                say(result=result.model_dump(mode="json", by_alias=True, exclude_none=True))
        except MCPError as error:
            said = error.error
            say(error={"code": said.code, "message": said.message, "data": said.data})


if __name__ == "__main__":
    anyio.run(main, sys.argv[1], Store(Path(sys.argv[2])))
