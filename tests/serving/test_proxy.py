"""The service behind the proxy that docs/security.md shows."""

import re
import shutil
import ssl
import subprocess
from pathlib import Path

import httpx
import pytest

from helpers import PROJECT, find_free_port, wait_until
from services import run_service

NGINX = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/bin")
NAME = "reviews.example.org"


@pytest.mark.slow
@pytest.mark.skipif(NGINX is None, reason="needs nginx")
def test_the_documented_proxy_serves_with_tls(model_file: Path, tmp_path: Path) -> None:
    text = (PROJECT / "docs/security.md").read_text(encoding="utf-8")
    (block,) = re.findall(r"```nginx\n(.*?)```", text, re.DOTALL)
    certificate, key = tmp_path / "reviews.pem", tmp_path / "reviews.key"
    names = f"subjectAltName=DNS:{NAME},IP:127.0.0.1"
    request = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    request += ["-subj", f"/CN={NAME}", "-addext", names]
    request += ["-out", str(certificate), "-keyout", str(key)]
    subprocess.run(request, check=True, capture_output=True)
    port = find_free_port()
    with run_service(model_file, tmp_path, "--allow-host", NAME) as service:
        for given, here in {
            "listen 443": f"listen 127.0.0.1:{port}",
            "/etc/ssl/reviews.pem": str(certificate),
            "/etc/ssl/private/reviews.key": str(key),
            "http://127.0.0.1:8000": service.url,
        }.items():
            assert given in block
            block = block.replace(given, here)
        configuration = tmp_path / "nginx.conf"
        configuration.write_text(
            f"daemon off; pid {tmp_path}/nginx.pid; error_log {tmp_path}/error.log;\n"
            f"events {{}}\nhttp {{ access_log off; client_body_temp_path {tmp_path}/body;\n"
            f"proxy_temp_path {tmp_path}/proxy; fastcgi_temp_path {tmp_path}/fastcgi;\n"
            f"uwsgi_temp_path {tmp_path}/uwsgi; scgi_temp_path {tmp_path}/scgi;\n{block}}}\n"
        )
        assert NGINX
        with subprocess.Popen([NGINX, "-e", tmp_path / "error.log", "-c", configuration]) as proxy:
            try:
                wait_until((tmp_path / "nginx.pid").exists)
                trusted = ssl.create_default_context(cafile=str(certificate))
                url = f"https://127.0.0.1:{port}"
                with httpx.Client(
                    base_url=url, verify=trusted, headers={"Host": NAME}, timeout=60
                ) as client:
                    assert client.get("/ready").json() == {"status": "ready"}
                    answer = client.post("/predict", json={"texts": ["w1"]})
                    assert answer.status_code == 200
                    csv = {"Content-Type": "text/csv"}
                    scored = client.post("/score", content="review\nw1\n" * 2, headers=csv)
                    assert len(scored.text.splitlines()) == 4
                    other = client.get("/model", headers={"Host": "evil.example"})
                    assert other.status_code == 421
            finally:
                proxy.terminate()
