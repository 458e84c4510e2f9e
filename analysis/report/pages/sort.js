// A click on a column's head sorts by it; without this script the tables stay in their own order.
const value = (row, place) => {
  const text = row.cells[place].textContent.trim().replace(/\u00a0/g, "");
  const number = parseFloat(text.replace(/^[<x]\s*/, ""));
  return Number.isNaN(number) ? text : number;
};
const before = (one, other) =>
  typeof one === typeof other ? (one < other ? -1 : one > other ? 1 : 0) : typeof one === "number" ? -1 : 1;
for (const table of document.querySelectorAll("table.sorts")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, place) => {
    const button = document.createElement("button");
    const name = head.firstElementChild;
    button.append(...name.childNodes);
    name.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((one) => one.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const rows = [...table.tBodies[0].rows];
      rows.sort((one, other) => before(value(one, place), value(other, place)) * (down ? -1 : 1));
      table.tBodies[0].append(...rows);
    });
  });
}
// What a link points at is unfolded, and everything before it is printed.
const unfold = () => document.getElementById(location.hash.slice(1))?.closest("details")?.setAttribute("open", "");
addEventListener("hashchange", unfold);
unfold();
