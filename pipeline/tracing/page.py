"""A story as one HTML page that needs nothing but itself."""

from __future__ import annotations

from html import escape

import msgspec

from pipeline.tracing.sentences import seconds
from pipeline.tracing.story import Step, Story

_POLICY = "default-src 'none'; style-src 'unsafe-inline'"
_STYLE = """body{font:15px/1.5 system-ui,sans-serif;margin:2rem auto;max-width:68rem;padding:0 1rem;color:#1a1a1a}
h1{font-size:1.3rem;margin:0}.soft{color:#666}table{border-collapse:collapse;width:100%;margin:1rem 0}
td,th{padding:.15rem .5rem;text-align:left;font-size:13px;border-bottom:1px solid #eee}.n{text-align:right}
.bar{width:34%;position:relative}.bar i{position:absolute;top:25%;height:50%;min-width:2px;background:#3b78c4}
.wait i{background:#c9c9c9}.bad i{background:#c0392b}.bad{color:#a22}pre{overflow:auto;font-size:12px}
@media(prefers-color-scheme:dark){body{background:#161616;color:#e6e6e6}.soft{color:#999}td,th{border-color:#333}}"""


def page(story: Story) -> str:
    """The whole file: sentences, where the time went, every step, all figures."""
    title = escape(f"{story.material_id}: {story.outcome}")
    body = [
        f"<h1>{title} in {seconds(story.total_ms)}</h1>",
        f'<p class="soft">{escape(story.kind)} from {escape(story.source)}, job {escape(story.job)}, '
        f"trace {story.trace_id}</p>",
        *(f"<p>{escape(line)}</p>" for line in story.sentences),
        "<table><tr><th>where the time went<th class=n>took<th class=n>share</tr>",
        *(
            f"<tr><td>{escape(share.what)}<td class=n>{seconds(share.ms)}<td class=n>{share.share:.1%}</tr>"
            for share in story.spent[:8]
        ),
        "</table><table><tr><th class=n>at, ms<th>step<th class=n>took<th></tr>",
        *(_row(step, story.total_ms) for step in story.steps),
        "</table><details><summary>All figures</summary>",
        f"<pre>{escape(msgspec.json.format(msgspec.json.encode(story), indent=1).decode())}</pre></details>",
    ]
    head = (
        f'<meta charset="utf-8"><meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        f'<meta name="viewport" content="width=device-width"><title>{title}</title><style>{_STYLE}</style>'
    )
    return f'<!doctype html><html lang="en"><head>{head}</head><body>{"".join(body)}</body></html>\n'


def _row(step: Step, total: float) -> str:
    kind = "bad" if step.error else "wait" if step.name.endswith("wait") or step.name == "backoff" else ""
    left = min(100.0, max(0.0, step.start_ms) / max(total, 1e-6) * 100)
    width = min(100.0 - left, step.ms / max(total, 1e-6) * 100)
    error = f"<br>{escape(step.error)}" if step.error else ""
    return (
        f'<tr class="{kind}"><td class=n>{step.start_ms:.1f}'
        f'<td style="padding-left:{0.5 + step.depth * 1.2:.1f}rem">{escape(step.what)}{error}'
        f'<td class=n>{seconds(step.ms)}<td class=bar><i style="left:{left:.2f}%;width:{width:.2f}%"></i></tr>'
    )
