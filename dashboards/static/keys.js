// Keyboard: / search, j k move, Enter open, g + letter go to a page, t theme, ? help. And the small buttons.
(() => {
  const PAGES = { o: "/", r: "/runs", c: "/cost", p: "/prices", f: "/findings", s: "/slos", a: "/alerts", q: "/quality" };
  const help = document.getElementById("help");
  let going = false;
  document.querySelector(".nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

  const rows = () => [...document.querySelectorAll("[data-key]")].filter((row) => row.offsetParent);
  function move(by) {
    const all = rows();
    const at = all.findIndex((row) => row.classList.contains("here"));
    const next = all[Math.min(Math.max(at + by, 0), all.length - 1)];
    if (!next) return;
    all[at]?.classList.remove("here");
    next.classList.add("here");
    next.scrollIntoView({ block: "nearest" });
    (next.querySelector("a[href]") ?? next).focus({ preventScroll: true });
  }
  function theme() {
    const root = document.documentElement;
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    localStorage.setItem("theme", root.dataset.theme);
    document.dispatchEvent(new Event("themed"));
  }
  function say(text) {
    const toast = document.createElement("div");
    toast.className = "toast";
    toast.setAttribute("role", "status");
    toast.textContent = text;
    document.body.append(toast);
    setTimeout(() => toast.remove(), 1600);
  }

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches("input, select, textarea")) {
      if (event.key === "Escape") event.target.blur();
      return;
    }
    if (going && PAGES[event.key]) location.href = PAGES[event.key];
    const wasGoing = going;
    going = event.key === "g";
    if (wasGoing) return;
    const act = {
      "/": () => document.querySelector("input[type=search]")?.focus(),
      j: () => move(1),
      k: () => move(-1),
      t: theme,
      "?": () => (help.open ? help.close() : help.showModal()),
    }[event.key];
    if (act) {
      event.preventDefault();
      act();
    }
  });
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.copy !== undefined) {
      const text = button.dataset.copy || button.parentElement.querySelector("pre").textContent;
      try {
        await navigator.clipboard.writeText(text);
        say("Copied");
      } catch {
        say("The browser did not allow copying");
      }
    }
    if (button.hasAttribute("data-theme-toggle")) theme();
    if (button.hasAttribute("data-help")) help.showModal();
    if (button.hasAttribute("data-close")) button.closest("dialog").close();
  });
  document.addEventListener("change", (event) => event.target.closest("form[data-auto]")?.requestSubmit());
  // Empty fields only make a long address: leave them out.
  document.addEventListener("submit", (event) => {
    for (const field of event.target.querySelectorAll("input, select")) if (!field.value) field.disabled = true;
  });
  addEventListener("pageshow", () => document.querySelectorAll("form :disabled").forEach((field) => (field.disabled = false)));
})();
