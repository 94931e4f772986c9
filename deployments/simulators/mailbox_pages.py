"""The mailbox's page templates and style: plain HTML, no script."""

import re
from html import escape
from string import Template

PAGE = Template("""<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>$title</title>
<link rel="stylesheet" href="/style.css">
</head>
<body>
<header><a href="/">Mailbox</a><span>for demonstrations: nothing leaves this machine</span></header>
<main>
<h1>$title</h1>
$body
</main>
</body>
</html>
""")

LIST_PAGE = Template("""<p class="bar"><span>$count</span><a class="button" href="/">Refresh</a></p>
$empty
<table>
<thead><tr><th scope="col">Subject</th><th scope="col">To</th><th scope="col">Received (UTC)</th></tr></thead>
<tbody>$rows</tbody>
</table>
""")

MESSAGE_PAGE = Template("""<dl>
<dt>From</dt><dd>$sender</dd>
<dt>To</dt><dd>$to</dd>
<dt>Received</dt><dd>$received</dd>
<dt>Message-ID</dt><dd>$message_id</dd>
</dl>
$parts
<p class="bar"><a class="button" href="/">Back to the list</a>
<a class="button" href="/messages/$id/raw">Save as .eml</a></p>
""")

# Links of a mail open in a tab of their own: the frame they are in may show nothing but the mail.
FRAME_HEAD = '<!doctype html><meta charset="utf-8"><base target="_blank">'

STYLE = """
:root { color-scheme: light dark; --line: #d5dbe1; --quiet: #55606b; --link: #0b57a4; --paper: #fff;
  --ground: #f3f5f7; }
@media (prefers-color-scheme: dark) {
  :root { --line: #3a434c; --quiet: #a5b0bb; --link: #8fc1f5; --paper: #1b2026; --ground: #12161a; }
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); font: 16px/1.5 system-ui, sans-serif; }
header { display: flex; flex-wrap: wrap; gap: 0 1rem; align-items: baseline; padding: .75rem 1rem;
  background: var(--paper); border-bottom: 1px solid var(--line); color: var(--quiet); font-size: .875rem; }
header a { font-weight: 600; font-size: 1rem; }
main { max-width: 64rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.375rem; margin: .5rem 0; overflow-wrap: anywhere; }
h2 { font-size: 1rem; margin: 1.25rem 0 .375rem; }
a { color: var(--link); }
a:focus-visible { outline: 3px solid var(--link); outline-offset: 2px; }
.bar { display: flex; gap: .75rem; align-items: center; justify-content: space-between; }
.button { display: inline-block; padding: .5rem .875rem; min-height: 2.75rem; border: 1px solid var(--line);
  border-radius: .375rem; background: var(--paper); text-decoration: none; }
.empty { padding: 2rem 1rem; text-align: center; color: var(--quiet); }
table { width: 100%; border-collapse: collapse; background: var(--paper); border: 1px solid var(--line); }
th, td { padding: .625rem .75rem; text-align: left; border-bottom: 1px solid var(--line); vertical-align: top; }
th { font-size: .875rem; color: var(--quiet); }
td { overflow-wrap: anywhere; }
.subject { font-weight: 500; }
.time { white-space: nowrap; font-variant-numeric: tabular-nums; }
.label { display: none; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1rem; margin: .5rem 0; }
dt { color: var(--quiet); }
dd { margin: 0; overflow-wrap: anywhere; }
.text, iframe { width: 100%; background: var(--paper); border: 1px solid var(--line); border-radius: .375rem; }
.text { padding: .75rem; white-space: pre-wrap; overflow-wrap: anywhere; }
iframe { height: 22rem; resize: vertical; background: #fff; color-scheme: light; }
@media (max-width: 40rem) {
  thead { position: absolute; clip-path: inset(50%); width: 1px; height: 1px; overflow: hidden; }
  tr, td { display: block; }
  tr { padding: .625rem .75rem; border-bottom: 1px solid var(--line); }
  td { padding: 0; border: 0; }
  .to, .time { color: var(--quiet); font-size: .875rem; }
  .label { display: inline; }
  .subject a { display: block; padding: .25rem 0; }
  dl { grid-template-columns: 1fr; }
  dd { margin-bottom: .375rem; }
}
"""

LINK = re.compile(r"https?://[^\s<>\"']*[^\s<>\"'.,;:!?)\]]")


def linked(text: str) -> str:
    """The text escaped, its web addresses clickable."""
    pieces, end = [], 0
    for found in LINK.finditer(text):
        address = escape(found.group())
        pieces += [escape(text[end : found.start()]), f'<a href="{address}" rel="noreferrer noopener">{address}</a>']
        end = found.end()
    return "".join([*pieces, escape(text[end:])])
