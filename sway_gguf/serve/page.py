"""The page at `/`: what runs, live, and the latest report. Words of specs and models come in as text, never as markup.

Knows HTML and what a browser may load of it; nothing of how a report is drawn.
"""

from __future__ import annotations

import re

from sway_gguf.report.html.page import digest_of

_STYLE = """
:root{color-scheme:light dark;font:15px/1.5 system-ui,sans-serif}
body{margin:0;display:flex;flex-direction:column;min-height:100vh}
header{padding:.6rem 1rem;border-bottom:1px solid #8886}
h1{font-size:1rem;margin:0}ul{list-style:none;margin:.3rem 0 0;padding:0;max-height:9rem;overflow:auto}
li{display:flex;gap:.8rem;align-items:baseline;flex-wrap:wrap}iframe{flex:1;border:0;width:100%;min-height:80vh}
p{max-width:60ch;padding:0 1rem}code{white-space:pre-wrap}
"""
_SCRIPT = """
const list=document.querySelector('ul'),frame=document.querySelector('iframe'),start=document.querySelector('main');
const say=document.querySelector('[role=status]'),shown=new Map();let latest='';
function line(run){
  let at=shown.get(run.id);
  if(!at){at={li:document.createElement('li'),name:document.createElement('span'),how:document.createElement('span'),
    link:document.createElement('a')};
    at.name.textContent=run.name;at.link.textContent='report';at.link.hidden=true;at.link.href='/runs/'+run.id+'.html';
    at.li.append(at.how,at.name,at.link);list.prepend(at.li);shown.set(run.id,at);}
  return at;}
function show(run){
  const at=line(run),share=run.total?Math.min(100,Math.floor(100*run.done/run.total)):0;
  at.how.textContent=run.state==='running'?'running '+share+'%':run.state+(run.diagnosis?': '+run.diagnosis:'')+
    (run.error?': '+run.error:'');
  if(run.state==='done')at.link.hidden=false;}
function report(id){if(id!==latest){latest=id;start.hidden=true;frame.hidden=false;frame.src='/runs/'+id+'.html';}}
const followed=new Set();
function follow(run){
  if(followed.has(run.id)||['done','failed','cancelled'].includes(run.state))return;
  followed.add(run.id);const events=new EventSource('/runs/'+run.id+'/events');
  events.addEventListener('run',e=>{const now=Object.assign({},run,JSON.parse(e.data));show(now);
    if(['done','failed','cancelled'].includes(now.state)){events.close();
      say.textContent=run.name+': '+now.state+(now.diagnosis?', '+now.diagnosis:'');
      if(now.state==='done')report(run.id);}});}
async function look(){
  try{const answer=await fetch('/runs');const runs=(await answer.json()).runs;
    for(const run of runs.slice().reverse()){show(run);follow(run);}
    const done=runs.find(run=>run.state==='done');if(done&&!latest)report(done.id);}catch(error){}
  setTimeout(look,3000);}
look();
"""
_PAGE = f"""<!doctype html><html lang="en"><head><meta charset="utf-8"><title>sway-gguf</title>
<meta name="viewport" content="width=device-width,initial-scale=1"><link rel="icon" href="data:,">
<style>{_STYLE}</style></head><body>
<header><h1>sway-gguf</h1><ul aria-label="Runs"></ul><div role="status"></div></header>
<main><p>No run is done yet. Ask for one:</p><p><code>curl -H 'Content-Type: application/json' \
-d '{{"base": "base.gguf", "adapter": "adapter.gguf"}}' http://HOST:PORT/runs</code></p>
<p>Its report appears here. <a href="/openapi.json">What else can be asked</a></p></main>
<iframe title="Report of the latest run" hidden></iframe><script>{_SCRIPT}</script></body></html>
"""
_SCRIPTS = re.compile(r"<script(?![^>]*type=[\"']?application/json)[^>]*>(.*?)</script>", re.DOTALL | re.IGNORECASE)


def start_page() -> str:
    """The page."""
    return _PAGE


def policy_of(html: str, *more: str) -> str:
    """A Content-Security-Policy under which the page's own inline scripts run and nothing is loaded.

    Scripts are allowed by their hashes, so that an attribute such as onclick runs nothing.
    """
    hashes = " ".join(f"'{digest_of(script)}'" for script in _SCRIPTS.findall(html)) or "'none'"
    rules = (
        "default-src 'none'",
        f"script-src {hashes}",
        "style-src 'unsafe-inline'",
        "img-src 'self' data:",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'self'",
        *more,
    )
    return "; ".join(rules)
