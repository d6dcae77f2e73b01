"""A server that W&B can log to, or that turns its numbers away."""

import gzip
import json
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@contextmanager
def wandb_server(status=200):
    """Yield the server's address, and the runs that it has got to their end: id, name and group of each.

    Parameters
    ----------
    status:
        The HTTP status that answers the numbers of runs. The rest of a run is always accepted.
    """
    begun, ended = {}, []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *args):
            pass

        def answer(self, content, code=200):
            body = json.dumps(content).encode()
            self.send_response(code)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            if self.headers.get("Content-Encoding") == "gzip":
                body = gzip.decompress(body)
            if self.path.startswith("/files/"):
                if status == 200 and b'"complete":true' in body:
                    ended.append(begun[self.path.split("/")[-2]])
                return self.answer({}, status)
            if self.path != "/graphql":
                return self.answer({}, 404)
            request = json.loads(body)
            query, variables = request.get("query", ""), request.get("variables") or {}
            if "createRunFiles" in query:
                url = f"http://{self.headers['Host']}/upload"
                made = [{"name": name, "uploadUrl": url} for name in variables["files"]]
                return self.answer({"data": {"createRunFiles": {"runID": "", "uploadHeaders": [], "files": made}}})
            if "upsertBucket" not in query:
                return self.answer({"data": {"viewer": None, "serverInfo": None, "model": None}})
            run, project = variables["name"], {"name": variables["project"], "entity": {"name": "me"}}
            begun.setdefault(run, (run, variables["displayName"], variables["groupName"]))
            bucket = {"id": run, "name": run, "displayName": variables["displayName"], "config": "{}"}
            bucket |= {"description": None, "sweepName": None, "project": project, "historyLineCount": 0}
            self.answer({"data": {"upsertBucket": {"bucket": bucket, "inserted": True}}})

        def do_PUT(self):
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            self.answer({})

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, request, address):
            pass  # W&B closes connections without a word

    with Server(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", ended
        server.shutdown()
        thread.join()
