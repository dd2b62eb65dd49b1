#!/bin/sh
# ansi_up 6.0.6: colours and underlines whose parameters are separated by colons (ITU-T T.416), a window title,
# and a sequence of two bytes. Needs Node and npm.
#
# Seen on 2026-11-30: `ESC [ 38:2::255:0:0 m` (red) and `ESC [ 4:3 m` (a wavy underline) colour nothing and are
# shown as text, without their ESC; so are a window title (OSC 0), with its BEL, and ESC 7. The same red with
# semicolons works, and a link (OSC 8) becomes a link.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund --no-save ansi_up@6.0.6
cat > run.mjs <<'END'
import assert from "node:assert";
import { AnsiUp } from "ansi_up";

const seen = {
  "\x1b[38;2;255;0;0mred\x1b[0m": '<span style="color:rgb(255,0,0)">red</span>',
  "\x1b[38:2::255:0:0mred\x1b[0m": "[38:2::255:0:0mred",
  "\x1b[4:3mwrong\x1b[0m": "[4:3mwrong",
  "\x1b]0;building\x07done": "]0;building\x07done",
  "\x1b7saved": "7saved",
};
for (const [text, expected] of Object.entries(seen)) {
  const html = new AnsiUp().ansi_to_html(text);
  console.log(JSON.stringify(text), "->", JSON.stringify(html));
  assert.strictEqual(html, expected);
}
END
node run.mjs
