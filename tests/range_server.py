"""A web server on 127.0.0.1 that serves byte ranges, plays the Hub, and misbehaves when told to."""

import hashlib
import json
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit


def commit_of(repository: str, revision: str) -> str:
    return hashlib.sha1(f"{repository}@{revision}".encode()).hexdigest()


class RangeServer:
    """Files by path, a log of what was asked, and a plan of faults.

    `fault(number, path)` names what goes wrong with the n-th request for a file: `drop` (the
    connection closes in the middle), `short` (a whole answer of too few bytes), `shifted` (another
    range), `whole` (ranges ignored), `busy` (503), `gone` (403), or None.
    """

    def __init__(self) -> None:
        self.forget()
        handler = type("Handler", (_Handler,), {"server_state": self})
        self._servers = [ThreadingHTTPServer(("127.0.0.1", 0), handler) for _ in range(2)]
        for each in self._servers:
            each.daemon_threads = True
            each.handle_error = lambda *_: None  # clients that hang up are no news
            threading.Thread(target=each.serve_forever, args=(0.02,), daemon=True).start()
        # Two origins: what is meant for the Hub must not be sent on to its store.
        self.url, self.store_url = (
            f"http://127.0.0.1:{each.server_port}" for each in self._servers
        )

    def forget(self) -> None:
        """Begin anew: no files, no faults, nothing asked."""
        self.files: dict[str, bytes] = {}
        self.repositories: dict[tuple[str, str, str], dict[str, bytes]] = {}
        self.requests: list[tuple[str, int]] = []
        self.fault: Callable[[int, str], str | None] = lambda number, path: None
        self.tokens_leaked = 0

    def add_repository(self, kind, name, revision, files) -> str:
        """Put files on the fake Hub at a revision and return its commit."""
        commit = commit_of(name, revision)
        for key in (revision, commit):
            self.repositories[kind, name, key] = files
        for path, content in files.items():
            self.files[f"/store/{name}/{commit}/{path}"] = content
        return commit

    @property
    def bytes_sent(self) -> int:
        return sum(size for _, size in self.requests)

    def close(self) -> None:
        for each in self._servers:
            each.shutdown()
            each.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_state: RangeServer

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        with suppress(BrokenPipeError, ConnectionResetError):
            self._answer(unquote(urlsplit(self.path).path))

    def _answer(self, path):
        parts = path.strip("/").split("/")
        if path in self.server_state.files:
            self._send_file(path)
        elif parts[0] == "api" and len(parts) >= 4:
            what, revision = parts[4:6] or ("revision", "main")
            self._send_api(parts[1].rstrip("s"), "/".join(parts[2:4]), what, revision, parts[6:])
        elif "resolve" in parts:
            self._redirect(parts)
        else:
            self._send(404, b"", {"X-Error-Message": "not found"})

    def _send_api(self, kind, name, what, revision, folder):
        files = self.server_state.repositories.get((kind, name, revision))
        if files is None:
            known = any(key[:2] == (kind, name) for key in self.server_state.repositories)
            code = "RevisionNotFound" if known else "RepoNotFound"
            self._send(404, b"{}", {"X-Error-Code": code})
            return
        entries = [
            {
                "type": "file",
                "path": path,
                "size": len(content),
                "oid": hashlib.sha1(content).hexdigest(),
                "lfs": {
                    "oid": hashlib.sha256(content).hexdigest(),
                    "size": len(content),
                    "pointerSize": 130,
                },
            }
            for path, content in files.items()
            if path.startswith("/".join(folder))
        ]
        sha = revision if len(revision) == 40 else commit_of(name, revision)
        document = entries if what == "tree" else {"id": name, "sha": sha, "siblings": []}
        self._send(200, json.dumps(document).encode(), {"Content-Type": "application/json"})

    def _redirect(self, parts):
        at = parts.index("resolve")
        name, revision, path = (
            "/".join(parts[at - 2 : at]),
            parts[at + 1],
            "/".join(parts[at + 2 :]),
        )
        commit = revision if len(revision) == 40 else commit_of(name, revision)
        content = self.server_state.files.get(f"/store/{name}/{commit}/{path}")
        if content is None:
            self._send(404, b"", {"X-Error-Code": "EntryNotFound"})
            return
        digest = hashlib.sha256(content).hexdigest()
        self._send(
            302,
            b"",
            {
                "Location": f"{self.server_state.store_url}/store/{name}/{commit}/{path}",
                "X-Repo-Commit": commit,
                "X-Linked-Etag": f'"{digest}"',
                "X-Linked-Size": str(len(content)),
                "ETag": f'"{digest}"',
            },
        )

    def _send_file(self, path):
        state, content = self.server_state, self.server_state.files[path]
        state.tokens_leaked += "Authorization" in self.headers and path.startswith("/store")
        asked = self.headers.get("Range", "").removeprefix("bytes=")
        start, stop = 0, len(content)
        if asked:
            first, _, last = asked.partition("-")
            start, stop = int(first), min(int(last or stop - 1) + 1, stop)
        fault = state.fault(len(state.requests), path)
        state.requests.append((path, stop - start))
        headers = {"Content-Range": f"bytes {start}-{stop - 1}/{len(content)}"} if asked else {}
        body = content[start:stop]
        if fault in ("busy", "gone"):
            self._send({"busy": 503, "gone": 403}[fault], b"", {})
        elif fault == "whole":
            self._send(200, content, {})
        elif fault == "shifted":
            shifted = f"bytes {start + 1}-{stop}/{len(content)}"
            self._send(206, body, {"Content-Range": shifted})
        elif fault == "short":
            self._send(206, body[: len(body) // 2], headers)
        elif fault == "drop":
            self._send(206, body[: len(body) // 2], headers, length=len(body))
            self.close_connection = True
        else:
            self._send(206 if asked else 200, body, headers)

    def _send(self, status, body, headers, length=None):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body) if length is None else length))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
