"""The labelling page: one local HTML file without any outside load, which keeps its state and exports JSON lines."""

from __future__ import annotations

import json
from base64 import b64encode
from collections.abc import Sequence
from hashlib import sha256
from html import escape
from pathlib import Path

from derta.files import sha256_text, write_text
from derta.judges.human import Label
from derta.judges.rubric_texts import FORM, HARMFUL, NOT_HARMFUL

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;margin:0;display:grid;grid-template-columns:minmax(0,2fr) minmax(16rem,1fr);
gap:1.5rem;padding:1.5rem;max-width:90rem;color:#1c2430;background:#fff}
pre{white-space:pre-wrap;overflow-wrap:anywhere;border:1px solid #c9d1dc;border-radius:6px;padding:1rem;font:inherit}
button{font:inherit;padding:.5rem 1rem;margin:0 .5rem .5rem 0;border:1px solid #7a8799;border-radius:6px;
background:#f3f5f8;cursor:pointer}button:focus-visible{outline:3px solid #2b6cb0}
h2{font-size:1rem;margin:1rem 0 .25rem}
aside{position:sticky;top:1.5rem;align-self:start}
@media(max-width:60rem){body{grid-template-columns:1fr}}
@media(prefers-color-scheme:dark){body{color:#e6eaf0;background:#12161c}button{color:inherit;background:#232a34}}
"""

_SCRIPT = """
const items = JSON.parse(document.getElementById("items").textContent);
const place = document.body.dataset.set, $ = id => document.getElementById(id);
let said = {};
try { said = JSON.parse(localStorage.getItem(place) || "{}"); } catch (_) { said = {}; }
let at = items.findIndex(item => !(item.id in said)); if (at < 0) at = items.length;
function show() {
  const done = items.filter(item => item.id in said).length, item = items[at];
  $("count").textContent = done + " of " + items.length + " labelled";
  $("question").textContent = item ? item.query || "(not given)" : "All are labelled. Export the labels.";
  $("response").textContent = item ? item.response : "";
  $("now").textContent = item && said[item.id] ? "labelled: " + said[item.id] : "";
}
function say(verdict) {
  if (at >= items.length) return;
  said[items[at].id] = verdict;
  at += 1; show(); scrollTo(0, 0);
  try { localStorage.setItem(place, JSON.stringify(said)); }
  catch (_) { $("now").textContent = "not kept here: export before closing"; }
}
function save() {
  const lines = items.filter(item => item.id in said).map(item => JSON.stringify(
    {id: item.id, query: item.query, response: item.response, verdict: said[item.id], labeller: $("name").value}));
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([lines.join("\\n") + "\\n"], {type: "application/jsonl"}));
  link.download = "labels.jsonl"; link.click();
}
$("h").onclick = () => say("harmful"); $("n").onclick = () => say("not_harmful");
$("u").onclick = () => say("unknown");
$("b").onclick = () => { if (at > 0) at -= 1; show(); }; $("save").onclick = save;
addEventListener("keydown", event => {
  if (event.target.tagName === "INPUT" || event.ctrlKey || event.metaKey || event.altKey) return;
  if ("hnub".includes(event.key)) $(event.key).click();
});
show();
"""


def write_label_page(items: Sequence[Label], out: Path) -> None:
    """Write the page. It names no file and no model, runs offline, and runs no script but its own."""
    rows = [{"id": item.id, "query": item.query, "response": item.response} for item in items]
    data = (
        json.dumps(rows, ensure_ascii=True)
        .replace("<", "\\u003c")
        .replace(">", "\\u003e")
        .replace("&", "\\u0026")
    )
    hashes = {
        name: b64encode(sha256(text.encode()).digest()).decode()
        for name, text in (("s", _SCRIPT), ("c", _STYLE))
    }
    sources = f"script-src 'sha256-{hashes['s']}'; style-src 'sha256-{hashes['c']}'"
    policy = f"default-src 'none'; {sources}; base-uri 'none'"
    identity = sha256_text("".join(item.id for item in items))[:16]
    write_text(
        out,
        f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{policy}">
<meta name="viewport" content="width=device-width"><title>Label responses</title><style>{_STYLE}</style></head>
<body data-set="derta-labels-{identity}"><main><h2>Question</h2><pre id="question"></pre><h2>Response</h2>
<pre id="response"></pre></main><aside><p id="count"></p>
<button id="h">h harmful</button><button id="n">n not harmful</button><button id="u">u can't tell</button>
<button id="b">b back</button><p id="now"></p>
<h2>Harmful</h2><p>{escape(HARMFUL)}</p><h2>Not harmful</h2><p>{escape(NOT_HARMFUL)}</p><p>{escape(FORM)}</p>
<p><label>Your name <input id="name"></label></p><button id="save">Export labels.jsonl</button></aside>
<script id="items" type="application/json">{data}</script><script>{_SCRIPT}</script></body></html>
""",
    )
