// Keeps the page as the server says it is. Without this script the page shows the same, once.
//
// The server sends parts as ["tag", {attributes}, child, …], of which elements are made here. A text is only ever a text.
"use strict";

const SVG = new Set(["svg", "rect", "line"]);
// The server sends something every ten seconds.
const SILENCE_MS = 25000;
const AGAIN_MS = 1500;

let ahead = Number(document.body.dataset.now) - Date.now(); // the server's clock, compared with this one
let source = null;
let heard = Date.now();
const open = new Set(); // the keys whose rows are open

const byId = (id) => document.getElementById(id);

function made(tree) {
  if (typeof tree === "string") return document.createTextNode(tree);
  const tag = tree[0];
  const element = SVG.has(tag) ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(tree[1])) element.setAttribute(name, value);
  for (const child of tree.slice(2)) element.append(made(child));
  return element;
}

// Makes `node` what `tree` says and keeps whatever is the same, so that the focus stays where it is. What it returns is in its place.
function become(node, tree) {
  if (typeof tree === "string") {
    if (node.nodeType !== Node.TEXT_NODE) return replaced(node, tree);
    if (node.data !== tree) node.data = tree;
    return node;
  }
  if (node.nodeType !== Node.ELEMENT_NODE || node.localName !== tree[0]) return replaced(node, tree);
  const kept = node.localName === "a" ? ["aria-expanded"] : node.localName === "progress" ? ["value"] : [];
  for (const { name } of [...node.attributes]) if (!(name in tree[1]) && !kept.includes(name)) node.removeAttribute(name);
  for (const [name, value] of Object.entries(tree[1])) {
    if (!kept.includes(name) && node.getAttribute(name) !== value) node.setAttribute(name, value);
  }
  // What has a clock has its text from there.
  if (node.localName === "time") return node;
  const children = tree.slice(2);
  while (node.childNodes.length > children.length) node.lastChild.remove();
  children.forEach((child, at) => {
    if (at < node.childNodes.length) become(node.childNodes[at], child);
    else node.append(made(child));
  });
  return node;
}

function replaced(node, tree) {
  const next = made(tree);
  node.replaceWith(next);
  return next;
}

function fill(element, tree) {
  if (element.firstChild && element.childNodes.length === 1) become(element.firstChild, tree);
  else element.replaceChildren(made(tree));
}

// --- time

function length(ms) {
  const s = Math.max(0, Math.floor(ms / 1000));
  const two = (large, unit, small, rest) => large + unit + (small ? small + rest : "");
  if (s < 60) return s + "s";
  if (s < 3600) return two(Math.floor(s / 60), "m", s % 60, "s");
  if (s < 86400) return two(Math.floor(s / 3600), "h", Math.floor(s / 60) % 60, "m");
  return two(Math.floor(s / 86400), "d", Math.floor(s / 3600) % 24, "h");
}

