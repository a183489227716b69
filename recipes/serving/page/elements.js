// Elements of the page. What comes from models (names, labels, texts, messages) is put in as text, never as markup.

/**
 * Returns an element, as in h("p.hint", { id: "x" }, "text", node).
 * The tag and its classes; properties, event listeners (onclick) or attributes; nodes and texts, in lists too.
 */
export function h(tagAndClasses, ...rest) {
  const [tag, ...classes] = tagAndClasses.split(".");
  const node = document.createElement(tag);
  node.className = classes.join(" ");
  const [first] = rest;
  const hasProperties = first?.constructor === Object;
  for (const [name, value] of Object.entries(hasProperties ? first : {})) {
    if (name in node) node[name] = value;
    else node.setAttribute(name, value);
  }
  const children = (hasProperties ? rest.slice(1) : rest).flat();
  node.append(...children.filter((child) => child !== null && child !== undefined));
  return node;
}

export const fold = (summary, ...children) => h("details", h("summary", summary), ...children);
export const notice = (text, properties = {}) => h("p.notice", properties, text);

/** Returns a table with its column names. */
export function table(columns, rows) {
  const head = h("tr", columns.map((name) => h("th", { scope: "col" }, name)));
  const body = rows.map((row) => h("tr", row.map((cell) => h("td", cell))));
  return h("div.scroll", { tabIndex: 0 }, h("table", h("thead", head), h("tbody", body)));
}

/** Says something to those who hear the page, without showing it. */
export function announce(text) {
  document.getElementById("status").textContent = text;
}
