"""The page's style. Each pair of text and ground has a contrast of at least 4.5 to 1 (WCAG 2.2, level AA)."""

STYLE = """
:root {
  color-scheme: light dark;
  --ground: #fbfaf8; --raised: #ffffff; --line: #dcd8d0; --text: #1f1d1a; --quiet: #5d584f;
  --seen: #2f6690; --unsure: #b4540a; --filled: #8a8378; --band: #f2efe9;
}
@media (prefers-color-scheme: dark) {
  :root {
    --ground: #161514; --raised: #1f1e1c; --line: #3a3733; --text: #ece8e1; --quiet: #a9a297;
    --seen: #6fa8d6; --unsure: #f0994a; --filled: #8f887d; --band: #1c1b19;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0 auto; max-width: 68rem; padding: 2.5rem 1.25rem 4rem; background: var(--ground); color: var(--text);
  font: 1rem/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
  overflow-wrap: break-word; font-variant-numeric: tabular-nums;
}
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .35rem; font-weight: 650; letter-spacing: -.01em; }
h2 { font-size: 1.1rem; margin: 0 0 .8rem; font-weight: 650; }
section { margin-top: 2.75rem; }
p { margin: 0 0 .8rem; max-width: 42rem; }
bdi, code, .notes { overflow-wrap: anywhere; }
.quiet { color: var(--quiet); }
a { color: inherit; text-decoration-color: var(--line); text-underline-offset: .2em; }
a:hover, a:focus-visible { text-decoration-color: currentColor; }
:focus-visible { outline: 2px solid var(--seen); outline-offset: 2px; }
.figures { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: 1px; margin: 0;
  background: var(--line); border: 1px solid var(--line); border-radius: .5rem; overflow: hidden; }
.figures div { background: var(--raised); padding: .8rem 1rem; display: flex; flex-direction: column-reverse;
  justify-content: flex-end; }
.figures dt { color: var(--quiet); font-size: .85rem; }
.figures dd { margin: 0; font-size: 1.35rem; font-weight: 600; line-height: 1.3; }
.notes { margin: 1rem 0 0; padding-left: 1.2rem; }
table { border-collapse: collapse; width: 100%; font-size: .94rem; }
th, td { text-align: left; vertical-align: top; padding: .45rem 1rem .45rem 0; border-bottom: 1px solid var(--line); }
th { font-weight: 600; }
thead th { color: var(--quiet); font-size: .85rem; font-weight: 500; }
.time { white-space: nowrap; }
summary { cursor: pointer; padding: .7rem 0; color: var(--quiet); font-size: .94rem; }
code { font: .88em/1.5 ui-monospace, "SF Mono", Menlo, Consolas, monospace; }
.timeline { display: grid; grid-template-columns: max-content minmax(0, 1fr); column-gap: .9rem; }
.timeline ol { list-style: none; margin: 0; padding: 0; font-size: .82rem; line-height: 24px; text-align: right; }
.timeline li { height: 24px; white-space: nowrap; }
.timeline svg { display: block; width: 100%; border-left: 1px solid var(--line); border-right: 1px solid var(--line); }
.axis { grid-column: 2; display: flex; justify-content: space-between; color: var(--quiet); font-size: .8rem;
  padding-top: .3rem; }
.key { display: flex; flex-wrap: wrap; gap: .3rem 1.4rem; list-style: none; margin: 0 0 .9rem; padding: 0;
  color: var(--quiet); font-size: .88rem; }
.key svg { width: 1.5rem; height: .7rem; margin-right: .5rem; }
.seen { fill: var(--seen); }
.unsure { fill: var(--unsure); }
.filled { fill: var(--filled); }
.band { fill: var(--band); }
.tracks { display: grid; grid-template-columns: repeat(auto-fill, minmax(9rem, 1fr)); gap: 1.5rem 1.1rem; margin: 0;
  padding: 0; list-style: none; }
.tracks li { scroll-margin-top: 1rem; }
.tracks figure { margin: 0; }
.tracks .frame { height: 12rem; display: flex; align-items: center; justify-content: center; background: var(--band);
  border: 1px solid var(--line); border-radius: .4rem; overflow: hidden; color: var(--quiet); font-size: .85rem; }
.tracks img { width: 100%; height: 100%; object-fit: scale-down; display: block; }
.tracks figcaption { padding-top: .5rem; font-size: .88rem; line-height: 1.45; }
.tracks strong { display: block; font-size: 1rem; font-weight: 600; }
.tracks li:target .frame { outline: 2px solid var(--seen); outline-offset: 2px; }
footer { margin-top: 3.5rem; padding-top: 1rem; border-top: 1px solid var(--line); font-size: .85rem;
  color: var(--quiet); }
@media (max-width: 30rem) {
  body { padding: 1.5rem 1rem 3rem; }
  section { margin-top: 2.2rem; }
  .figures { grid-template-columns: 1fr 1fr; }
  .tracks { grid-template-columns: 1fr 1fr; gap: 1.2rem .8rem; }
}
@media print { .tracks li { break-inside: avoid; } }
"""
