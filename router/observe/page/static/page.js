// The page: what the router says is put into the document as text, never as markup. Rows come as arrays, in the order of router/observe/page/rows.py.
const FIELDS = ["id", "kind", "namespace", "name", "section", "port", "host", "address", "reason", "message", "warnings", "up", "draining", "servers",
  "sessions", "connections", "bytes", "history", "since", "lastUsed"];
const ROW = 32, SPARE = 12, UNUSED_DAYS = 7, POLL_MS = 5000, SLOW_MS = 10000;
const COLUMNS = [
  ["port", "Port", (row) => row.port || 99999], ["asker", "Asker", (row) => row.id], ["verdict", "Verdict", (row) => row.reason],
  ["servers", "Servers", (row) => row.up, "number"], ["sessions", "Connections", (row) => row.sessions, "number"], ["rate", "New/s", (row) => row.connections, "number"],
  ["bytes", "Bytes/s", (row) => row.bytes, "number"], ["history", "10 minutes", (row) => Math.max(0, ...row.history)], ["since", "Since", (row) => row.since],
];
const FILTERS = [
  ["rejected", "rejected", (row) => row.reason !== ""],
  ["down", "no server up", (row) => row.reason === "" && row.up === 0 && !leadsByName(row)],
  ["unused", `unused for ${UNUSED_DAYS} days`, (row) => row.lastUsed !== "" && Date.now() - Date.parse(row.lastUsed) > UNUSED_DAYS * 864e5],
];
const WELL = { yes: ["ok", "well"], no: ["NO", "bad"], warning: ["warning", "warn"], unknown: ["unknown", "dim"] };

// A listener of a Gateway whose TLSRoutes lead on: it has no servers of its own.
const leadsByName = (row) => row.kind === "Gateway" && row.host !== "";

const rows = new Map();
let version = -1, stream = null, polling = 0, shown = [], view = null, refresh = 0, loading = null, waiting = [];

function element(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) made.addEventListener(key.slice(2), value);
    else if (value !== null && value !== undefined && value !== false) made.setAttribute(key, value === true ? "" : value);
  }
  made.append(...children.map((child) => (child instanceof Node ? child : document.createTextNode(String(child)))));
  return made;
}

// What is looked at is in the address, so that it can be sent to somebody.
function wanted() {
  const given = new URLSearchParams(location.hash.slice(1));
  return {
    view: given.get("view") || "ports", id: given.get("id") || "", text: given.get("q") || "", namespace: given.get("ns") || "",
    filters: (given.get("f") || "").split(",").filter(Boolean), sort: given.get("s") || "port", down: given.get("d") === "1",
  };
}

function address(changes) {
  const now = { ...wanted(), ...changes };
  const said = new URLSearchParams();
  if (now.view !== "ports") said.set("view", now.view);
  if (now.id) said.set("id", now.id);
  if (now.text) said.set("q", now.text);
  if (now.namespace) said.set("ns", now.namespace);
  if (now.filters.length) said.set("f", now.filters.join(","));
  if (now.sort !== "port") said.set("s", now.sort);
  if (now.down) said.set("d", "1");
  return `#${said}`;
}

function go(changes, replaces) {
  const to = address(changes);
  if (replaces) { history.replaceState(null, "", to); draw(); } else location.hash = to;
}

function human(count, unit) {
  for (const prefix of ["", "Ki", "Mi", "Gi"]) {
    if (count < 1024 || prefix === "Gi") return `${prefix ? count.toFixed(1) : Math.round(count)} ${prefix}${unit}`;
    count /= 1024;
  }
  return "";
}

function span(seconds) {
  for (const [unit, size] of [["d", 86400], ["h", 3600], ["min", 60]]) if (seconds >= size) return `${Math.floor(seconds / size)} ${unit}`;
  return `${Math.max(0, Math.floor(seconds))} s`;
}

const ago = (time) => (time ? span((Date.now() - Date.parse(time)) / 1000) : "");

