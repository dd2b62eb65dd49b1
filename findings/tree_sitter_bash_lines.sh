#!/bin/sh
# tree-sitter-bash 0.25.1 (PyPI): two commands on two lines that parse as one.
#
# Seen on 2026-11-29: when the second line begins with a backslash before a letter, the grammar joins both lines into
# one command without an ERROR node. bash runs two commands. A word such as `a]\(b` is one word in bash, and two
# words in the tree.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check tree-sitter==0.25.2 tree-sitter-bash==0.25.1
"$folder/venv/bin/python" - <<'END'
import subprocess

import tree_sitter_bash
from tree_sitter import Language, Parser

parser = Parser(Language(tree_sitter_bash.language()))


def commands(node):
    found = [node] if node.type == "command" else []
    return found + [each for child in node.children for each in commands(child)]


text = "echo one\n\\echo two"
tree = parser.parse(text.encode()).root_node
ran = subprocess.run(["bash", "-c", text], capture_output=True, text=True, check=True).stdout
print("bash runs:", ran.split("\n")[:-1])
print("commands in the tree:", len(commands(tree)), "error nodes:", tree.has_error)
word = r"echo a]\(b"
printed = subprocess.run(["bash", "-c", "set -- " + word + "; echo $#"], capture_output=True, text=True, check=True)
words = [child.text.decode() for child in commands(parser.parse(word.encode()).root_node)[0].children]
print("words for bash:", printed.stdout.strip(), "words in the tree:", len(words), words)
assert ran == "one\ntwo\n" and len(commands(tree)) == 1 and not tree.has_error
assert printed.stdout.strip() == "2" and len(words) == 3
END
