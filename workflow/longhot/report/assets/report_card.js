// The report card judges anew when a tolerance is moved. Scores stand in the cells as [N, value, low, high, exploded].
"use strict";

(() => {
  const section = document.getElementById("report-card");
  if (!section) return;
  const SYMBOLS = {met: "✓ ", "not met": "✗ ", "cannot tell": "? ", "no limit": ""};
  const inputs = [...section.querySelectorAll("input[data-criterion]")];
  const stateKey = criterion => `limit-${criterion}`;

  // The same rules as Score.judge in report_card.py.
  function judge([, value, low, high, exploded], limit, isLeast) {
    if (value === null && !exploded) return "no number";
    if (limit === null) return "no limit";
    if (exploded) return "not met";
    const [bottom, top] = low === null ? [value, value] : [low, high ?? Infinity];
    const [worst, best] = isLeast ? [-bottom, -top] : [top, bottom];
    const most = isLeast ? -limit : limit;
    return worst <= most ? "met" : best > most ? "not met" : "cannot tell";
  }

  function metFrom(scores, limit, isLeast) {
    let smallest = null;
    for (const score of [...scores].reverse()) {
      if (judge(score, limit, isLeast) !== "met") break;
      smallest = score[0];
    }
    return smallest === scores.at(-1)[0] ? null : smallest;
  }

  function limitOf(criterion) {
    const text = inputs.find(input => input.dataset.criterion === criterion).value;
    return text === "" || !Number.isFinite(Number(text)) ? null : Number(text);
  }

  // Why there is no number, or why it misses every limit, is told where it stands.
  for (const cell of section.querySelectorAll("td[data-scores][title]")) {
    const shown = cell.querySelector(".judged");
    const button = longhot.why(shown.textContent, cell.title, "judged");
    button.dataset.verdict = shown.dataset.verdict;
    shown.replaceWith(button);
    cell.removeAttribute("title");
  }

  function judgeAll() {
    for (const cell of section.querySelectorAll("td[data-scores]")) {
      const scores = JSON.parse(cell.dataset.scores);
      const limit = limitOf(cell.dataset.criterion);
      const isLeast = "least" in cell.dataset;
      const verdict = judge(scores.at(-1), limit, isLeast);
      if (verdict === "no number") continue;
      const shown = cell.querySelector(".judged");
      shown.dataset.verdict = verdict;
      shown.textContent = SYMBOLS[verdict] + verdict;
      const since = metFrom(scores, limit, isLeast);
      cell.querySelector(".since").textContent = since === null ? "" : `met from N = ${since}`;
    }
    for (const body of section.querySelectorAll("tbody")) rank([...body.rows]);
  }

  // Only where the config asks for a ranking are there cells for it.
  function rank(rows) {
    const judged = rows.filter(row => /^\d/.test(row.querySelector(".rank")?.textContent ?? ""));
    const met = row => row.querySelectorAll('.judged[data-verdict="met"]').length;
    for (const row of judged)
      row.querySelector(".rank").textContent = 1 + judged.filter(other => met(other) > met(row)).length;
  }

  for (const input of inputs) {
    const {criterion} = input.dataset;
    const stored = longhot.state.get(stateKey(criterion));
    if (stored !== null) input.value = stored === "none" ? "" : stored;
    input.addEventListener("input", () => {
      const isDefault = input.value === input.defaultValue;
      longhot.state.set(stateKey(criterion), isDefault ? null : input.value || "none");
      judgeAll();
    });
  }
  document.getElementById("report-card-reset").addEventListener("click", () => {
    for (const input of inputs) {
      input.value = input.defaultValue;
      longhot.state.set(stateKey(input.dataset.criterion), null);
    }
    judgeAll();
  });
  judgeAll();
})();