function line(values) {
  if (!values.length) return "";
  const made = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  const most = Math.max(...values, 1), path = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
  made.setAttribute("class", "line");
  made.setAttribute("viewBox", "0 0 80 20");
  made.setAttribute("role", "img");
  made.setAttribute("aria-label", `at most ${human(most, "B/s")} in 10 minutes`);
  path.setAttribute("points", values.map((value, at) => `${(at * 80) / Math.max(1, values.length - 1)},${19 - (value * 18) / most}`).join(" "));
  made.append(path);
  return made;
}

// What the router says

function take(list) {
  for (const values of list) {
    const row = Object.fromEntries(FIELDS.map((name, at) => [name, values[at]]));
    row.text = [row.id, row.port || "", row.host, row.address, row.reason || "admitted", row.message, ...row.warnings].join(" ").toLowerCase();
    rows.set(row.id, row);
  }
}

async function fetched(path) {
  const answer = await fetch(path, { cache: "no-store" });
  if (!answer.ok) throw new Error(`${answer.status}: ${(await answer.text()).trim()}`);
  return answer.json();
}

async function load() {
  const all = await fetched("page/rows");
  rows.clear();
  take(all.rows);
  version = all.version;
  const later = waiting;
  waiting = [];
  for (const step of later) apply(step);
  later_draw();
}

function reload() {
  loading ??= load().catch(away).finally(() => { loading = null; });
  return loading;
}

function apply(step) {
  if (loading) { waiting.push(step); return; }
  if (step.version <= version) return;
  if (step.version !== version + 1) { reload(); return; }
  version = step.version;
  take(step.changed);
  for (const id of step.gone) rows.delete(id);
  later_draw();
}

function state(text, isAway) {
  const place = document.getElementById("state");
  if (place.textContent !== text) place.textContent = text;
  place.className = isAway ? "away" : "";
}

function away() { state("The router is away; what is shown is what it said last.", true); }

function listen() {
  clearInterval(polling);
  stream?.close();
  stream = new EventSource("page/events");
  stream.addEventListener("hello", () => reload().then(() => { if (version >= 0) state("live", false); }));
  stream.addEventListener("rows", (event) => apply(JSON.parse(event.data)));
  stream.onerror = () => {
    away();
    if (stream.readyState !== EventSource.CLOSED) return;
    // Refused: too many look. Ask now and then in its place, and for the stream again.
    clearInterval(polling);
    polling = setInterval(() => load().then(() => state(`asked every ${POLL_MS / 1000} s: too many look at a time`, false)).catch(() => { away(); listen(); }), POLL_MS);
  };
}

document.addEventListener("visibilitychange", () => {
  if (document.hidden) { stream?.close(); clearInterval(polling); state("paused", false); } else listen();
});

// The views

let drawing = 0;
function later_draw() { drawing ||= requestAnimationFrame(() => { drawing = 0; draw(true); }); }

function chosen(now) {
  const words = now.text.toLowerCase().split(/\s+/).filter(Boolean);
  const filters = FILTERS.filter(([name]) => now.filters.includes(name)).map(([, , test]) => test);
  const [, , by] = COLUMNS.find(([name]) => name === now.sort) || COLUMNS[0];
  const found = [...rows.values()].filter((row) => (!now.namespace || row.namespace === now.namespace) && words.every((word) => row.text.includes(word))
    && filters.every((test) => test(row)));
  const keyed = found.map((row) => [by(row), row]);
  keyed.sort(([a, one], [b, other]) => (a < b ? -1 : a > b ? 1 : one.id < other.id ? -1 : 1) * (now.down ? -1 : 1));
  return keyed.map(([, row]) => row);
}

function verdict(row) {
  if (row.reason) return ["bad", row.reason, row.message];
  if (row.up === 0 && !leadsByName(row)) return ["bad", "no server up", row.warnings.join("; ")];
  if (row.warnings.length) return ["warn", "admitted, with a warning", row.warnings.join("; ")];
  return ["well", "admitted", ""];
}

