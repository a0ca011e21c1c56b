// Keeps marked parts of a page fresh: fetches the page again and swaps every [data-live] element by its id.
// Rests while the tab is hidden, while live is switched off, and while someone works inside a part.
(() => {
  const PERIOD_MS = 5000;
  const button = document.querySelector("[data-live-toggle]");
  let on = localStorage.getItem("live") !== "off";
  let failures = 0;

  const show = () => {
    if (!button) return;
    button.classList.toggle("off", !on || failures > 0);
    button.setAttribute("aria-pressed", String(on));
    button.querySelector("[data-live-word]").textContent = !on ? "Paused" : failures ? "Offline" : "Live";
  };
  const busy = (part) => part.contains(document.activeElement) && document.activeElement !== document.body
    || part.querySelector("details[open]") || !getSelection().isCollapsed && part.contains(getSelection().anchorNode);

  function swap(old, fresh) {
    const known = new Set([...old.querySelectorAll("tr[data-key]")].map((row) => row.dataset.key));
    const here = old.querySelector("tr.here")?.dataset.key;
    for (const row of fresh.querySelectorAll("tr[data-key]")) {
      if (known.size && !known.has(row.dataset.key)) row.classList.add("new");
      if (row.dataset.key === here) row.classList.add("here");
    }
    const scroll = old.querySelector(".table")?.scrollTop ?? 0;
    old.replaceWith(fresh);
    if (scroll) fresh.querySelector(".table").scrollTop = scroll;
    document.dispatchEvent(new CustomEvent("swapped", { detail: fresh }));
  }

  async function refresh() {
    const parts = [...document.querySelectorAll("[data-live]")];
    if (!on || document.hidden || !parts.length) return;
    try {
      const answer = await fetch(location.href, { headers: { Accept: "text/html" } });
      if (!answer.ok) throw new Error(answer.status);
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      for (const part of parts) {
        const fresh = page.getElementById(part.id);
        if (!fresh) return location.reload();
        if (!busy(part) && fresh.innerHTML !== part.dataset.last) {
          const seen = fresh.innerHTML;
          swap(part, fresh);
          fresh.dataset.last = seen;
        }
      }
      failures = 0;
    } catch {
      failures += 1;
    }
    show();
  }

  button?.addEventListener("click", () => {
    on = !on;
    localStorage.setItem("live", on ? "on" : "off");
    show();
    refresh();
  });
  document.addEventListener("visibilitychange", () => document.hidden || refresh());
  setInterval(refresh, PERIOD_MS);
  show();
})();
