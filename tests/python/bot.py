"""A bot in Python, written against the platform's documentation: events, commands, controls, a modal,
and a voice call that it answers as an echo.

    ARGON_URL=http://127.0.0.1:7400 ARGON_TOKEN=... python3 bot.py

It knows nothing of argon-host. Needs aiohttp (Debian: python3-aiohttp).
"""

import asyncio
import codecs
import json
import os
import secrets
import sys
from urllib.parse import urlencode, urlsplit, urlunsplit

import aiohttp

URL = os.environ["ARGON_URL"].rstrip("/")
TOKEN = os.environ["ARGON_TOKEN"]

# messages, commands, voice, calls, controlInteractions
INTENTS = 1 << 0 | 1 << 6 | 1 << 11 | 1 << 12 | 1 << 13

COMMANDS = {
    "greet": {
        "name": "greet",
        "description": "Greets somebody",
        "options": [
            {"name": "name", "type": "string", "description": "Whom", "required": True},
            {"name": "times", "type": "integer", "description": "How often", "required": False},
        ],
    },
}

CONTROLS = [
    {"controls": [{"type": "button", "variant": "callback", "id": "tell", "label": "Tell more",
                   "colour": {"l": 0.6, "c": 0.15, "h": 250}}]},
    {"controls": [{"type": "stringSelect", "customId": "mood", "placeholder": "How was it?",
                   "minValues": 1, "maxValues": 1,
                   "options": [{"label": "Good", "value": "good"}, {"label": "Bad", "value": "bad"}]}]},
]

FORM = {
    "customId": "story",
    "title": "Tell more",
    "components": [{"type": "textInput", "customId": "text", "label": "Your story",
                    "style": "paragraph", "required": True}],
}


def log(text):
    print(text, flush=True)


class Events:
    """Server-sent events by the standard, from chunks of bytes: (type, id, data)."""

    def __init__(self):
        self.decoder = codecs.getincrementaldecoder("utf-8-sig")()
        self.rest = ""
        self.fields = {}

    def feed(self, chunk):
        self.rest += self.decoder.decode(chunk)
        while True:
            ends = [at for at in (self.rest.find("\n"), self.rest.find("\r")) if at >= 0]
            # A carriage return at the end may be half of a line end.
            if not ends or (min(ends) == len(self.rest) - 1 and self.rest[-1] == "\r"):
                return
            end = min(ends)
            line, self.rest = self.rest[:end], self.rest[end:]
            self.rest = self.rest[2:] if self.rest.startswith("\r\n") else self.rest[1:]
            if line:
                name, _, value = line.partition(":")
                value = value[1:] if value.startswith(" ") else value
                self.fields.setdefault(name, []).append(value)
                continue
            fields, self.fields = self.fields, {}
            if "data" in fields:
                kind = fields.get("event", ["message"])[-1]
                yield kind, fields.get("id", [None])[-1], "\n".join(fields["data"])