function cells(row) {
  const [kind, said, why] = verdict(row);
  const where = `${row.port || "-"}${row.address ? ` on ${row.address}` : ""}${row.host ? ` ${row.host}` : ""}`;
  const up = row.up < 0 ? "?" : row.up;
  return [
    element("td", {}, where),
    element("td", { title: row.id }, element("a", { href: address({ view: "port", id: row.id }) }, `${row.kind === "Route" ? "" : `${row.kind} `}${row.namespace}/${row.name}${row.section ? ` ${row.section}` : ""}`)),
    element("td", { class: kind, title: why }, said),
    element("td", { class: "number" }, row.reason || leadsByName(row) ? "-" : `${up}/${row.servers}${row.draining ? `, ${row.draining} drain` : ""}`),
    element("td", { class: "number" }, row.reason ? "-" : row.sessions < 0 ? "?" : row.sessions),
    element("td", { class: "number" }, row.reason ? "-" : row.connections.toFixed(1)),
    element("td", { class: "number" }, row.reason ? "-" : human(row.bytes, "B")),
    element("td", {}, line(row.history)),
    element("td", { title: row.since }, ago(row.since)),
  ];
}

function portsView(main) {
  const namespaces = element("select", { id: "namespaces", onchange: (event) => go({ namespace: event.target.value }, true) });
  const count = element("span", { id: "count", class: "dim", role: "status" });
  const search = element("input", { type: "search", id: "search", placeholder: "port, name, host, reason…", autocomplete: "off", oninput: (event) => go({ text: event.target.value }, true) });
  const boxes = FILTERS.map(([name, text]) => element("label", {}, element("input", { type: "checkbox", id: `only-${name}`, onchange: (event) => {
    const others = wanted().filters.filter((each) => each !== name);
    go({ filters: event.target.checked ? [...others, name] : others }, true);
  } }), ` ${text}`));
  const heads = COLUMNS.map(([name, text, , kind]) => element("th", { scope: "col", id: `by-${name}`, class: kind }, element("button", { type: "button", onclick: () => {
    const now = wanted();
    go({ sort: name, down: now.sort === name ? !now.down : false }, true);
  } }, text)));
  const body = element("tbody"), table = element("table", {}, element("thead", {}, element("tr", {}, ...heads)), body);
  const scroll = element("div", { class: "scroll", tabindex: "0", role: "region", "aria-label": "Ports", onscroll: () => fill() });
  scroll.append(table);
  main.className = "";
  main.removeAttribute("tabindex");
  main.replaceChildren(element("div", { class: "tools" }, element("label", { for: "search" }, "Search"), search, element("fieldset", {}, element("legend", {}, "Only"), ...boxes),
    element("label", { for: "namespaces" }, "Namespace "), namespaces, count), scroll);
  const space = (height) => element("tr", { class: "space", "aria-hidden": "true" }, element("td", { colspan: COLUMNS.length, height }));
  const fill = () => {
    // Only what is seen is in the document.
    const first = Math.max(0, Math.floor(scroll.scrollTop / ROW) - SPARE), last = Math.min(shown.length, first + Math.ceil(scroll.clientHeight / ROW) + 2 * SPARE);
    const focused = document.activeElement?.closest?.("tr[data-id]")?.dataset.id;
    const made = shown.slice(first, last).map((row, at) => element("tr", { "data-id": row.id, "aria-rowindex": first + at + 2 }, ...cells(row)));
    body.replaceChildren(...(first ? [space(first * ROW)] : []), ...made, ...(last < shown.length ? [space((shown.length - last) * ROW)] : []));
    if (focused) made.find((row) => row.dataset.id === focused)?.querySelector("a").focus({ preventScroll: true });
  };
  return () => {
    const now = wanted();
    if (document.activeElement !== search) search.value = now.text;
    for (const [name] of FILTERS) document.getElementById(`only-${name}`).checked = now.filters.includes(name);
    const known = [...new Set([...rows.values()].map((row) => row.namespace))].sort();
    if (now.namespace && !known.includes(now.namespace)) known.push(now.namespace);
    if (namespaces.dataset.known !== known.join(" ")) {
      namespaces.dataset.known = known.join(" ");
      namespaces.replaceChildren(element("option", { value: "" }, "all"), ...known.map((name) => element("option", { value: name }, name)));
    }
    namespaces.value = now.namespace;
    for (const [name] of COLUMNS) document.getElementById(`by-${name}`).setAttribute("aria-sort", now.sort === name ? (now.down ? "descending" : "ascending") : "none");
    // Another choice or order begins at its beginning.
    if (scroll.dataset.of !== location.hash) { scroll.dataset.of = location.hash; scroll.scrollTop = 0; }
    shown = chosen(now);
    table.setAttribute("aria-rowcount", shown.length + 1);
    count.textContent = `${shown.length} of ${rows.size}`;
    fill();
  };
}

