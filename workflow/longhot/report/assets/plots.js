// Figures: exports, and their interactive form in place of the drawing when they are scrolled to.
"use strict";

(() => {
  const FONT = 'system-ui, -apple-system, "Segoe UI", "Liberation Sans", "DejaVu Sans", sans-serif';
  const INK = "#1b1f24", LINE = "#e3e7eb";
  const AXIS = {automargin: true, gridcolor: LINE, linecolor: INK, showline: true, ticks: "outside", ticklen: 4, zeroline: false, minor: {ticks: ""}};
  const LINE_OF_LEGEND = 19, PLOT_HEIGHT = 330, AXIS_HEIGHT = 52, TOP = 8;

  function layoutOf(panel) {
    const layout = structuredClone(panel.layout);
    const entries = layout.showlegend === false ? 0 : panel.data.filter(trace => trace.showlegend !== false).length;
    for (const name of ["xaxis", "yaxis"]) {
      const ticks = layout[name].type === "log" && !layout[name].tickvals ? logTicks(panel, name) : {};
      layout[name] = {...AXIS, ...ticks, ...layout[name]};
      layout[name].title = {font: {size: 13}, standoff: 8, ...layout[name].title};
    }
    return {
      font: {family: FONT, size: 12, color: INK},
      paper_bgcolor: "#fff",
      plot_bgcolor: "#fff",
      margin: {l: 58, r: 14, t: TOP, b: AXIS_HEIGHT + LINE_OF_LEGEND * entries},
      height: PLOT_HEIGHT + LINE_OF_LEGEND * entries,
      // Below the axis title, in the margin that is left for it.
      legend: {x: 0, xanchor: "left", y: -AXIS_HEIGHT / (PLOT_HEIGHT - AXIS_HEIGHT - TOP), yanchor: "top", tracegroupgap: 0, font: {size: 11.5}},
      hovermode: "closest",
      hoverlabel: {bgcolor: "#fff", bordercolor: INK, font: {family: FONT, color: INK}, align: "left"},
      dragmode: matchMedia("(pointer: coarse)").matches ? false : "zoom",
      ...layout,
    };
  }

  // Plain numbers at powers of ten, and between them where the values span little.
  function logTicks(panel, name) {
    const values = panel.data.flatMap(trace => trace[name[0]]).filter(value => value > 0);
    const [low, high] = [Math.min(...values), Math.max(...values)].map(Math.log10);
    const span = high - low, steps = span > 2 ? [1] : span > 0.7 ? [1, 2, 5] : [1, 1.5, 2, 3, 4, 5, 6, 8], tickvals = [];
    for (let power = Math.floor(low) - 1; power <= high + 1; power++)
      for (const step of steps) tickvals.push(Number((step * 10 ** power).toPrecision(2)));
    return {tickvals, ticktext: tickvals.map(String)};
  }

  async function plot(figure) {
    const panels = await longhot.data(figure.dataset.plot);
    await longhot.library("plotly");
    const place = longhot.element("div", {class: "panels"});
    figure.querySelector(".drawing").after(place);
    // Shown before it is drawn, for a plot takes the width of its place.
    show(figure, true);
    // All of them before the first is drawn, for their number decides how wide each is.
    const places = panels.map(panel => {
      const at = longhot.element("div", {class: "plot", role: "img", "aria-label": `${panel.title}: ${described(panel)}`});
      place.append(longhot.element("div", {class: "panel"}, longhot.element("h4", {}, panel.title), at));
      return at;
    });
    for (const [number, panel] of panels.entries()) {
      const at = places[number], layout = layoutOf(panel);
      for (const trace of hiddenIn(figure, number, panel.data)) trace.visible = "legendonly";
      // When the window changes, a plot takes the height of its place too.
      at.style.height = `${layout.height}px`;
      await Plotly.newPlot(at, panel.data, layout, {
        responsive: true,
        displaylogo: false,
        modeBarButtons: [["zoom2d", "pan2d", "resetScale2d", "toImage"]],
        toImageButtonOptions: {format: "svg", filename: `${figure.dataset.name}, ${panel.title}`},
      });
      // Only now, so that the first view stays the one that a reset comes back to.
      const zoom = zoomIn(figure, number);
      if (Object.keys(zoom).length) await Plotly.relayout(at, zoom);
      at.on("plotly_relayout", changed => {
        if (Object.keys(changed).some(name => /^[xy]axis\./.test(name))) keepZoom(figure, number, at.layout, panel.layout);
      });
      at.on("plotly_restyle", () => longhot.state.set(hiddenKey(figure, number), hiddenOf(at.data)));
      at.on("plotly_click", event => {
        const [point] = event.points;
        if (typeof point.customdata === "string") longhot.show(point.customdata);
      });
    }
    figure.classList.add("plotted");
  }

  // The state in the address: <figure>.zoom<panel> as low..high of x and y, empty where an axis shows all, and
  // <figure>.hidden<panel> as the places of the traces that the legend hides.
  const AXES = ["xaxis", "yaxis"];
  const zoomKey = (figure, number) => `${figure.dataset.name}.zoom${number}`;
  const hiddenKey = (figure, number) => `${figure.dataset.name}.hidden${number}`;

  function keepZoom(figure, number, layout, first) {
    const spans = AXES.map(name => {
      const {autorange, range} = layout[name];
      const isFirst = first[name].range ? String(range) === String(first[name].range) : autorange;
      return isFirst ? "" : range.map(end => Number(end.toPrecision(6))).join("..");
    });
    longhot.state.set(zoomKey(figure, number), spans.some(Boolean) ? spans.join(",") : null);
  }

  // What to lay out anew for the view in the address.
  function zoomIn(figure, number) {
    const spans = (longhot.state.get(zoomKey(figure, number)) ?? "").split(",").map(span => span.split("..").map(Number));
    return Object.fromEntries(AXES.map((name, place) => [`${name}.range`, spans[place] ?? []])
      .filter(([, range]) => range.length === 2 && range.every(Number.isFinite)));
  }

  const hiddenOf = traces => traces.flatMap((trace, place) => (trace.visible === "legendonly" ? [place] : [])).join(",");
  const hiddenIn = (figure, number, traces) =>
    (longhot.state.get(hiddenKey(figure, number)) ?? "").split(",").filter(Boolean).map(place => traces[place]).filter(Boolean);

  // What a panel holds, for those who cannot see it.
  function described(panel) {
    const names = panel.data.filter(trace => trace.showlegend !== false).map(trace => trace.name.replaceAll("<br>", " "));
    const axes = ["yaxis", "xaxis"].map(name => panel.layout[name].title.text).filter(Boolean);
    return `${axes.join(" against ")}. ${names.join("; ")}.`;
  }

  const show = (figure, isPlot) => figure.classList.toggle("as-plot", isPlot);

  async function toPlot(figure) {
    try {
      if (!figure.plotting) figure.plotting = plot(figure);
      await figure.plotting;
      show(figure, !isStatic(figure));
    } catch (error) {
      show(figure, false);
      figure.querySelector(".panels")?.remove();
      figure.querySelector(".drawing").after(longhot.element("p", {class: "note"}, `The interactive form failed: ${error.message}`));
    }
  }

  const key = figure => `${figure.dataset.name}.plot`;
  const isStatic = figure => longhot.state.get(key(figure)) === "drawing";

  function svgText(figure) {
    const svg = figure.querySelector(".drawing svg").cloneNode(true);
    svg.setAttribute("xmlns", "http://www.w3.org/2000/svg");
    svg.setAttribute("xmlns:xlink", "http://www.w3.org/1999/xlink");
    return new XMLSerializer().serializeToString(svg);
  }

  // The drawing at three pixels for each of its own, on white.
  async function png(figure) {
    const image = new Image();
    const url = URL.createObjectURL(new Blob([svgText(figure)], {type: "image/svg+xml"}));
    image.src = url;
    await image.decode();
    const {width, height} = figure.querySelector(".drawing svg").viewBox.baseVal;
    const canvas = longhot.element("canvas", {width: Math.round(3 * width), height: Math.round(3 * height)});
    const context = canvas.getContext("2d");
    context.fillStyle = "#fff";
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.drawImage(image, 0, 0, canvas.width, canvas.height);
    URL.revokeObjectURL(url);
    return new Promise(resolve => canvas.toBlob(resolve, "image/png"));
  }

  // Every plotted point with its error bar.
  function pointsOf(panels) {
    const rows = [["panel", "series", "x", "y", "x_error_up", "x_error_down", "y_error_up", "y_error_down", "structure"]];
    for (const {title, data} of panels)
      for (const trace of data)
        trace.x.forEach((x, place) => {
          const errors = ["error_x", "error_y"].flatMap(name => {
            const up = trace[name]?.array?.[place];
            return [up, trace[name]?.arrayminus?.[place] ?? up];
          });
          rows.push([title, trace.name, x, trace.y[place], ...errors, trace.customdata?.[place]]);
        });
    return longhot.csv(rows);
  }

  function tools(figure) {
    const {name} = figure.dataset;
    const made = [];
    if (figure.dataset.plot) {
      const toggle = longhot.element("button", {type: "button", "aria-pressed": String(!isStatic(figure)), onclick() {
        longhot.state.set(key(figure), isStatic(figure) ? null : "drawing");
        toggle.setAttribute("aria-pressed", String(!isStatic(figure)));
        if (isStatic(figure)) show(figure, false);
        else toPlot(figure);
      }}, "Interactive");
      made.push(toggle);
    }
    made.push(longhot.element("button", {type: "button", onclick: () => longhot.save(`${name}.svg`, svgText(figure), "image/svg+xml")}, "SVG"));
    made.push(longhot.element("button", {type: "button", onclick: async () => longhot.save(`${name}.png`, await png(figure))}, "PNG"));
    if (figure.dataset.plot)
      made.push(longhot.element("button", {type: "button", async onclick() {
        longhot.save(`${name}.csv`, pointsOf(await longhot.data(figure.dataset.plot)), "text/csv");
      }}, "Data (CSV)"));
    figure.querySelector(".tools").append(...made);
  }

  const watcher = new IntersectionObserver(entries => {
    for (const {target, isIntersecting} of entries)
      if (isIntersecting) {
        watcher.unobserve(target);
        if (!isStatic(target)) toPlot(target);
      }
  }, {rootMargin: "300px"});
  for (const figure of document.querySelectorAll("figure[data-name]")) {
    tools(figure);
    if (figure.dataset.plot) watcher.observe(figure);
  }
})();
