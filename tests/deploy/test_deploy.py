"""The files of deploy/: nginx runs its own, and the others say what they have to."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml
from starlette.testclient import TestClient

from mien.recognize.recognizer import Recognizer
from mien.serve.api import create_app
from mien.serve.limits import Limits

DEPLOY = Path(__file__).parents[2] / "deploy"
PORTRAIT = Path(__file__).parents[2] / "src" / "mien" / "recognize" / "pictures" / "astronaut.jpg"
TOKEN = "correct horse battery"
NAME = "mien.example.org"
NGINX = shutil.which("nginx")
START = "from mien.cli.main import main; main()"
AROUND = (
    "daemon off; pid nginx.pid; error_log stderr; events {{}} http {{ access_log off; {temporary} include mien.conf; }}"
)


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextmanager
def proxied(folder: Path) -> Iterator[tuple[int, subprocess.Popen[str]]]:
    """The port of nginx with deploy/nginx.conf, and the server behind it."""
    tls, plain = free_port(), free_port()
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", f"/CN={NAME}",
               "-addext", f"subjectAltName=DNS:{NAME}", "-keyout", "privkey.pem", "-out", "fullchain.pem"]  # fmt: skip
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    options = ("--port", "0", "--model", "mien-tiny", "--detector", "fast", "--token", TOKEN, "--root-path", "/mien",
               "--allowed-host", NAME)  # fmt: skip
    with subprocess.Popen(
        [sys.executable, "-c", START, "serve", *options], stderr=subprocess.PIPE, text=True
    ) as server:
        assert server.stderr
        (port,) = re.findall(r"http://127\.0\.0\.1:(\d+)/mien/docs", server.stderr.readline())
        text = (DEPLOY / "nginx.conf").read_text()
        for old, new in (("127.0.0.1:8000", f"127.0.0.1:{port}"), ("listen 443", f"listen 127.0.0.1:{tls}"),
                         ("listen 80", f"listen 127.0.0.1:{plain}"), ("/etc/nginx/tls", str(folder))):  # fmt: skip
            assert old in text
            text = text.replace(old, new)
        (folder / "mien.conf").write_text(text)
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        temporary = " ".join(f"{kind}_temp_path {folder}/{kind};" for kind in kinds)
        (folder / "nginx.conf").write_text(AROUND.format(temporary=temporary))
        with subprocess.Popen([str(NGINX), "-p", str(folder), "-c", "nginx.conf", "-e", "stderr"]) as nginx:
            try:
                yield tls, server
            finally:
                nginx.terminate()
                nginx.wait(10)
                server.terminate()


@pytest.mark.skipif(not NGINX or not shutil.which("openssl"), reason="no nginx or openssl")
def test_nginx_offers_the_server_with_tls_under_a_prefix(tmp_path: Path) -> None:
    import ssl

    with proxied(tmp_path) as (port, server):
        trusted = ssl.create_default_context(cafile=tmp_path / "fullchain.pem")
        headers = {"Host": f"{NAME}:{port}", "Origin": f"https://{NAME}:{port}", "Authorization": f"Bearer {TOKEN}"}
        with httpx.Client(base_url=f"https://127.0.0.1:{port}", verify=trusted, headers=headers) as client:
            named = {"extensions": {"sni_hostname": NAME}}
            until = time.monotonic() + 10
            while True:
                try:
                    page = client.get("/mien/", **named)
                    break
                except httpx.ConnectError:
                    assert time.monotonic() < until
            assert (page.status_code, page.headers["Cross-Origin-Opener-Policy"]) == (200, "same-origin")
            assert client.get("/mien", **named).headers["Location"].endswith("/mien/")
            assert client.get("/mien/docs", **named).status_code == 200
            assert client.get("/mien/openapi.json", **named).json()["servers"][0]["url"] == "/mien"
            large = PORTRAIT.read_bytes() + b"\0" * (31 * 2**20)
            jpeg = {"Content-Type": "image/jpeg"}
            answer = client.post("/mien/v1/recognize", content=large, headers=jpeg, **named)
            assert answer.json()["images"][0]["faces"][0]["emotion"] == "happy"
            given = answer.headers["X-Request-ID"]
            assert re.fullmatch(r"[0-9a-f]{32}", given)
            assert client.get("/mien/v1/nothing", **named).json()["code"] == "unknown_path"
            foreign = client.get("/mien/v1/models", headers={"Origin": "https://evil.example"}, **named)
            assert foreign.json()["code"] == "foreign_origin"
            assert client.get("/v1/models", **named).status_code == 404
            assert list((tmp_path / "client_body").rglob("*")) == []
        assert server.stderr
        assert any(f" {given} 127.0.0.1 POST /v1/recognize 200 " in server.stderr.readline() for _ in range(9))


def test_containers_write_nothing_and_are_not_root() -> None:
    services = yaml.safe_load((DEPLOY / "compose.yaml").read_text())["services"]
    assert (services["mien"]["read_only"], services["mien"]["cap_drop"]) == (True, ["ALL"])
    assert "ports" not in services["mien"]
    text = (DEPLOY / "Dockerfile").read_text()
    assert text.rindex("\nUSER 10001") < text.rindex("\nENTRYPOINT")
    assert "HEALTHCHECK" in text


def test_replicas_on_kubernetes_are_scaled_by_what_the_server_tells() -> None:
    pod = next(_kubernetes("Deployment"))["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    allowed = container["securityContext"]
    assert (pod["securityContext"]["runAsNonRoot"], allowed["readOnlyRootFilesystem"]) == (True, True)
    assert allowed["capabilities"] == {"drop": ["ALL"]}
    (metric,) = next(_kubernetes("HorizontalPodAutoscaler"))["spec"]["metrics"]
    with TestClient(create_app({"mien-tiny": Recognizer("mien-tiny", detector="fast", threads=1)})) as client:
        assert f"\n{metric['pods']['metric']['name']} 0.0\n" in client.get("/metrics").text
        for probe in ("readinessProbe", "livenessProbe"):
            assert client.get(container[probe]["httpGet"]["path"]).status_code == 200


def _kubernetes(kind: str) -> Iterator[dict[str, Any]]:
    found = yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text())
    return (one for one in found if one["kind"] == kind)


def test_who_stops_the_server_waits_for_its_answers() -> None:
    (systemd,) = re.findall(r"^TimeoutStopSec=(\d+)$", (DEPLOY / "mien.service").read_text(), re.MULTILINE)
    (compose,) = re.findall(r"stop_grace_period: (\d+)s", (DEPLOY / "compose.yaml").read_text())
    kubernetes = next(_kubernetes("Deployment"))["spec"]["template"]["spec"]["terminationGracePeriodSeconds"]
    (nginx,) = re.findall(r"proxy_read_timeout (\d+)s", (DEPLOY / "nginx.conf").read_text())
    assert min(int(systemd), int(compose), int(nginx), kubernetes) > Limits().seconds + 5


@pytest.mark.parametrize("name", ["mien.service", "compose.yaml", "kubernetes.yaml"])
def test_the_options_are_those_of_the_command(name: str) -> None:
    shown = subprocess.run([sys.executable, "-c", START, "serve", "--help"], capture_output=True, text=True).stdout
    for option in set(re.findall(r"--[a-z][a-z-]+", (DEPLOY / name).read_text())):
        assert option in shown, option