function steps(list) {
  return element("ul", { class: "steps" }, ...list.map((step) => element("li", {}, element("span", { class: `mark ${WELL[step.state][1]}` }, WELL[step.state][0]), element("strong", {}, step.name), ` ${step.said}`,
    ...(step.steps.length ? [steps(step.steps)] : []))));
}

function simpleTable(caption, heads, lines) {
  return element("div", { class: "wide", tabindex: "0", role: "region", "aria-label": caption }, element("table", {}, element("thead", {}, element("tr", {}, ...heads.map((head) => element("th", { scope: "col" }, head)))),
    element("tbody", {}, ...lines.map((cellsOf) => element("tr", {}, ...cellsOf.map((cell) => element("td", {}, cell)))))));
}

function became(change) {
  const how = change.reload ? `, by a reload of HAProxy (${change.reload})` : change.verdict === "admitted" ? ", without a reload" : "";
  return `${new Date(change.time_s * 1000).toISOString().slice(0, 19)}Z: ${change.verdict}${how}${change.message ? `: ${change.message}` : ""}`;
}

function tries(row, host, hasTls) {
  const at = `${host} ${row.port}`;
  if (row.reason) return [];
  const named = row.host ? ` -servername ${row.host}` : "";
  if (row.port) return [`nc -vz -w 5 ${at}`, ...(hasTls || row.host ? [`openssl s_client -connect ${host}:${row.port}${named} </dev/null`] : [])];
  return row.host ? [`openssl s_client -connect ${row.host}:443${named} </dev/null   # at the port that hosts share`] : [];
}

function regularly(main, make) {
  const place = element("div");
  main.className = "text";
  // It scrolls, by keyboard too.
  main.tabIndex = 0;
  main.replaceChildren(place);
  const again = () => make().then((parts) => place.replaceChildren(...parts)).catch((error) => {
    if (!place.childElementCount) place.replaceChildren(element("p", { class: "bad" }, `The router does not say: ${error.message}`));
  });
  again();
  clearInterval(refresh);
  refresh = setInterval(() => { if (!document.hidden) again(); }, SLOW_MS);
  return null;
}

