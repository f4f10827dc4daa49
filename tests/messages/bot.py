"""A server that speaks `sendMessage` of Telegram's Bot API, on a port of its own."""

import json
from contextlib import contextmanager

from tests.http_server import answering

TOKEN = "123456789:AAH-a_token_of_the_bot_father_35_letters"


class Bot:
    """What the bot was asked to send; `refuse` says how it answers the next request."""

    def __init__(self):
        self.url, self.sent, self._answers = "", [], []

    @property
    def texts(self):
        return [document["text"] for document in self.sent]

    def refuse(self, status, description, **parameters):
        self._answers.append((status, {"ok": False, "description": description, "parameters": parameters}))

    def answer(self, path, _headers, body):
        """Take a request, and return its status, headers and body."""
        if path != f"/bot{TOKEN}/sendMessage":
            return 404, {}, b"{}"
        self.sent.append(json.loads(body))
        good = 200, {"ok": True, "result": {"message_id": len(self.sent)}}
        status, document = self._answers.pop(0) if self._answers else good
        return status, {}, json.dumps(document).encode()


@contextmanager
def running():
    bot = Bot()
    with answering(bot.answer) as port:
        bot.url = f"http://127.0.0.1:{port}"
        yield bot
