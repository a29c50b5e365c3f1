{
  const POLL = 1000; // milliseconds
  const by = (id) => document.getElementById(id);
  const token = document.querySelector("meta[name=token]").content;
  const STATES = {
    starting: "starting", ready: "ready", running: "running", complete: "complete", interrupted: "ended early",
    refused: "not started", gone: "gone", lost: "no answer",
  };
  const narrow = matchMedia("(max-width: 560px)");
  const chosen = {quantile: "p95", over: "", why: "", ...Object.fromEntries(new URLSearchParams(location.hash.slice(1)))};
  const views = {}, shown = {};
  let tag = "", now = {state: "loading"}, ends = 0, outage = 0, drawn = "", drawing = null, edited = false, listed = "";

  const keep = () => {
    const words = Object.entries(chosen).filter(([key, value]) => value && ["quantile", "over", "why"].includes(key));
    history.replaceState(null, "", "#" + new URLSearchParams(words));
  };

  // What the server made replaces what was there; what somebody opened stays open.
  const put = (holder, html) => {
    if (shown[holder.id || holder.dataset.section] === html) return;
    shown[holder.id || holder.dataset.section] = html;
    const open = [...holder.querySelectorAll("details[open] > summary")].map((one) => one.textContent);
    const focused = holder.contains(document.activeElement) ? [...holder.querySelectorAll("a, summary, [tabindex]")].indexOf(document.activeElement) : -1;
    const scrolled = [...holder.querySelectorAll(".scroll")].map((one) => one.scrollLeft);
    holder.innerHTML = html;
    for (const one of holder.querySelectorAll("details > summary")) one.parentElement.open = open.includes(one.textContent);
    holder.querySelectorAll(".scroll").forEach((one, place) => { one.scrollLeft = scrolled[place] ?? 0; });
    if (focused >= 0) holder.querySelectorAll("a, summary, [tabindex]")[focused]?.focus({preventScroll: true});
  };
  const section = (name) => document.querySelector(`[data-section=${name}]`);
  const text = (id, words) => { if (by(id).textContent !== words) by(id).textContent = words; };
  const clock = (seconds) => `${Math.floor(seconds / 60)}:${String(Math.floor(seconds % 60)).padStart(2, "0")}`;

  const tick = () => {
    const left = (ends - performance.now()) / 1000;
    text("left", now.state === "running" && now.stage ? (left > 0 ? `about ${clock(left + 1)} left` : "a moment left") : "");
    const down = (outage - performance.now()) / 1000;
    if (now.state === "running" && down > 0) said(`An outage goes on, for ${Math.ceil(down)} s more.`);
    else if (shown.outage) said("");
    shown.outage = now.state === "running" && down > 0;
  };
  const said = (words, bad = false) => {
    text("upstream-said", words);
    by("upstream-said").className = bad ? "said bad" : "said";
  };

  const show = (age) => {
    const stage = now.stage;
    text("name", now.name ?? "Degradation");
    text("state", STATES[now.state] ?? now.state);
    by("state").className = `pill ${now.state}`;
    text("stage", stage ? `${stage.text}, stage ${stage.number} of ${stage.of}` : {
      ready: "Start a test in Locust’s form.", gone: "brownout’s controller has ended; what was measured is in the runs folder.",
      lost: "brownout was ended, or the connection is lost. This page asks again every second.",
      refused: "The last test could not begin.",
    }[now.state] ?? "");
    by("progress").hidden = !stage;
    if (stage) { by("progress").max = stage.of; by("progress").value = stage.number - 1; }
    ends = performance.now() + ((stage?.left ?? 0) - age) * 1000;
    const problems = now.problems ?? [];
    by("problems").hidden = !problems.length;
    put(by("problems").firstElementChild, "");
    by("problems").firstElementChild.replaceChildren(...problems.map((problem) => {
      const item = document.createElement("li");
      item.style.whiteSpace = "pre-wrap";
      item.textContent = problem;
      return item;
    }));
    const sections = now.sections ?? {};
    for (const name of ["findings", "changes", "why", "knees", "slos", "points", "errors"]) put(section(name), sections[name] ?? "");
    if (!chosen.over) put(section("legend"), sections.legend ?? "");
    const any = Boolean(sections.points);
    by("empty").hidden = any || Boolean(chosen.over);
    by("figures").hidden = !any && !chosen.over;
    causes();
    upstream(age);
    tick();
  };

  const causes = () => {
    const found = [...section("why").querySelectorAll(".cause[data-of]")], names = found.map((one) => one.dataset.of);
    by("why-tools").hidden = names.length < 2;
    const select = by("why-of");
    if ([...select.options].map((one) => one.value).join("\n") !== names.join("\n")) {
      select.replaceChildren(...names.map((name) => new Option(name, name)));
    }
    const which = names.includes(chosen.why) ? chosen.why : names[0];
    select.value = which ?? "";
    found.forEach((one) => { one.hidden = one.dataset.of !== which; });
  };

  const upstream = (age) => {
    const told = now.upstream;
    if (!told) return;
    const editable = told.running && told.outage === null;
    for (const control of by("upstream").elements) control.disabled = !editable;
    by("restore").disabled ||= told.planned;
    outage = told.outage === null ? 0 : performance.now() + (told.outage - age) * 1000;
    const rest = told.rest.length ? ` Its ${told.rest.join(", ")} stay as the plan has them.` : "";
    text("upstream-note", told.running
      ? `What the services wait for. A change holds from the next request on, and is marked in the charts and in the run’s files; a point that is being measured becomes invalid.${told.planned ? "" : " It is not the plan’s now."}${rest}`
      : "What the services wait for, as the plan has it. It can be changed while a test runs; for a whole test, choose it in Locust’s form.");
    if (edited && editable) return;
    edited = false;
    for (const name of ["latency", "servers", "errors", "faults"]) if (by(name).value !== told[name]) by(name).value = told[name];
  };

  const ask = async (path, options) => {
    // "no-cache" asks whether what the browser holds is the latest.
    const response = await fetch(path, {cache: "no-cache", redirect: "manual", ...options});
    if (response.type === "opaqueredirect" || response.status === 401) {
      location.assign("../login");
      throw new Error("logged out");
    }
    return response;
  };

  const draw = async () => {
    const over = chosen.over, box = narrow.matches ? "narrow" : "wide";
    const wanted = [now.drawn, chosen.quantile, over, box].join(" ");
    if (wanted === drawn || by("figures").hidden) return;
    const from = over ? `over/${encodeURIComponent(over)}` : "charts";
    if (over) {
      const response = await ask(`${from}/legend`);
      const answer = await response.json();
      by("over-said").hidden = response.ok;
      if (!response.ok) {
        text("over-said", answer.problem);
        chosen.over = "";
        keep();
        shown.legend = null;
        return show(0);
      }
      put(section("legend"), answer.legend);
      put(by("over-section"), answer.table);
    }
    by("over-section").hidden = !over;
    for (const [id, name] of [["times", chosen.quantile], ["throughput", "throughput"]]) {
      const response = await ask(`${from}/${name}-${box}`);
      if (!response.ok) return;
      const holder = document.createElement("div");
      // Off the page, so that the chart before it stands until this one is whole.
      const result = await vegaEmbed(holder, await response.json(), {mode: "vega-lite", renderer: "svg", actions: false, tooltip: false, hover: false, defaultStyle: false, ast: true});
      views[id]?.finalize();
      views[id] = result;
      by(id).replaceChildren(holder);
    }
    text("times-title", `${chosen.quantile} response time`);
    drawn = wanted;
  };

  const runs = async () => {
    const response = await ask("runs");
    if (!response.ok) return;
    const found = await response.json();
    const select = by("over");
    select.replaceChildren(new Option("none", ""), ...found.map((run) => new Option(`${run.started.slice(0, 19).replace("T", " ")} ${run.name} (${run.deployments.join(", ")})`, run.id)));
    select.value = chosen.over;
    by("no-runs").hidden = found.length > 0;
    by("runs").hidden = !found.length;
    by("runs").tBodies[0].replaceChildren(...found.map(row));
  };

  const row = (run) => {
    const line = document.createElement("tr");
    const cell = (content, kind = "td") => {
      const one = document.createElement(kind);
      one.append(...[content].flat());
      line.append(one);
      return one;
    };
    cell(run.started.slice(0, 19).replace("T", " "), "th").scope = "row";
    cell(run.name);
    cell(run.deployments.join(", ") || "none").className = "wide";
    cell(run.levels);
    cell(STATES[run.status] ?? run.status);
    cell(Object.entries(run.files).map(([file, title]) => {
      const both = document.createElement("span");
      const open = document.createElement("a"), load = document.createElement("a");
      open.href = `runs/${run.id}/${file}`;
      open.textContent = title;
      load.href = `${open.href}?download`;
      load.textContent = "↓";
      load.setAttribute("aria-label", `Download ${title} of ${run.id}`);
      both.append(open, load);
      return both;
    })).className = "files";
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Lay over";
    button.dataset.run = run.id;
    button.setAttribute("aria-label", `Lay ${run.id} over the charts`);
    button.setAttribute("aria-pressed", String(run.id === chosen.over));
    button.addEventListener("click", () => lay(chosen.over === run.id ? "" : run.id));
    cell(button);
    return line;
  };

  const lay = (run) => {
    chosen.over = run;
    keep();
    by("over").value = run;
    by("over-said").hidden = true;
    for (const button of document.querySelectorAll("button[data-run]")) button.setAttribute("aria-pressed", String(button.dataset.run === run));
    shown.legend = null;
    if (!run) by("over-section").hidden = true;
    show(0);
    queue();
  };

  // One after the other: a slow picture must not overtake a later one.
  const queue = () => { drawing = Promise.resolve(drawing).then(draw).catch((error) => console.warn(String(error))); };

  const poll = async () => {
    try {
      const response = await ask("now");
      const age = Number(response.headers.get("Age") ?? 0), fresh = response.headers.get("ETag");
      if (response.ok && (fresh === null || fresh !== tag)) {
        tag = fresh;
        now = await response.json();
        show(age);
        if (`${now.id} ${now.state}` !== listed) {
          listed = `${now.id} ${now.state}`;
          if (now.state !== "gone") await runs();
        }
        queue();
      }
    } catch (error) {
      if (error.message === "logged out") return;
      tag = "";
      now = {...now, state: "lost", stage: null};
      show(0);
    }
    tick();
    setTimeout(poll, POLL);
  };

  const change = async (what, values) => {
    said("…");
    try {
      const response = await ask(`change/${what}`, {
        method: "POST", headers: {"Content-Type": "application/json", "X-Token": token}, body: JSON.stringify(values),
      });
      const answer = await response.json().catch(() => ({problem: `the answer was ${response.status}`}));
      if (!answer.problem) edited = false;
      said(answer.problem ?? (what === "outage" ? "" : "Done: it holds from the next request on."), Boolean(answer.problem));
    } catch (error) {
      said(`brownout does not answer: ${error.message}`, true);
    }
  };

  for (const radio of by("quantile").querySelectorAll("input")) {
    radio.checked = radio.value === chosen.quantile;
    radio.addEventListener("change", () => { chosen.quantile = radio.value; keep(); queue(); });
  }
  if (!by("quantile").querySelector("input:checked")) {
    chosen.quantile = "p95";
    by("quantile").querySelector("input[value=p95]").checked = true;
  }
  by("over").addEventListener("change", () => lay(by("over").value));
  by("why-of").addEventListener("change", () => { chosen.why = by("why-of").value; keep(); causes(); });
  by("upstream").addEventListener("input", () => { edited = true; });
  by("upstream").addEventListener("submit", (event) => {
    event.preventDefault();
    change("upstream", Object.fromEntries(["latency", "servers", "errors", "faults"].map((name) => [name, by(name).value])));
  });
  by("outage").addEventListener("click", () => change("outage", {}));
  by("restore").addEventListener("click", () => { edited = false; change("restore", {}); });
  narrow.addEventListener("change", queue);
  setInterval(tick, 1000);
  poll();
}
