// Tables are drawn from the JSON beside them. All texts are texts: what looks like HTML is escaped.
const NONE = "–";
const number = (value, digits, plus) => {
  if (value === null) return NONE;
  const text = Math.abs(value).toLocaleString("en", { minimumFractionDigits: digits, maximumFractionDigits: digits });
  const zero = !/[1-9]/.test(text);
  return (value < 0 && !zero ? "−" : plus && value > 0 && !zero ? "+" : "") + text;
};
const probability = (value) =>
  value === null ? NONE : value < 0.001 ? "< .001" : value.toFixed(3).replace(/^0/, "");
const escaped = DataTable.render.text().display;
const shown = {
  number: (value, column) => number(value, column.digits, column.plus),
  interval: ([value, low, high], column) =>
    number(value, column.digits, column.plus) +
    (low === null ? "" : ` [${number(low, column.digits)}, ${number(high, column.digits)}]`),
  p: probability,
  text: (value) => escaped(value),
  long: (value) => escaped(value),
  code: (value) => (value ? `<code>${escaped(value)}</code>` : ""),
  word: (value) => `<span class="word ${escaped(value).replace(/[^a-z]+/g, "-")}">${escaped(value)}</span>`,
};
const sorted = (value) => (Array.isArray(value) ? value[0] : value) ?? -Infinity;
const drawn = (column) => (value, type) =>
  type === "sort" || type === "type" ? sorted(value) : shown[column.kind](value, column);

const draw = (script) => {
  const { columns, rows } = JSON.parse(script.textContent);
  const many = rows.length > 10;
  const numeric = (column) => ["number", "interval", "p"].includes(column.kind);
  new DataTable(document.getElementById(script.dataset.table), {
    data: rows,
    deferRender: true,
    autoWidth: false,
    order: [],
    pageLength: 15,
    lengthMenu: [15, 50, 200, { label: "all", value: -1 }],
    layout: {
      topStart: many ? "pageLength" : null,
      topEnd: rows.length > 1 ? "search" : null,
      bottomStart: many ? "info" : null,
      bottomEnd: many ? "paging" : null,
    },
    columns: columns.map((column, index) => ({
      data: index,
      title: escaped(column.label),
      className: numeric(column) ? "dt-right" : column.kind === "long" ? "dt-left long" : "dt-left",
      type: numeric(column) ? "num" : "string",
      render: drawn(column),
    })),
    initComplete() {
      const scrolled = this.api().table().container().querySelector(".dt-layout-table > div");
      scrolled.tabIndex = 0; // a keyboard scrolls it, too
      scrolled.setAttribute("role", "region");
      scrolled.setAttribute("aria-label", `${this.api().table().node().getAttribute("aria-label")}, scrolls sideways`);
      columns.forEach((column, index) => column.says && this.api().column(index).header().setAttribute("title", column.says));
    },
  });
};
set_or_remove_dark_class();
document.querySelectorAll("script[data-table]").forEach(draw);
document.documentElement.dataset.drawn = "yes";
