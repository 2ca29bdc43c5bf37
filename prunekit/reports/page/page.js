"use strict";
// Sorts and filters the tables, and changes between light and dark. Writes no markup.
function value(row, column) {
  const cell = row.cells[column];
  return "value" in cell.dataset ? Number(cell.dataset.value) : cell.textContent.trim();
}
function compare(a, b) {
  const numbers = typeof a === "number" && typeof b === "number";
  if (numbers) return a - b;
  if (typeof a !== typeof b) return typeof a === "number" ? -1 : 1;
  return a.localeCompare(b, "en", { numeric: true });
}
function isEmpty(row, column) {
  return "empty" in row.cells[column].dataset;
}
function sort(table, head) {
  const up = head.getAttribute("aria-sort") !== "ascending";
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", up ? "ascending" : "descending");
  const body = table.tBodies[0];
  const column = head.cellIndex;
  const rows = [...body.rows];
  rows.sort((a, b) =>
    isEmpty(a, column) - isEmpty(b, column) ||
    (up ? 1 : -1) * compare(value(a, column), value(b, column)));
  body.append(...rows);
}
function filter(box) {
  const words = box.querySelector("input").value.toLowerCase().split(/\s+/).filter(Boolean);
  const chosen = [...box.querySelectorAll("select")].filter((one) => one.value !== "");
  const rows = [...box.querySelector("tbody").rows];
  let shown = 0;
  for (const row of rows) {
    const text = row.textContent.toLowerCase();
    const fits = words.every((word) => text.includes(word)) &&
      chosen.every((one) => row.cells[one.dataset.column].textContent.trim() === one.value);
    row.hidden = !fits;
    shown += fits;
  }
  box.querySelector("output").textContent =
    shown === rows.length ? `${rows.length} rows` : `${shown} of ${rows.length} rows`;
}
for (const box of document.querySelectorAll(".sortable")) {
  const table = box.querySelector("table");
  for (const head of table.querySelectorAll("th[data-sort]")) {
    head.addEventListener("click", () => sort(table, head));
    head.addEventListener("keydown", (event) => {
      if (event.key === "Enter" || event.key === " ") {
        event.preventDefault();
        sort(table, head);
      }
    });
  }
  for (const tool of box.querySelectorAll("input, select")) {
    tool.addEventListener("input", () => filter(box));
  }
  if (box.querySelector("input")) filter(box);
}
document.getElementById("theme").addEventListener("click", () => {
  const root = document.documentElement;
  const asked = root.dataset.theme || (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
  root.dataset.theme = asked === "dark" ? "light" : "dark";
});
