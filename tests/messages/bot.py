"""A server that speaks `sendMessage` of Telegram's Bot API, on a port of its own."""

import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

TOKEN = "123456789:AAH-a_token_of_the_bot_father_35_letters"


class Bot:
    """What the bot was asked to send, and how it answers: with a status and a document, or not before `released`."""

    def __init__(self, url):
        self.url = url
        self.sent = []
        self.asked = threading.Semaphore(0)
        self.released = threading.Event()
        self.released.set()
        self.answers = []  # (status, document), used up one by one; then all is well

    @property
    def texts(self):
        """The texts in the order of their arrival."""
        return [document["text"] for document in self.sent]

    def refuse(self, status, description, **parameters):
        """Answer the next request with an error."""
        self.answers.append((status, {"ok": False, "description": description, "parameters": parameters}))

    def answer(self, path, document):
        """Take a request, and return its status and document."""
        if path != f"/bot{TOKEN}/sendMessage":
            return 404, {"ok": False, "description": "Not Found"}
        self.sent.append(document)
        self.asked.release()
        self.released.wait()
        return self.answers.pop(0) if self.answers else (200, {"ok": True, "result": {"message_id": len(self.sent)}})


@contextmanager
def running():
    """Yield a bot that listens."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            document = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, answer = bot.answer(self.path, document)
            body = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_arguments):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        server.daemon_threads = True
        bot = Bot(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
        thread.start()
        yield bot
        bot.released.set()
        server.shutdown()
        thread.join()
