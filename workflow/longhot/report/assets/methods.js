// Buttons that give away the methods as LaTeX and BibTeX.
"use strict";

for (const button of document.querySelectorAll("#methods button.save"))
  button.addEventListener("click", async () => {
    const parts = await longhot.data("methods");
    longhot.save(button.dataset.file, parts[button.dataset.part], "text/plain");
  });
