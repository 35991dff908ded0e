// Tables: long names break after punctuation, long tables sort and filter.

const LONG = 20;

function breakable(element, pattern) {
  for (const text of [...element.childNodes].filter((node) => node.nodeType === 3)) {
    const parts = text.data.split(pattern);
    text.replaceWith(
      ...parts.flatMap((part, i) => (i ? [document.createElement("wbr"), part] : [part])),
    );
  }
}

for (const code of document.querySelectorAll("td code")) {
  breakable(code, /(?<=[(_=/.])(?=\S)/);
}
// Shapes, such as 32x56x56x64.
for (const header of document.querySelectorAll("th")) {
  breakable(header, /(?<=\dx)(?=\d)/);
}

const text = (row, column) => row.cells[column].textContent.trim();
const number = (value) => parseFloat(value.replaceAll(",", ""));

function compare(a, b) {
  const [x, y] = [number(a), number(b)];
  return isNaN(x) || isNaN(y) ? a.localeCompare(b, "en", { numeric: true }) : x - y;
}

function sortable(table) {
  const body = table.tBodies[0];
  [...table.tHead.rows[0].cells].forEach((header, column) => {
    const button = document.createElement("button");
    button.className = "sort";
    button.append(...header.childNodes);
    header.append(button);
    button.addEventListener("click", () => {
      const descending = header.ariaSort === "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      header.setAttribute("aria-sort", descending ? "descending" : "ascending");
      const empty = (row) => text(row, column) === "";
      // Rows without a value stay at the end in both directions.
      const rows = [...body.rows].sort(
        (a, b) =>
          empty(a) - empty(b) ||
          (descending ? -1 : 1) * compare(text(a, column), text(b, column)),
      );
      body.append(...rows);
    });
  });
}

function filterable(table) {
  const rows = [...table.tBodies[0].rows];
  const label = document.createElement("label");
  label.className = "filter";
  const input = document.createElement("input");
  input.type = "search";
  input.placeholder = "Filter rows";
  const count = document.createElement("output");
  label.append(input, count);
  table.closest(".md-typeset__scrollwrap, .md-typeset__table, table").before(label);
  const update = () => {
    const words = input.value.toLowerCase().split(/\s+/);
    for (const row of rows) {
      const content = row.textContent.trim().toLowerCase();
      row.hidden = !words.every((word) =>
        word[0] === "^" ? content.startsWith(word.slice(1)) : content.includes(word),
      );
    }
    count.value = `${rows.filter((row) => !row.hidden).length} of ${rows.length}`;
  };
  input.addEventListener("input", update);
  update();
}

for (const table of document.querySelectorAll(".md-content table:not([class]):not(.doc-contents *)")) {
  if (table.tBodies[0]?.rows.length < LONG || !table.tHead) continue;
  sortable(table);
  filterable(table);
}

// `^` in front of a word means: at the beginning of a row.
// The links of cards fill the filter of the next table: <a data-filter="words">.
for (const link of document.querySelectorAll("a[data-filter]")) {
  link.addEventListener("click", () => {
    const heading = document.getElementById(link.hash.slice(1));
    const inputs = [...document.querySelectorAll(".filter input")];
    const input = inputs.find(
      (one) => heading.compareDocumentPosition(one) & Node.DOCUMENT_POSITION_FOLLOWING,
    );
    input.value = link.dataset.filter;
    input.dispatchEvent(new Event("input"));
  });
}