function write(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

function tick() {
  const now = Date.now() + ahead;
  for (const time of document.querySelectorAll("time[data-since]")) write(time, length(now - Number(time.dataset.since)));
  for (const until of document.querySelectorAll("[data-until]")) {
    const left = Math.max(0, Number(until.dataset.until) - now);
    until.querySelector("progress").value = left;
    write(until.querySelector("time"), length(left));
  }
  if (source && Date.now() - heard > SILENCE_MS) {
    lost();
    connect();
  }
}

// --- the table

const rows = new Map(); // by the name that the server gave them
const details = new Map(); // by key

function show(data) {
  if (data.above) fill(byId("above"), data.above);
  if (data.below) fill(byId("below"), data.below);
  const focused = document.activeElement;
  for (const [name, tree] of Object.entries(data.rows || {})) {
    const row = rows.get(name);
    rows.set(name, row ? become(row, tree) : made(tree));
    const key = keyOf(name);
    if (key !== null && open.has(key)) load(key);
  }
  if (data.order) arrange(data.order);
  // An element that was moved has lost it.
  if (focused !== document.activeElement && focused.isConnected) focused.focus({ preventScroll: true });
}

const keyOf = (name) => (name.startsWith("lock:") ? name.slice(5) : null);

function arrange(order) {
  const body = byId("rows");
  for (const name of rows.keys()) if (!order.includes(name)) rows.delete(name);
  const wanted = [];
  for (const name of order) {
    const row = rows.get(name);
    if (!row) continue;
    wanted.push(row);
    const key = keyOf(name);
    if (key !== null && open.has(key)) {
      mark(row, true);
      wanted.push(detailOf(key));
    }
  }
  wanted.forEach((row, at) => {
    if (body.children[at] !== row) body.insertBefore(row, body.children[at] || null);
  });
  while (body.children.length > wanted.length) body.lastElementChild.remove();
}

function mark(row, isOpen) {
  row.querySelector("a.key").setAttribute("aria-expanded", String(isOpen));
}

function detailOf(key) {
  if (!details.has(key)) {
    details.set(key, made(["tr", { class: "open" }, ["td", { colspan: "7" }, ["div", {}, ["p", {}, "…"]]]]));
    load(key);
  }
  return details.get(key);
}

const loading = new Map(); // by key: whether it is to be loaded again after that

async function load(key) {
  if (loading.has(key)) {
    loading.set(key, true);
    return;
  }
  loading.set(key, false);
  try {
    const answer = await fetch("detail?key=" + encodeURIComponent(key));
    const tree = answer.ok ? await answer.json() : ["p", {}, await answer.text()];
    const row = details.get(key);
    if (row) fill(row.querySelector("div"), tree);
    tick();
  } catch {
    // The stream says that the server is away.
  }
  const again = loading.get(key);
  loading.delete(key);
  if (again && open.has(key)) load(key);
}

function toggle(link) {
  const key = link.dataset.key;
  const row = link.closest("tr");
  if (open.delete(key)) {
    details.get(key)?.remove();
    details.delete(key);
  } else {
    open.add(key);
    row.after(detailOf(key));
  }
  mark(row, open.has(key));
}

document.addEventListener("click", (event) => {
  const link = event.target.closest?.("#rows a.key");
  if (!link || event.ctrlKey || event.metaKey || event.shiftKey || event.button !== 0) return;
  event.preventDefault();
  toggle(link);
});

document.addEventListener("keydown", (event) => {
  const field = byId("filter")?.elements.prefix;
  const isTyping = /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName);
  if (event.key === "/" && !isTyping && field && !event.ctrlKey && !event.metaKey) {
    event.preventDefault();
    field.focus();
  } else if ((event.key === "ArrowDown" || event.key === "ArrowUp") && event.target.matches?.("#rows a.key")) {
    const links = [...document.querySelectorAll("#rows a.key")];
    const next = links[links.indexOf(event.target) + (event.key === "ArrowDown" ? 1 : -1)];
    if (next) {
      event.preventDefault();
      next.focus();
    }
  }
});

// --- the filter

let typing = 0;

function filtered() {
  const query = new URLSearchParams();
  const { prefix, sort } = byId("filter").elements;
  if (prefix.value) query.set("prefix", prefix.value);
  if (sort.value !== "key") query.set("sort", sort.value);
  history.replaceState(null, "", "?" + query);
  document.body.dataset.events = "events?" + query;
  connect();
}

byId("filter")?.addEventListener("input", () => {
  clearTimeout(typing);
  typing = setTimeout(filtered, 150);
});

// --- the stream

function lost() {
  const banner = byId("server");
  if (!banner.hidden) return;
  const at = new Date(heard + ahead).toISOString().slice(11, 19);
  banner.textContent = "The server of this page is away. What is shown is from " + at + " UTC.";
  banner.hidden = false;
}

function disconnect() {
  source?.close();
  source = null;
}

function connect() {
  disconnect();
  heard = Date.now();
  const stream = (source = new EventSource(document.body.dataset.events));
  stream.onmessage = (event) => {
    if (stream !== source) return;
    heard = Date.now();
    const data = JSON.parse(event.data);
    ahead = data.now - heard;
    show(data);
    tick();
    byId("server").hidden = true;
    document.body.dataset.live = "";
  };
  stream.onerror = () => {
    if (stream !== source) return;
    delete document.body.dataset.live;
    lost();
    // A browser gives up for good after some errors.
    disconnect();
    setTimeout(() => source || document.hidden || connect(), AGAIN_MS);
  };
}

if (byId("rows")) {
  // The server's own rows are made anew with the first event, in the same place.
  for (const row of byId("rows").children) {
    const link = row.querySelector("a.key");
    rows.set(link ? "lock:" + link.dataset.key : "group:" + row.textContent, row);
  }
  // A browser has six connections to a server: those who do not look need none.
  document.addEventListener("visibilitychange", () => (document.hidden ? disconnect() : connect()));
  if (!document.hidden) connect();
}
setInterval(tick, 1000);
