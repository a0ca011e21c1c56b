// Draws the figures that the server made, in the colours of the theme. Plotly is fetched once a chart comes near.
(() => {
  const LETTER_PX = 6.5; // of the 11 px font, at most
  const script = document.querySelector("script[data-plotly]");
  let plotly = null;
  const load = () => (plotly ??= new Promise((done, failed) => {
    const tag = document.createElement("script");
    // Plotly carries a map library that writes a style sheet into the page as it loads. The content policy
    // refuses that and no map is ever drawn, so it gets an inert element instead.
    const create = document.createElement;
    document.createElement = (name, ...rest) => create.call(document, name === "style" ? "noscript" : name, ...rest);
    tag.src = script.dataset.plotly;
    tag.onload = () => { document.createElement = create; done(); };
    tag.onerror = failed;
    document.head.append(tag);
  }));

  // A custom property holds `light-dark(...)`; only a used colour says which.
  const probe = document.createElement("span");
  probe.hidden = true;
  document.body.append(probe);
  const colour = (name) => {
    probe.style.color = `var(${name})`;
    return getComputedStyle(probe).color;
  };
  const themed = (value) => {
    if (typeof value === "string") return value.startsWith("--") ? colour(value) : value;
    if (Array.isArray(value)) return value.map(themed);
    if (value && typeof value === "object") return Object.fromEntries(Object.entries(value).map(([k, v]) => [k, themed(v)]));
    return value;
  };

  async function draw(chart) {
    await load();
    const figure = themed(JSON.parse(chart.querySelector("script").textContent));
    let stage = chart.querySelector("div");
    if (!stage) {
      stage = document.createElement("div");
      chart.append(stage);
    }
    const label = Math.max(1, ...(figure.data[0]?.x ?? []).map((x) => String(x).length));
    const room = Math.floor(chart.clientWidth / (label * LETTER_PX + 24)); // labels side by side, never over each other
    figure.layout.xaxis.nticks = Math.max(2, Math.min(figure.layout.xaxis.nticks, room));
    const font = { family: getComputedStyle(document.body).fontFamily, size: 11, color: colour("--muted") };
    await Plotly.react(stage, figure.data, { ...figure.layout, font }, { displayModeBar: false, responsive: true });
    stage.removeAllListeners?.("plotly_click");
    stage.on("plotly_click", ({ points }) => {
      const link = points[0].customdata;
      if (typeof link === "string" && link.startsWith("/")) location.href = link;
    });
  }

  const near = new IntersectionObserver((entries) => {
    for (const { isIntersecting, target } of entries) {
      if (!isIntersecting) continue;
      near.unobserve(target);
      draw(target);
    }
  }, { rootMargin: "200px" });
  const watch = (root) => root.querySelectorAll("[data-chart]").forEach((chart) => near.observe(chart));
  const redraw = () => plotly && document.querySelectorAll("[data-chart]:has(.js-plotly-plot)").forEach(draw);

  watch(document);
  document.addEventListener("swapped", (event) => watch(event.detail));
  document.addEventListener("themed", redraw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
})();
