"""A web server on this computer that misbehaves as asked, for tests of downloads."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class Web:
    """What the server offers, and what it was asked.

    Attributes:
        url: the server's address.
        files: content by name.
        cuts: after how many bytes each of the next answers ends; after that they are whole.
        ranges: it knows the header Range.
        lengths: it says how long an answer is.
        statuses: the next answers' error codes.
        kind: content type.
        hold: an event that answers wait for, set at first.
        asked: the header Range of each request, or None.
    """

    def __init__(self, url: str):
        self.url, self.files, self.kind = url, {}, "application/octet-stream"
        self.hold = threading.Event()
        self.hold.set()
        self.cuts, self.statuses, self.ranges, self.lengths, self.asked = [], [], True, True, []


@contextmanager
def served() -> Iterator[Web]:
    """Run a server; yield what it does."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            web.asked.append(self.headers.get("Range"))
            web.hold.wait(60)
            content = web.files.get(self.path.lstrip("/"))
            if web.statuses or content is None:
                return self.send_error(web.statuses.pop(0) if web.statuses else 404)
            start = 0
            if web.asked[-1] and web.ranges:
                start = int(re.fullmatch(r"bytes=(\d+)-", web.asked[-1])[1])
                if start >= len(content):
                    self.send_response(416)
                    self.send_header("Content-Range", f"bytes */{len(content)}")
                    self.send_header("Content-Length", "0")
                    return self.end_headers()
            self.send_response(206 if start else 200)
            if start:
                self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
            if web.lengths:
                self.send_header("Content-Length", str(len(content) - start))
            self.send_header("Content-Type", web.kind)
            self.end_headers()
            self.wfile.write(content[start:][: web.cuts.pop(0)] if web.cuts else content[start:])

        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    web = Web(f"http://127.0.0.1:{server.server_address[1]}")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield web
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
