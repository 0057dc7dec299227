"""The report's style sheet: light, dark and on paper."""

from __future__ import annotations

STYLE = """
:root {
  color-scheme: light dark;
  --page: #ffffff; --panel: #f6f7f9; --text: #1c2128; --quiet: #5c6672; --line: #d5dae1;
  --accent: #0b6bcb; --band: #0b6bcb26; --good: #14713d; --bad: #b42318; --fail: #98a1ac;
    --edge: #b4bcc6;
  --added: #dff5e5; --removed: #fde4e1; --hunk: #e7eefb;
  --c0: #0072b2; --c1: #d55e00; --c2: #00875f; --c3: #b3589a; --c4: #b58900; --c5: #4aa3d8;
  --c6: #6b4fbb; --other: #8a929c;
  --word: #8250df; --string: #0a5a2c; --comment: #6a737d; --tune: #b25000;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #14171c; --panel: #1c2128; --text: #e2e6eb; --quiet: #9aa5b1; --line: #363d47;
    --accent: #58a6ff; --band: #58a6ff30; --good: #56d088; --bad: #ff8b80; --fail: #6c7682;
      --edge: #4c5561;
    --added: #12351f; --removed: #45201d; --hunk: #1d2b44;
    --c0: #4aa8e8; --c1: #f2894d; --c2: #3fc79a; --c3: #dd8ac6; --c4: #e0b93f; --c5: #8fd0f5;
    --c6: #ab95f0; --other: #7d8793;
    --word: #c8a6ff; --string: #8fd6a5; --comment: #8b949e; --tune: #ffb26b;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0 auto; padding: 28px 24px 64px; max-width: 1060px; background: var(--page);
  color: var(--text); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", sans-serif;
}
h1 { font-size: 20px; margin: 0 0 4px; }
h2 { font-size: 17px; margin: 40px 0 10px; padding-top: 10px; border-top: 1px solid var(--line); }
p { margin: 6px 0; }
.quiet, figcaption p, .note { color: var(--quiet); font-size: 13.5px; }
.figure { font-size: 52px; font-weight: 650; line-height: 1.15; }
.figure small { font-size: 20px; font-weight: 400; color: var(--quiet); }
.good { color: var(--good); } .bad { color: var(--bad); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 3px 18px; margin: 12px 0; }
dt { color: var(--quiet); } dd { margin: 0; overflow-wrap: anywhere; }
.wide { overflow-x: auto; } .tall { max-height: 620px; overflow-y: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: 4px 14px 4px 0; text-align: right; vertical-align: top; white-space: nowrap; }
th { font-weight: 500; color: var(--quiet); border-bottom: 1px solid var(--line);
  vertical-align: bottom; }
tr + tr td { border-top: 1px solid var(--line); }
th.text, td.text { text-align: left; }
td.free { white-space: normal; overflow-wrap: anywhere; min-width: 200px; }
td.fastest { text-decoration: underline; text-decoration-color: var(--quiet);
  text-underline-offset: 3px; }
td.strong, .strong { font-weight: 650; }
figure { margin: 12px 0; }
svg { display: block; } svg.chart { width: 100%; min-width: 640px; height: auto; }
svg text { fill: var(--quiet); font-size: 12px; }
svg text.small { font-size: 10.5px; } svg text.faint { font-size: 9px; }
svg text.end { text-anchor: end; } svg text.middle { text-anchor: middle; }
svg text.strong { fill: var(--text); }
.grid { stroke: var(--line); stroke-width: 1; } .grid.one { stroke: var(--quiet);
  stroke-dasharray: 5 4; }
.axis { stroke: var(--quiet); stroke-width: 1; }
.band { fill: var(--band); } .best { fill: none; stroke: var(--accent); stroke-width: 2; }
.failed { stroke: var(--fail); stroke-width: 1.3; }
.dot { fill-opacity: 0.75; } .dot.new { fill-opacity: 1; stroke: var(--text); stroke-width: 1.4; }
.c0 { fill: var(--c0); background: var(--c0); } .c1 { fill: var(--c1); background: var(--c1); }
.c2 { fill: var(--c2); background: var(--c2); } .c3 { fill: var(--c3); background: var(--c3); }
.c4 { fill: var(--c4); background: var(--c4); } .c5 { fill: var(--c5); background: var(--c5); }
.c6 { fill: var(--c6); background: var(--c6); }
.other { fill: var(--other); background: var(--other); }
.entry { display: inline-block; margin-right: 16px; font-size: 13.5px; }
.key { display: inline-block; width: 10px; height: 10px; border-radius: 5px; margin-right: 6px; }
.edge { fill: none; stroke: var(--edge); stroke-width: 1.3; }
.edge.second { stroke-dasharray: 3 3; stroke: var(--fail); stroke-width: 1; }
.edge.path { stroke: var(--accent); stroke-width: 3; }
.node { fill: var(--page); stroke: var(--fail); stroke-width: 1.5; }
.node.fast { fill: var(--accent); stroke: var(--accent); }
.node.new { stroke: var(--accent); stroke-width: 2; }
.ring { fill: none; stroke: var(--text); stroke-width: 1.6; }
.cross { stroke: var(--fail); stroke-width: 1.2; fill: none; }
pre {
  background: var(--panel); border: 1px solid var(--line); border-radius: 6px; margin: 10px 0;
  padding: 10px 12px; overflow: auto; max-height: 620px;
  font: 12.5px/1.45 ui-monospace, "SFMono-Regular", Menlo, Consolas, monospace; tab-size: 4;
}
pre .l { display: block; }
pre.numbered { counter-reset: line; }
pre.numbered .l::before {
  counter-increment: line; content: counter(line); display: inline-block; width: 3.2em;
  margin-right: 1.2em; text-align: right; color: var(--quiet); opacity: 0.7; user-select: none;
}
pre i { font-style: normal; }
pre .word, pre .directive, pre .decorator { color: var(--word); }
pre .string { color: var(--string); }
pre .comment { color: var(--comment); } pre .tune { color: var(--tune); font-weight: 600; }
pre.diff { padding: 10px 0; } pre.diff .l { padding: 0 12px; width: max-content; min-width: 100%; }
pre .added { background: var(--added); } pre .removed { background: var(--removed); }
pre .hunk { background: var(--hunk); color: var(--quiet); }
@media print {
  :root {
    --page: #fff; --panel: #fff; --text: #000; --quiet: #444; --line: #bbb; --edge: #999;
      --accent: #0b50a0;
    --good: #14713d; --bad: #b42318; --added: #e3f5e8; --removed: #fbe5e3; --hunk: #eee;
    --word: #000; --string: #000; --comment: #555; --tune: #000;
  }
  body { max-width: none; padding: 0; font-size: 11px; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  .wide, .tall, pre { overflow: visible; max-height: none; }
  pre { white-space: pre-wrap; overflow-wrap: anywhere; font-size: 9px; }
  pre.diff .l { width: auto; }
  svg.lineage { width: auto; height: auto; max-width: 100%; max-height: 230mm; }
  svg, tr { break-inside: avoid; } h2 { break-after: avoid; }
  .quiet, figcaption p, .note, .entry { font-size: 10px; }
  th, td { padding-right: 8px; white-space: normal; }
}
"""
