"""A web server on 127.0.0.1 that serves byte ranges, plays the Hub, and misbehaves when told to."""

import base64
import hashlib
import json
import threading
from collections.abc import Callable
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote, urlsplit


def commit_of(repository: str, revision: str) -> str:
    return hashlib.sha1(f"{repository}@{revision}".encode()).hexdigest()


def file_entry(path: str, content: bytes) -> dict[str, object]:
    """What the Hub says of a file in a listing."""
    size, digest = len(content), hashlib.sha256(content).hexdigest()
    return {
        "type": "file",
        "path": path,
        "size": size,
        "oid": hashlib.sha1(content).hexdigest(),
        "lfs": {"oid": digest, "size": size, "pointerSize": 130},
    }


class RangeServer:
    """Files by path, a log of what was asked, and a plan of faults.

    `fault(number, path)` names what goes wrong with the n-th request for a file: `drop` (the
    connection closes in the middle), `short` (a whole answer of too few bytes), `shifted` (another
    range), `whole` (ranges ignored), `busy` (503), `gone` (403), `long` (more bytes announced than
    come, and the connection stays open), or None.
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
        self.busy_api = 0  # answers of the Hub to come that are 503
        self.retry_after: str | None = None  # what an answer 503 says of it
        self.tags: dict[str, str] = {}  # ETag of a file
        self.tokens_leaked = 0

    def add_repository(self, kind, name, revision, files) -> str:
        """Put files on the fake Hub at a revision and return its commit."""
        commit = commit_of(name, revision)
        for key in (revision, commit):
            self.repositories[kind, name, key] = files
        for path, content in files.items():
            self.files[f"/store/{name}/{commit}/{path}"] = content
        return commit

    def commit(self, kind, name, revision, lines) -> None:
        """Do what a commit to the fake Hub asks for: files that are added or deleted."""
        files = self.repositories[kind, name, revision]
        store = f"/store/{name}/{commit_of(name, revision)}/"
        for line in lines:
            path = line["value"].get("path")
            if line["key"] == "file":
                files[path] = self.files[store + path] = base64.b64decode(line["value"]["content"])
            elif line["key"] == "deletedFile":
                del files[path], self.files[store + path]

    @property
    def bytes_sent(self) -> int:
        return sum(size for _, size in self.requests)

    def close(self) -> None:
        for each in self._servers:
            each.shutdown()
            each.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else a body waits for the acknowledgement of its headers
    server_state: RangeServer

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        url = urlsplit(self.path)
        with suppress(BrokenPipeError, ConnectionResetError):
            self._answer(unquote(url.path), "true" in parse_qs(url.query).get("recursive", []))

    def do_POST(self):
        kind, *name, what, revision = unquote(urlsplit(self.path).path).split("/")[2:]
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if what == "preupload":
            paths = [each["path"] for each in json.loads(body)["files"]]
            self._send_json(
                {
                    "files": [
                        {"path": path, "uploadMode": "regular", "shouldIgnore": False}
                        for path in paths
                    ]
                }
            )
        elif what == "commit":
            lines = [json.loads(line) for line in body.splitlines()]
            try:
                self.server_state.commit(kind.rstrip("s"), "/".join(name), revision, lines)
            except KeyError:
                self._send(404, b"{}", {"X-Error-Code": "EntryNotFound"})
                return
            url = f"{self.server_state.url}/datasets/{'/'.join(name)}/commit/{'0' * 40}"
            self._send_json({"commitUrl": url, "commitOid": "0" * 40})

    def _answer(self, path, recursive):
        parts = path.strip("/").split("/")
        if path in self.server_state.files:
            self._send_file(path)
        elif parts[0] == "api" and len(parts) >= 4:
            what, revision = parts[4:6] or ("revision", "main")
            repository = parts[1].rstrip("s"), "/".join(parts[2:4]), revision
            self._send_api(*repository, what == "tree", "/".join(parts[6:]), recursive)
        elif "resolve" in parts:
            self._redirect(parts)
        else:
            self._send(404, b"", {"X-Error-Message": "not found"})

    def _send_busy(self):
        after = self.server_state.retry_after
        self._send(503, b"", {} if after is None else {"Retry-After": after})

    def _send_api(self, kind, name, revision, is_tree, folder, recursive):
        if self.server_state.busy_api > 0:
            self.server_state.busy_api -= 1
            self._send_busy()
            return
        files = self.server_state.repositories.get((kind, name, revision))
        if files is None:
            known = any(key[:2] == (kind, name) for key in self.server_state.repositories)
            code = "RevisionNotFound" if known else "RepoNotFound"
            self._send(404, b"{}", {"X-Error-Code": code})
        elif is_tree:
            self._send_tree(files, folder + "/" if folder else "", recursive)
        else:
            sha = revision if len(revision) == 40 else commit_of(name, revision)
            self._send_json({"id": name, "sha": sha, "siblings": []})

    def _send_tree(self, files, folder, recursive):
        inside = {path: content for path, content in files.items() if path.startswith(folder)}
        if folder and not inside:
            self._send(404, b"{}", {"X-Error-Code": "EntryNotFound"})
            return
        folders = {path[:i] for path in inside for i in range(len(path)) if path[i] == "/"}
        entries = [file_entry(*file) for file in inside.items()] + [
            {"type": "directory", "path": path, "oid": "0" * 40}
            for path in folders
            if path.startswith(folder)
        ]
        depth = folder.count("/")
        self._send_json([e for e in entries if recursive or e["path"].count("/") == depth])

    def _send_json(self, document):
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
        if path in state.tags:
            headers["ETag"] = state.tags[path]
        if fault == "busy":
            self._send_busy()
        elif fault == "gone":
            self._send(403, b"", {})
        elif fault == "long":
            self._send(206, body, headers, length=10 * len(body))
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
