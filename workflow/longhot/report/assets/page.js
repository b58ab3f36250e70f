// The frame of the page: contents, and which parts are open.
"use strict";

(() => {
  document.documentElement.classList.add("with-script");

  const contents = document.querySelector("nav.contents details");
  if (contents) {
    const narrow = matchMedia("(max-width: 48rem)");
    const fold = () => { contents.open = !narrow.matches; };
    fold();
    narrow.addEventListener("change", fold);
    contents.addEventListener("click", event => { if (event.target.closest("a") && narrow.matches) contents.open = false; });

    // The link to the section that is being read is marked.
    const links = new Map([...contents.querySelectorAll("a")].map(link => [link.hash.slice(1), link]));
    const watcher = new IntersectionObserver(entries => {
      for (const {target, isIntersecting} of entries)
        if (isIntersecting)
          for (const [id, link] of links) link.toggleAttribute("aria-current", id === target.id);
    }, {rootMargin: "-15% 0px -80% 0px"});
    for (const id of links.keys()) {
      const section = document.getElementById(id);
      if (section) watcher.observe(section);
    }
  }

  // Open parts stand in the address by their ids.
  const parts = [...document.querySelectorAll("details[id]")];
  const wanted = (longhot.state.get("open") ?? "").split(",");
  for (const part of parts) {
    if (wanted.includes(part.id)) part.open = true;
    part.addEventListener("toggle", () => {
      longhot.state.set("open", parts.filter(one => one.open).map(one => one.id).join(","));
    });
  }

  // A link to a closed part opens it.
  const unfold = () => {
    const part = document.getElementById(longhot.state.anchor());
    if (part?.matches("details")) part.open = true;
    return part;
  };
  window.addEventListener("hashchange", unfold);

  // The browser knows no id that is followed by the state: it is scrolled to here.
  unfold()?.scrollIntoView();
})();