class Bot:
    def __init__(self, session):
        self.session = session
        self.user_id = None
        self.commands = {}
        self.modals = {}
        self.calls = {}
        self.last_event = None
        self.running = set()

    # REST

    async def call(self, method, route, body=None, **query):
        """One call; waits and repeats when there were too many."""
        while True:
            answer = await self.session.request(method, f"{URL}/{route}", json=body, params=query)
            async with answer:
                if answer.status == 429:
                    await asyncio.sleep(float(answer.headers.get("Retry-After", 1)))
                    continue
                text = await answer.text()
                if answer.status != 200:
                    raise RuntimeError(f"{route}: {answer.status} {text}")
                return json.loads(text) if text else None

    async def send(self, channel_id, text, reply_to=None):
        body = {"channelId": channel_id, "text": text, "randomId": secrets.randbits(63)}
        if reply_to is not None:
            body["replyTo"] = reply_to
        return await self.call("POST", "IMessages/v1/Send", body)

    async def reply(self, event, text, controls=None):
        body = {"channelId": event["channelId"], "text": text, "randomId": secrets.randbits(63)}
        if controls:
            body["controls"] = controls
        return await self.call("POST", "IInteractions/v1/Reply", body)

    async def register(self):
        """Registering does not merge: list first."""
        known = await self.call("GET", "ICommands/v1/List")
        for command in known["commands"]:
            if command["name"] in COMMANDS:
                self.commands[command["commandId"]] = command["name"]
        for name, command in COMMANDS.items():
            if name not in self.commands.values():
                made = await self.call("POST", "ICommands/v1/Register", command)
                self.commands[made["commandId"]] = name
        log("commands in place")

    # Events

    async def on_ready(self, event):
        log("ready")
        await self.register()

    async def on_messageCreate(self, event):
        message = event["message"]
        if message["sender"]["userId"] == self.user_id:
            return
        if message["text"] == "!ping":
            await self.send(event["channelId"], "pong", message["messageId"])

    async def on_commandInteraction(self, event):
        if self.commands.get(event["commandId"]) != "greet":
            return
        options = {option["name"]: option["value"] for option in event.get("options") or []}
        await self.call("POST", "IInteractions/v1/Defer", {"interactionId": event["interactionId"]})
        text = " ".join([f"Hello, {options['name']}!"] * int(options.get("times") or 1))
        await self.reply(event, text, CONTROLS)

    async def on_controlInteraction(self, event):
        if event["controlId"] != "tell":
            return
        body = {"interactionId": event["interactionId"], "modal": FORM}
        opened = await self.call("POST", "IInteractions/v1/Modal", body)
        self.modals[opened["modalInteractionId"]] = FORM["customId"]

    async def on_selectInteraction(self, event):
        if event["customId"] != "mood":
            return
        await self.call("POST", "IInteractions/v1/Ack", {"interactionId": event["interactionId"]})
        body = {"channelId": event["channelId"], "messageId": event["messageId"],
                "text": f"It was {event['values'][0]}.", "controls": []}
        await self.call("PATCH", "IInteractions/v1/EditMessage", body)

    async def on_modalSubmit(self, event):
        # The form's own id, or that of the interaction that `Modal` returned.
        if self.modals.pop(event["interactionId"], event["customId"]) != "story":
            return
        values = {value["customId"]: value["values"] for value in event["values"]}
        await self.reply(event, f"{event['user']['displayName']} says: {values['text'][0]}")

    async def on_callIncoming(self, event):
        accepted = await self.call("POST", "ICalls/v20260401/Accept", {"callId": event["callId"]})
        base = urlsplit(accepted["audioBaseUrl"])
        scheme = {"https": "wss", "http": "ws"}.get(base.scheme, base.scheme)
        query = urlencode({"token": accepted["token"], "target_identity": accepted["callerId"],
                           "channels": 1, "frame_duration_ms": 20, "track_source": "microphone"})
        url = urlunsplit((scheme, base.netloc, "/audio/duplex", query, ""))
        self.calls[event["callId"]] = asyncio.current_task()
        await self.echo(url)

    async def on_callEnded(self, event):
        task = self.calls.pop(event["callId"], None)
        if task:
            task.cancel()
        log("call over")

    async def echo(self, url):
        ready = False
        async with self.session.ws_connect(url) as socket:
            async for message in socket:
                if message.type == aiohttp.WSMsgType.TEXT:
                    status = json.loads(message.data)
                    word = status.get("status") or status.get("type")
                    log(f"voice {word}")
                    ready = ready or word == "ready"
                    if word in ("target_left", "error"):
                        return
                # Packets of at most two bytes are silence and never sent back.
                elif message.type == aiohttp.WSMsgType.BINARY and ready and len(message.data) > 2:
                    await socket.send_bytes(message.data)

    # The stream

    def dispatch(self, kind, data):
        handler = getattr(self, f"on_{kind}", None)
        if handler is None:
            return
        task = asyncio.create_task(self.handle(handler, data))
        self.running.add(task)
        task.add_done_callback(self.running.discard)

    async def handle(self, handler, data):
        try:
            await handler(json.loads(data))
        except asyncio.CancelledError:
            pass
        except Exception as error:
            log(f"error in {handler.__name__}: {error!r}")

    async def stream(self):
        query = {"intents": str(INTENTS)}
        if self.last_event:
            query["lastEventId"] = self.last_event
        timeout = aiohttp.ClientTimeout(total=None, sock_read=75)
        url = f"{URL}/IEvents/v1/Stream"
        async with self.session.get(url, params=query, timeout=timeout) as answer:
            if answer.status == 401:
                sys.exit("the token was refused")
            answer.raise_for_status()
            events = Events()
            async for chunk in answer.content.iter_any():
                for kind, event_id, data in events.feed(chunk):
                    self.last_event = event_id or self.last_event
                    self.dispatch(kind, data)

    async def run(self):
        me = await self.call("GET", "IBotSelf/v1/GetMe")
        self.user_id = me["userId"]
        pause = 1
        while True:
            try:
                await self.stream()
                pause = 1
            except (aiohttp.ClientError, asyncio.TimeoutError) as error:
                log(f"stream: {error!r}")
                pause = min(pause * 2, 30)
            await asyncio.sleep(pause)


async def main():
    headers = {"Authorization": f"Bot {TOKEN}"}
    async with aiohttp.ClientSession(headers=headers) as session:
        await Bot(session).run()


if __name__ == "__main__":
    asyncio.run(main())
