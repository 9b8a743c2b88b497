"""The style sheet of the report page: light and dark, wide and narrow."""

from __future__ import annotations

from typing import Final

STYLE: Final = """
:root { color-scheme: light dark;
  --paper: #fbfbfa; --card: #ffffff; --ink: #1d2126; --soft: #5c6670; --line: #dfe3e6;
  --done: #3f8f63; --missing: #e0a01b; --different: #cf3b3b; --empty: #c3d3dd; --unknown: #eceeef;
  --expected: #2f6fb3; --found: #d9722c; }
@media (prefers-color-scheme: dark) { :root {
  --paper: #14171a; --card: #1c2024; --ink: #e6e9ec; --soft: #9aa5af; --line: #333a40;
  --done: #4fae79; --missing: #e2b042; --different: #ee6464; --empty: #3d5261; --unknown: #24292e;
  --expected: #6aa9ea; --found: #f0995a; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.25rem 1rem 4rem; max-width: 68rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; overflow-wrap: break-word; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .25rem; }
h2 { font-size: 1.15rem; margin: 2.25rem 0 .5rem; }
h3 { font-size: .95rem; margin: 0 0 .25rem; font-weight: 600; overflow-wrap: anywhere; }
p { margin: .4rem 0; }
.soft { color: var(--soft); font-size: .9rem; }
.verdict { margin: 1rem 0; padding: .8rem 1rem; border-radius: .5rem; border-left: .4rem solid var(--done);
  background: var(--card); font-size: 1.1rem; font-weight: 600; box-shadow: 0 0 0 1px var(--line); }
.verdict.bad { border-left-color: var(--different); }
.verdict p { font-weight: 400; font-size: .95rem; }
.facts { display: grid; grid-template-columns: repeat(auto-fit, minmax(9rem, 1fr)); gap: .6rem; margin: 1rem 0; }
.facts div, figure { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .6rem .8rem; }
.facts b { display: block; font-size: 1.25rem; font-variant-numeric: tabular-nums; }
.facts span { color: var(--soft); font-size: .85rem; }
figure { margin: .8rem 0; }
figcaption { color: var(--soft); font-size: .85rem; }
.wide { overflow-x: auto; -webkit-overflow-scrolling: touch; }
table { border-collapse: collapse; width: 100%; font-size: .88rem; }
th, td { text-align: left; vertical-align: top; padding: .35rem .9rem .35rem 0; border-bottom: 1px solid var(--line); }
th { color: var(--soft); font-weight: 600; white-space: nowrap; }
td.n, th.n { text-align: right; font-variant-numeric: tabular-nums; }
td.k { white-space: nowrap; font-weight: 600; }
code, pre, td.id { font-family: ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; font-size: .82rem; }
td.id { min-width: 9rem; overflow-wrap: anywhere; }
td.text { min-width: 16rem; }
pre { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; padding: .8rem; overflow-x: auto; }
.picture { min-width: 34rem; }
.wide + .wide { margin-top: 1.2rem; }
@media (max-width: 44rem) {
  table.stack thead { display: none; }
  table.stack tr { display: block; padding: .45rem 0; border-bottom: 1px solid var(--line); }
  table.stack td { display: inline; padding: 0 .5rem 0 0; border: 0; min-width: 0; white-space: normal; }
  table.stack td.id, table.stack td.text { display: block; } }
svg { display: block; width: 100%; height: auto; }
svg text { fill: var(--soft); font: 11px system-ui, sans-serif; }
.done { fill: var(--done); } .missing { fill: var(--missing); } .different { fill: var(--different); }
.empty { fill: var(--empty); } .unknown { fill: var(--unknown); }
.axis { stroke: var(--line); fill: none; }
.curve { fill: none; stroke-width: 1.5; stroke-linejoin: round; }
.curve.expected { stroke: var(--expected); } .curve.found { stroke: var(--found); stroke-dasharray: 5 3; }
.dot.expected { fill: var(--expected); } .dot.found { fill: var(--found); }
.mark { fill: none; stroke: var(--different); stroke-width: 2; }
.legend { display: flex; flex-wrap: wrap; gap: .25rem 1rem; font-size: .85rem; color: var(--soft); margin: .3rem 0; }
.legend svg { display: inline-block; width: 1.1rem; height: .8rem; margin-right: .35rem; vertical-align: -.05rem; }
"""
