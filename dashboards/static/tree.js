// The waterfall: fold and unfold, arrow keys, and the panel of the chosen span.
(() => {
  const panel = document.getElementById("panel");
  const rowsOf = () => [...document.querySelectorAll(".waterfall .span[data-key]")];

  function fold(row, open = row.getAttribute("aria-expanded") !== "true") {
    row.setAttribute("aria-expanded", String(open));
    const depth = Number(row.dataset.depth);
    let hiddenBelow = Infinity;
    for (let next = row.nextElementSibling; next?.dataset.key && Number(next.dataset.depth) > depth; next = next.nextElementSibling) {
      const level = Number(next.dataset.depth);
      if (level <= hiddenBelow) hiddenBelow = Infinity;
      next.hidden = !open || level > hiddenBelow;
      if (open && hiddenBelow === Infinity && next.getAttribute("aria-expanded") === "false") hiddenBelow = level;
    }
  }

  async function choose(id, push = true) {
    const answer = await fetch(`${location.pathname}/panel/${id}`);
    if (!answer.ok) return;
    panel.innerHTML = await answer.text();
    panel.hidden = false;
    document.querySelector(".waterfall .here")?.classList.remove("here");
    const row = document.getElementById(`s-${id}`);
    row?.classList.add("here");
    row?.scrollIntoView({ block: "nearest" });
    if (push) {
      const address = new URL(location.href);
      address.searchParams.set("span", id);
      history.replaceState(null, "", address);
    }
  }
  function close() {
    panel.hidden = true;
    const address = new URL(location.href);
    address.searchParams.delete("span");
    history.replaceState(null, "", address.pathname + address.search);
  }

  document.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    const folder = event.target.closest("button.fold");
    const link = event.target.closest("[data-span]");
    const row = event.target.closest(".waterfall .span[data-key]");
    if (folder) fold(row);
    else if (link) { event.preventDefault(); choose(link.dataset.span); }
    else if (event.target.closest("[data-close-panel]")) { event.preventDefault(); close(); }
    else if (row && row.querySelector("[data-span]") && getSelection().isCollapsed) choose(row.dataset.key);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && !panel.hidden) close();
    const row = document.querySelector(".waterfall .span.here");
    if (!row || !row.hasAttribute("aria-expanded")) return;
    if (event.key === "ArrowLeft") fold(row, false);
    if (event.key === "ArrowRight") fold(row, true);
  });
})();
