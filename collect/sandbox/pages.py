"""The frame of every sandbox page: a banner that says what this is, the platform's colours, its script."""

from __future__ import annotations

from html import escape

from starlette.responses import HTMLResponse

STYLE = """
*{box-sizing:border-box}
body{margin:0;font:15px/1.5 system-ui,"Noto Sans CJK SC","Microsoft YaHei",sans-serif;color:#222;background:#f4f5f7}
#sandbox-banner{background:#2b2b36;color:#fff;padding:6px 20px;font-size:13px}
#sandbox-banner b{background:#ffd54a;color:#222;border-radius:3px;padding:1px 7px;margin-right:8px}
#sandbox-banner a{color:#9fd0ff;margin-left:8px}
header{background:#fff;border-bottom:1px solid #e2e3e8;padding:10px 20px;display:flex;gap:20px;align-items:center}
header strong{font-size:20px;color:var(--accent)} a{color:var(--accent);text-decoration:none}
main{max-width:960px;margin:20px auto;background:#fff;border:1px solid #e2e3e8;border-radius:8px;padding:20px 24px}
h1{font-size:20px;margin:0 0 14px} table{border-collapse:collapse;width:100%} td,th{text-align:left;padding:4px 10px}
tr{border-bottom:1px solid #eee} td.number,th.number{text-align:right} code{font-size:13px} .faint{color:#777}
button,.button{font:inherit;border:1px solid #ccd;border-radius:6px;background:#fff;padding:6px 16px;cursor:pointer}
button.main,.button.main{background:var(--accent);border-color:var(--accent);color:#fff}
button:disabled{opacity:.45;cursor:default} textarea,input[type=text]{font:inherit;width:100%;padding:8px 10px;
border:1px solid #ccd;border-radius:6px} [role=alert]{color:#b00020}
"""


def render_page(
    platform: str,
    title: str,
    body: str,
    *,
    navigation: str = "",
    style: str = "",
    script: str = "",
    language: str = "en",
    status: int = 200,
) -> HTMLResponse:
    """Set a body, which is HTML already, into the frame; `platform` and `title` are plain text."""
    return HTMLResponse(
        f"""<!doctype html>
<html lang="{language}">
<head>
<meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>{escape(title)} - {escape(platform)} sandbox</title>
<link rel="icon" href="data:,">
<style>{STYLE}{style}</style>
</head>
<body>
<div id="sandbox-banner"><b>sandbox</b>A stand-in for {escape(platform)} on this computer. Nothing leaves it.
<a href="/sandbox/">What it has received</a></div>
<header><strong>{escape(platform)}</strong>{navigation}</header>
<main>{body}</main>
<script>{script}</script>
</body>
</html>
""",
        status_code=status,
    )