function portView(main, id) {
  return regularly(main, async () => {
    const path = id.split("/").map(encodeURIComponent).join("/");
    const [ways, told] = await Promise.all([fetched(`explain/${path}`), fetched(`page/asker/${path}`).catch(() => ({ connections: [] }))]);
    const ended = told.connections;
    const row = rows.get(id), parts = [element("p", {}, element("a", { href: address({ view: "ports", id: "" }) }, "All ports"))];
    for (const way of ways) {
      parts.push(element("h2", {}, `${way.kind} ${way.namespace}/${way.name}${way.section ? ` ${["Gateway", "ListenerSet"].includes(way.kind) ? "listener" : "port"} ${way.section}` : ""}: ${way.verdict}`), steps(way.steps));
      if (way.todo.length) parts.push(element("h2", {}, "What to do"), element("ul", {}, ...way.todo.map((each) => element("li", {}, each))));
    }
    if (row) {
      parts.push(element("h2", {}, "Now"), element("p", {}, `${row.sessions < 0 ? "?" : row.sessions} connections, ${row.connections.toFixed(1)} new ones a second, ${human(row.bytes, "B/s")} `, line(row.history)));
      const host = (ways[0]?.steps.find((step) => step.name === "address")?.said.match(/ at (.*):\d+$/) || [])[1] || location.hostname;
      const commands = tries(row, host, ways.some((way) => way.steps.some((step) => step.name === "tls")));
      if (commands.length) parts.push(element("h2", {}, "Try it"), element("pre", { tabindex: "0" }, commands.join("\n")));
    }
    if (told.changes) {
      parts.push(element("h2", {}, "What became of it"), told.changes.length ? element("ul", {}, ...told.changes.map((each) => element("li", {}, became(each))))
        : element("p", { class: "dim" }, "Nothing has changed since this router started."));
    }
    parts.push(element("h2", {}, "Its last connections"));
    if (ended.length) {
      parts.push(simpleTable("Its last connections", ["Ended", "Client", "Server", "Lasted", "Bytes to it", "How"], ended.map((each) => [each.time, each.client, each.server, each.seconds === null ? "" : span(each.seconds), each.bytes_out ?? "", `${each.how} (${each.state})`])));
    } else parts.push(element("p", { class: "dim" }, "None that ended since HAProxy was loaded last is remembered; those that are open are not in this list."));
    return parts;
  });
}

function replica(each) {
  const said = each.figures, old = said && Date.now() / 1000 - said.time_s;
  const state = each.phase && each.phase !== "Running" ? each.phase : each.ready === null ? "?" : each.ready ? "ready" : "not ready";
  return [
    `${each.name}${each.leads ? " (leads)" : ""}`, each.node, `${state}${each.since ? `, started ${ago(each.since)} ago` : ""}`,
    said && said.connections >= 0 ? `${said.connections} of ${said.limit}` : "?", said ? said.old_workers : "?", said ? said.reloads : "?",
    said ? said.problems.join("; ") || "none" : "?", said ? `${span(old)} ago` : "nothing",
  ];
}

function routerView(main) {
  return regularly(main, async () => {
    const now = await fetched("page/router");
    const values = (name) => now.samples.filter((each) => each[0] === name);
    const value = (name) => values(name)[0]?.[2];
    const sum = (name) => values(name).reduce((total, each) => total + each[2], 0);
    const served = value("tcp_router_change_to_served_seconds_count"), leads = value("tcp_router_leader"), connected = value("tcp_router_api_connected");
    const current = now.workers.find((worker) => !worker.is_old);
    const card = (name, text, more = "", kind = "") => element("li", {}, element("span", { class: "dim" }, name), element("strong", { class: kind }, text), element("span", {}, more));
    const cards = [
      card("Router", now.name, `version ${now.version}, for ${span(Date.now() / 1000 - (value("process_start_time_seconds") || 0))}`),
      card("HAProxy", now.haproxy, current ? `for ${span(current.seconds)}; ${value("tcp_router_haproxy_adds_backends") ? "takes" : "does not take"} new backends without a reload` : "does not answer", current ? "" : "bad"),
      card("Connections", current ? String(current.connections) : "?", current ? `of ${current.limit}` : ""),
      card("Files", String(value("tcp_router_haproxy_files_needed") ?? "?"), `of ${value("tcp_router_haproxy_files_limit") ?? "?"} that HAProxy may open`),
      card("Changes without a reload", String(sum("tcp_router_runtime_updates_total")), served ? `a change is served after ${((1000 * value("tcp_router_change_to_served_seconds_sum")) / served).toFixed(1)} ms on average, reloads included` : ""),
      card("Reloads", String(sum("tcp_router_reloads_total")), values("tcp_router_reload_causes_total").map((each) => `${each[1].reason}: ${each[2]}`).join(", ")),
      card("Memory", human(value("process_resident_memory_bytes") || 0, "B"), "of the router's process"),
    ];
    const pool = value("tcp_router_port_pool");
    if (pool !== undefined) {
      const busiest = value("tcp_router_port_pool_busiest_hour");
      cards.push(card("Port pool", `${value("tcp_router_port_pool_free")} free`, `of ${pool} that open without a reload${busiest === undefined ? "" : `; the busiest hour took ${busiest}`}`));
    }
    if (connected !== undefined) cards.push(card("API server", connected ? "answers" : "does not answer", connected ? "" : "the last known state is served", connected ? "well" : "bad"));
    if (leads !== undefined) cards.push(card("Leader", leads ? "this replica writes" : "another replica writes", "status, PortClaims, Events"));
    const parts = [element("h2", {}, "This replica"), element("ul", { class: "cards" }, ...cards), element("h2", {}, "Problems now")];
    parts.push(now.problems.length ? element("ul", {}, ...now.problems.map((each) => element("li", { class: "bad" }, each))) : element("p", { class: "well" }, "none"));
    if (now.notes.length) parts.push(element("ul", {}, ...now.notes.map((each) => element("li", { class: "warn" }, each))));
    const old = now.workers.filter((worker) => worker.is_old);
    parts.push(element("h2", {}, "Workers that were replaced"));
    parts.push(old.length ? simpleTable("Workers that were replaced", ["Process", "Connections that it still has", "Runs for"], old.map((worker) => [worker.pid, worker.connections, span(worker.seconds)])) : element("p", { class: "dim" }, "None lives on for its connections."));
    if (now.more_old_workers) parts.push(element("p", {}, `And ${now.more_old_workers} more.`));
    if (!now.replicas.length) return parts;
    parts.push(element("h2", {}, "Pods of routers"));
    parts.push(element("p", { class: "dim" }, now.shares_figures ? "What is above is this replica's alone. The others say how they are twice a minute."
      : "All figures on this page are this replica's alone: the others do not say how they are (option --share-figures), and each has a page of its own."));
    parts.push(simpleTable("Pods of routers", ["Pod", "Node", "State", "Connections", "Old workers", "Reloads", "Problems", "Said"], now.replicas.map(replica)));
    return parts;
  });
}

