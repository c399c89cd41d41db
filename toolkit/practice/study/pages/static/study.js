// The pages work without this. It adds keys for choices, tiles to tap, and answers kept while offline.
"use strict";
(() => {
  const learner = document.body.dataset.learner || localStorage.getItem("learner");
  const main = document.getElementById("main");
  const kept = document.getElementById("kept");
  const opened = () => performance.now();
  let begun = opened();

  const read = (name) => {
    try { return JSON.parse(localStorage.getItem(name) || "[]"); } catch { return []; }
  };
  const write = (name, value) => localStorage.setItem(name, JSON.stringify(value));
  const clear = () => ["queue", "pack", "learner", "begun"].forEach((name) => localStorage.removeItem(name));

  // Another learner on this device: nothing of the first one's is shown. What they answered is still theirs.
  if (document.body.dataset.learner) {
    if (localStorage.getItem("learner") !== learner) localStorage.removeItem("pack");
    localStorage.setItem("learner", learner);
  }

  const mine = () => read("queue").filter((one) => one.learner === learner);
  const showKept = () => {
    const n = mine().length;
    kept.hidden = n === 0;
    kept.textContent = kept.dataset.words.replace("{n}", n);
  };

  const send = (one) => fetch(one.action, {
    method: "POST", body: new URLSearchParams(one.fields), credentials: "same-origin",
    headers: { Accept: "application/json" },
  });

  // Sent in order; one that the server has on disk, or will never take, leaves the device.
  let flushing = false;
  const flush = async () => {
    if (flushing || !learner) return;
    flushing = true;
    try {
      for (const one of mine()) {
        const answered = await send(one);
        if (answered.status === 429 || answered.status >= 500 || answered.status === 401 || answered.status === 409) break;
        write("queue", read("queue").filter((other) => other.uid !== one.uid));
      }
    } catch { /* still offline */ }
    flushing = false;
    showKept();
  };

  const offer = () => {
    const done = new Set(mine().map((one) => one.item));
    const next = read("pack").find((one) => !done.has(one.id));
    if (!next) {
      if (!document.body.hasAttribute("data-offline")) location.href = "/offline";
      return;
    }
    main.innerHTML = next.html; // from our own server, escaped there
    const more = document.getElementById("offline-more");
    if (more) more.hidden = false;
    prepare();
    main.querySelector("[autofocus]")?.focus();
  };

  const submit = async (event) => {
    const form = event.target;
    if (!form.matches("form[data-keep]")) {
      if (form.matches("form[data-withdraw]")) clear();
      return;
    }
    event.preventDefault();
    const data = new FormData(form);
    data.set("took_ms", Math.round(opened() - begun));
    const one = { action: "/answer", uid: data.get("uid"), item: data.get("item"), learner, fields: [...data.entries()] };
    const button = form.querySelector("button");
    button.disabled = true;
    try {
      const answered = await send(one);
      if (answered.ok) { location.href = (await answered.json()).next; return; }
      if (answered.status === 401 || answered.status === 409) { location.href = "/"; return; }
      if (answered.status < 500 && answered.status !== 429) { location.reload(); return; }
    } catch { /* offline: keep it */ }
    one.fields.push(["device_at", new Date().toISOString()]);
    write("queue", [...read("queue"), one]);
    showKept();
    offer();
  };

  const prepare = () => {
    begun = opened();
    for (const tile of main.querySelectorAll("[data-word]")) {
      const button = document.createElement("button");
      button.type = "button";
      button.className = "tile";
      button.textContent = tile.textContent;
      button.setAttribute("aria-pressed", "false");
      button.addEventListener("click", () => {
        const pressed = button.getAttribute("aria-pressed") === "true";
        const input = main.querySelector("[name=given]");
        const words = input.value.split(" ").filter(Boolean);
        if (pressed) { const at = words.lastIndexOf(button.textContent); if (at >= 0) words.splice(at, 1); } else words.push(...button.textContent.split(" "));
        input.value = words.join(" ");
        button.setAttribute("aria-pressed", String(!pressed));
      });
      tile.replaceWith(button);
    }
  };

  document.addEventListener("submit", submit);
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || !/^[1-9]$/.test(event.key)) return;
    if (event.target.matches("input:not([type=radio]), textarea, select")) return;
    const choice = main.querySelectorAll(".options input, .grades button, .vote button")[Number(event.key) - 1];
    if (!choice) return;
    event.preventDefault();
    if (choice.type === "radio") { choice.checked = true; choice.focus(); } else choice.click();
  });
  // Not every device tells when it is connected again, so it is tried now and then, too.
  const reconnect = async () => {
    if (!mine().length) return;
    await flush();
    if (!mine().length && document.body.hasAttribute("data-offline")) location.href = "/";
  };
  window.addEventListener("online", reconnect);
  setInterval(reconnect, 5000);

  prepare();
  showKept();
  if (document.body.hasAttribute("data-offline")) offer();
  else if (document.body.dataset.learner && !main.querySelector('form[action="/consent"]')) {
    flush();
    const pack = fetch("/pack", { credentials: "same-origin", headers: { Accept: "application/json" } })
      .then((answered) => (answered.ok ? answered.json() : Promise.reject(answered.status)))
      .then((found) => write("pack", found.forms));
    // From here on the page can be used offline.
    if ("serviceWorker" in navigator) {
      Promise.all([pack, navigator.serviceWorker.ready]).then(() => { document.body.dataset.packed = ""; }).catch(() => {});
    } else pack.catch(() => {});
  }
  if ("serviceWorker" in navigator) navigator.serviceWorker.register("/sw.js").catch(() => {});
})();
