"""What the clients under test run inside: each prints `sites.WORD` if it reaches its host."""

from __future__ import annotations

import os
import shutil

from tests.sandboxes.network.networked import DIRECT

PYTHON = "/usr/bin/python3"
JAVA = os.path.realpath(shutil.which("java", path="/usr/bin") or "/usr/bin/java")
GO = os.path.realpath(shutil.which("go", path="/usr/bin") or "/usr/bin/go")
NODE = "/mnt/node/bin/node"
CARGO_BIN = "/mnt/cargo/bin"
TEXT = "https://files.test/word.txt"

PIP_INDEX = "https://index.test/simple"
NPM_REGISTRY = "https://npm.test/"

_INDEX = f"--target got --index-url {PIP_INDEX} tiny"
_USE = f"PYTHONPATH=got {PYTHON} -c 'import tiny; print(tiny.WORD)'"


def python(code: str) -> str:
    """Return a command for Debian's Python, whose packages are Debian's too."""
    return f"{PYTHON} - <<'END'\n{code}\nEND"


PIP = f"{PYTHON} -m pip install --retries 1 {_INDEX} && {_USE}"
UV = f"UV_HTTP_RETRIES=0 /mnt/uv/uv pip install --quiet --no-cache --python {PYTHON} {_INDEX} && {_USE}"

NPM = f"""
export PATH=/mnt/node/bin:$PATH npm_config_fetch_retries=0 npm_config_update_notifier=false
{NODE} /mnt/node/lib/node_modules/npm/bin/npm-cli.js install --no-audit --no-fund \\
  --registry {NPM_REGISTRY} tiny && {NODE} -p 'require("tiny")'
"""

GIT_HTTPS = "git clone -q https://git.test/tiny.git && cat tiny/word.txt"
GIT_SSH = "git clone -q ssh://$SSH_USER@git.test$SSH_SITE/tiny.git && cat tiny/word.txt"
CURL = f"curl -sS {TEXT}"
CURL_DIRECT = f"{DIRECT} curl -sS {TEXT}"
WGET = f"wget -nv -O - {TEXT}"

URLLIB = python(f"import urllib.request as r; print(r.urlopen('{TEXT}').read().decode())")
REQUESTS = python(f"import requests; print(requests.get('{TEXT}').text)")
HTTPX = python(f"import httpx; print(httpx.get('{TEXT}').text)")
AIOHTTP = python(f"""
import aiohttp, asyncio
async def fetch():
    async with aiohttp.ClientSession(trust_env=True) as session, session.get("{TEXT}") as answer:
        print(await answer.text())
asyncio.run(fetch())
""")
PSYCOPG = python("""
import psycopg
with psycopg.connect("host=db.test user=postgres dbname=postgres") as connection:
    print(*connection.execute("SELECT 'it-' || 'works'").fetchone())
""")

R = """
Rscript - <<'END'
install.packages("tiny", lib = ".", repos = "https://cran.test", quiet = TRUE)
cat(get("word", asNamespace(loadNamespace("tiny", lib.loc = ".")))(), "\\n")
END
"""

JAVA_FETCH = f"""
cat >Fetch.java <<'END'
import java.net.URI;
import java.net.http.*;
import java.util.Base64;
public class Fetch {{
    public static void main(String[] words) throws Exception {{
        var address = URI.create(words[0]);
        var request = HttpRequest.newBuilder(address);
        if (address.getUserInfo() != null) {{
            var login = Base64.getEncoder().encodeToString(address.getUserInfo().getBytes());
            request.header("Authorization", "Basic " + login);
        }}
        var handler = HttpResponse.BodyHandlers.ofString();
        var answer = HttpClient.newHttpClient().send(request.build(), handler);
        System.out.print(answer.body());
    }}
}}
END
quick='-XX:TieredStopAtLevel=1 -XX:+UseSerialGC'
[ -e Fetch.class ] || {JAVA} $quick -m jdk.compiler/com.sun.tools.javac.Main Fetch.java
if [ -z "$JAVA_TOOL_OPTIONS" ]; then # a sandbox with a secret has settings for Java, others have none
    trust='-Djavax.net.ssl.trustStore=trusted -Djavax.net.ssl.trustStorePassword=changeit'
    [ -e trusted ] || {os.path.dirname(JAVA)}/keytool -importcert -noprompt -file $SSL_CERT_FILE \\
      -keystore trusted -storepass changeit
fi
{JAVA} $quick $trust Fetch {TEXT}
"""
"""Java reads no proxy from the environment, so this is a program without proxy settings."""

GO_DOWNLOAD = f"""
export GOPATH=$PWD/go GOCACHE=$PWD/cache GOFLAGS=-modcacherw GOPROXY=https://go.test GONOSUMDB='*'
{DIRECT} {GO} mod download -x example.org/tiny@v1.0.0 && cat go/pkg/mod/example.org/tiny@v1.0.0/tiny.go
"""

CARGO_FETCH = f"""
export PATH={CARGO_BIN}:$PATH CARGO_HOME=$PWD/cargo CARGO_NET_RETRY=0
export CARGO_REGISTRIES_TESTS_INDEX=${{CARGO_REGISTRIES_TESTS_INDEX:-sparse+https://cargo.test/}}
export CARGO_REGISTRIES_TESTS_CREDENTIAL_PROVIDER=cargo:token CARGO_HTTP_CAINFO=$SSL_CERT_FILE
export CARGO_REGISTRIES_TESTS_TOKEN="Bearer ${{TOKEN-none}}"
mkdir -p use/src && touch use/src/lib.rs && cat >use/Cargo.toml <<'END'
[package]
name = "use"
version = "0.1.0"
edition = "2021"
[dependencies]
tiny = {{ version = "1", registry = "tests" }}
END
cargo fetch --manifest-path use/Cargo.toml && cat cargo/registry/src/*/tiny-1.0.0/src/lib.rs
"""

URLLIB_LOGIN = python(f"""
import base64, os, urllib.request
login = base64.b64encode(("user:" + os.environ["TOKEN"]).encode()).decode()
request = urllib.request.Request("{TEXT}", headers={{"Authorization": "Basic " + login}})
print(urllib.request.urlopen(request).read().decode())
""")
NPM_LOGIN = NPM.replace("--registry", "--//npm.test/:_authToken=$TOKEN --registry")
WGET_LOGIN = f"wget -nv --ca-certificate=$SSL_CERT_FILE --user user --password $TOKEN -O - {TEXT}"
"""GnuTLS, which Debian's wget uses, reads no variable."""
