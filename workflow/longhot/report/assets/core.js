// What every part of the page stands on: packed data and libraries, and the state of the page in its address.
"use strict";

const longhot = (() => {
  // Text that stands in the page as gzip and base64.
  async function unpack(id) {
    const element = document.getElementById(id);
    if (!element) throw new Error(`The page holds no ${id}.`);
    if (typeof DecompressionStream === "undefined") throw new Error("This browser cannot unpack what the page holds.");
    const bytes = Uint8Array.from(atob(element.textContent.trim()), letter => letter.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).text();
  }

  // The same promise for the same name, so that nothing is unpacked twice.
  function once(work) {
    const known = new Map();
    return name => {
      if (!known.has(name)) known.set(name, work(name));
      return known.get(name);
    };
  }

  const data = once(async name => JSON.parse(await unpack(`data-${name}`)));

  // A library runs as an inline script when it is first asked for; it leaves its global behind. The carrier of 3Dmol
  // takes away the style of plotly, which stands in no text, so what is gone is given back.
  const library = once(async name => {
    const script = document.createElement("script");
    script.textContent = await unpack(`library-${name}`);
    const rulesOf = style => Array.from(style.sheet.cssRules, rule => rule.cssText).join("\n");
    const before = Array.from(document.querySelectorAll("style[id]"), style => [style, rulesOf(style)]);
    document.head.append(script);
    for (const [style, rules] of before)
      if (!style.isConnected) {
        style.textContent = rules;
        document.head.append(style);
      }
  });

  // The fragment of the address: an id to scroll to, then key=value pairs, as in #figures&open=table-recheck.
  const state = (() => {
    const read = () => {
      const parts = location.hash.slice(1).split("&");
      const anchor = parts[0].includes("=") ? "" : parts.shift();
      return [anchor, new URLSearchParams(parts.join("&"))];
    };
    let [, pairs] = read();
    const write = anchor => {
      const text = [anchor, pairs.toString()].filter(Boolean).join("&");
      history.replaceState(null, "", `#${text}`);
    };
    // A link within the page names its target alone: the rest of the state stays.
    window.addEventListener("hashchange", () => {
      const [anchor, found] = read();
      if ([...found].length) pairs = found;
      else write(anchor);
    });
    return {
      anchor: () => read()[0],
      get: key => pairs.get(key),
      set(key, value) {
        if (value === null || value === "") pairs.delete(key);
        else pairs.set(key, value);
        write(read()[0]);
      },
    };
  })();

  // A file that the page itself makes; works where the page was opened from disk.
  function save(name, content, type) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(content instanceof Blob ? content : new Blob([content], {type}));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  // An element with attributes (handlers by their names, such as onclick) and children.
  function element(tag, attributes = {}, ...children) {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes))
      if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
      else if (value !== false) made.setAttribute(name, value === true ? "" : value);
    made.append(...children);
    return made;
  }

  const popover = element("div", {id: "about", class: "popover", popover: "auto", role: "note"});
  document.body.append(popover);

  // Help beside what was pressed, one line of text each.
  function about(button, text) {
    popover.replaceChildren(...text.split("\n").map(line => element("p", {}, line)));
    const {left, bottom} = button.getBoundingClientRect();
    popover.showPopover();
    popover.style.margin = "0";
    popover.style.left = `${Math.max(8, Math.min(left, innerWidth - popover.offsetWidth - 8))}px`;
    popover.style.top = `${Math.max(8, Math.min(bottom + 6, innerHeight - popover.offsetHeight - 8))}px`;
  }

  // What stands in an empty cell, as a button that says why; it reads as the description of the button too.
  const why = (text, reason, style = "") =>
    element("button", {type: "button", class: `why ${style}`.trim(), title: reason, onclick: event => about(event.currentTarget, reason)}, text);

  // One field of a CSV file.
  const field = value => (/[",\n\r]/.test(value) ? `"${String(value).replaceAll('"', '""')}"` : String(value ?? ""));
  const csv = rows => rows.map(row => row.map(field).join(",")).join("\n") + "\n";

  // Where there is no viewer, a plotted point has no structure to show.
  const show = () => {};

  return {data, library, state, save, show, element, about, why, csv};
})();