function freeView(main) {
  return regularly(main, async () => {
    const namespace = wanted().namespace, free = await fetched(`page/free/${encodeURIComponent(namespace)}`);
    const ask = element("input", { id: "of", type: "search", value: namespace, placeholder: "namespace", onchange: (event) => go({ namespace: event.target.value }) });
    const list = (text) => element("pre", { tabindex: "0" }, text ? text.replaceAll(",", "\n") : "none");
    const parts = [element("h2", {}, "Free of --ports"), list(free.ports), element("h2", {}, "Free of --auto-ports"), list(free.auto),
      element("h2", {}, "Free for a namespace"), element("p", {}, element("label", { for: "of" }, "Namespace "), ask)];
    if (namespace) parts.push(list(free.namespace));
    return parts;
  });
}

const VIEWS = [["ports", "Ports"], ["router", "Router"], ["free", "Free ports"]];
let update = null;

function draw(onlyRows) {
  const now = wanted(), main = document.querySelector("main"), key = now.view === "port" ? `port ${now.id}` : now.view === "free" ? `free ${now.namespace}` : now.view;
  for (const [name] of VIEWS) {
    const link = document.getElementById(`view-${name}`);
    link.href = address({ view: name, id: "" });
    if (name === now.view || (name === "ports" && now.view === "port")) link.setAttribute("aria-current", "page"); else link.removeAttribute("aria-current");
  }
  if (view !== key) {
    view = key;
    clearInterval(refresh);
    update = now.view === "port" ? portView(main, now.id) : now.view === "router" ? routerView(main) : now.view === "free" ? freeView(main) : portsView(main);
  } else if (onlyRows && !update) return;
  update?.();
}

document.body.append(
  element("header", {}, element("h1", {}, `${document.body.dataset.router}: TCP ports`), element("nav", { "aria-label": "Views" }, ...VIEWS.map(([name, text]) => element("a", { id: `view-${name}`, href: "#" }, text))),
    element("span", { id: "state", role: "status" }, "connecting…")),
  element("main"),
);
addEventListener("hashchange", () => draw());
addEventListener("resize", () => update?.());
draw();
listen();
