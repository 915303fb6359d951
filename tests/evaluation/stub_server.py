"""An OpenAI-compatible server on 127.0.0.1, raw completions and chat, that fails on purpose."""

import json
import random
import threading
import time
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

FAULTS = ("429", "500", "503", "reset", "broken", "string", "cut", "slow", "drip")


class Stub:
    """What the server does and has seen.

    answer(prompt) -> text; prompt is what was sent: token ids, a text, or a chat's last turn. None: content filter.
    """

    def __init__(
        self, answer, fault_rate=0.0, faults=FAULTS, slow_seconds=1.5, extra_prompt_tokens=0, echo=""
    ):
        self.answer, self.fault_rate, self.faults = answer, fault_rate, faults
        self.slow_seconds, self.extra_prompt_tokens, self.echo = slow_seconds, extra_prompt_tokens, echo
        self.message = ""  # of an error
        self.calls = Counter()
        self.bodies = []
        self.keys = set()
        self.early = []  # prompts asked again before their Retry-After was over
        self.not_before = {}
        self.num_faults = 0
        self.in_flight = self.most_in_flight = 0
        self.lock = threading.Lock()

    def fault(self, prompt):
        """Which fault this call gets: by prompt and attempt, so that a run can be repeated."""
        with self.lock:
            self.calls[prompt] += 1
            if time.monotonic() < self.not_before.get(prompt, 0):
                self.early.append(prompt)
            rng = random.Random(f"{self.calls[prompt]} {prompt}")
            if rng.random() >= self.fault_rate:
                return None
            self.num_faults += 1
            return rng.choice(self.faults)


def completion(text, num_prompt, stop):
    usage = {"prompt_tokens": num_prompt, "completion_tokens": 2, "total_tokens": num_prompt + 2}
    choice = {"index": 0, "finish_reason": stop, "text": text, "logprobs": None}
    return {
        "id": "x", "object": "text_completion", "created": 0, "model": "m", "choices": [choice], "usage": usage,
    }  # fmt: skip


def chat_completion(text, num_prompt, stop):
    value = completion(text, num_prompt, stop) | {"object": "chat.completion"}
    message = {"role": "assistant", "content": text}
    value["choices"] = [{"index": 0, "finish_reason": stop, "message": message}]
    return value


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    stub = None  # set by `serving`

    def log_message(self, *args):
        pass

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        is_chat = self.path.endswith("/chat/completions")
        if not is_chat and not self.path.endswith("/v1/completions"):
            return self.send(404, json.dumps({"error": {"message": "no such path"}}))
        prompt = body["messages"][-1]["content"] if is_chat else body["prompt"]
        with self.stub.lock:
            self.stub.bodies.append(body)
            self.stub.keys.add(self.headers["Authorization"])
            self.stub.in_flight += 1
            self.stub.most_in_flight = max(self.stub.most_in_flight, self.stub.in_flight)
        try:
            return self.respond(prompt, chat_completion if is_chat else completion)
        finally:
            with self.stub.lock:
                self.stub.in_flight -= 1

    def respond(self, prompt, form):
        name = json.dumps(prompt)
        fault = self.stub.fault(name)
        if fault == "429":
            with self.stub.lock:
                self.stub.not_before[name] = time.monotonic() + 1.0
            return self.send(429, json.dumps({"error": {"message": "slow down"}}), {"Retry-After": "1"})
        if fault in ("400", "401", "404", "500", "503"):
            said = self.stub.message or f"no: {self.headers['Authorization']}"  # some servers quote the key
            return self.send(int(fault), json.dumps({"error": {"message": said}}))
        if fault == "reset":
            self.close_connection = True
            return self.connection.close()
        if fault == "slow":
            time.sleep(self.stub.slow_seconds)
        text = self.stub.answer(prompt)
        stop = "content_filter" if text is None else "abort" if fault == "cut" else "stop"
        value = form(text or "", len(prompt) + self.stub.extra_prompt_tokens, stop)
        body = json.dumps(value)
        if fault in ("broken", "string"):
            body = '"hello"' if fault == "string" else body[:40]
        return self.send(200, body, drip=self.stub.slow_seconds if fault == "drip" else 0)

    def send(self, status, body, headers=None, drip=0):
        data = body.encode()
        try:
            self.send_response(status)
            for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            for start in range(0, len(data), len(data) // 10 if drip else len(data)):
                self.wfile.write(data[start : start + (len(data) // 10 if drip else len(data))])
                time.sleep(drip / 10)
        except OSError:
            self.close_connection = True


class Server(ThreadingHTTPServer):
    request_queue_size = 128  # the default of 5 drops connections of its own accord
    daemon_threads = True


@contextmanager
def serving(stub, port=0):
    """The server's address while it runs."""
    server = Server(("127.0.0.1", port), type("StubHandler", (Handler,), {"stub": stub}))
    server.handle_error = lambda *args: None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/v1"
    finally:
        server.shutdown()
        server.server_close()
