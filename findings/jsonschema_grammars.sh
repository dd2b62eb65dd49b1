#!/bin/sh
# jsonschema 4.26.0 with rfc3987-syntax 1.1.0, which JupyterLab brings through jupyter-events 0.12.1.
#
# Seen on 2026-11-29: importing jsonschema, and so importing nbformat, builds 39 parsers from a grammar file, one
# for each rule, although nothing is validated. That is most of the time of the import. Without
# rfc3987-syntax no parser is built. So every process that reads or writes a notebook (nbclient, nbconvert,
# papermill, nbval) starts slower where JupyterLab is installed.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
install() { "$folder/venv/bin/pip" install --quiet --disable-pip-version-check "$@"; }
install nbformat==5.11.1 jsonschema==4.26.0 lark==1.3.1
cat >"$folder/count.py" <<'END'
import lark
import time

built = []
construct = lark.Lark.__init__


def counted(self, *args, **options):
    built.append(options.get("start"))
    construct(self, *args, **options)


lark.Lark.__init__ = counted
began = time.process_time()
import nbformat

print("parsers built:", len(built))
print("seconds of processor time:", round(time.process_time() - began, 2))
END
echo "nbformat alone"
"$folder/venv/bin/python" "$folder/count.py" | tee "$folder/alone"
install jupyter-events==0.12.1 rfc3987-syntax==1.1.0
echo "with jupyter-events"
"$folder/venv/bin/python" "$folder/count.py" | tee "$folder/beside"
grep -q "parsers built: 0$" "$folder/alone"
grep -q "parsers built: 39$" "$folder/beside"
