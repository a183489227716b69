// Elements of the page. What comes from models (names, labels, texts, messages) is put in as text, never as markup.

/** Returns an element with properties or attributes, event listeners (onclick) among them, and nodes or texts in it. */
export function element(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in node) node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined));
  return node;
}

/** Returns a `details` element. */
export const fold = (summary, ...children) => element("details", {}, element("summary", {}, summary), ...children);

/** Returns a table with its column names. */
export function table(columns, rows) {
  const head = element("tr", {}, columns.map((name) => element("th", { scope: "col" }, name)));
  const body = rows.map((row) => element("tr", {}, row.map((cell) => element("td", {}, cell))));
  return element("div", { className: "scroll", tabIndex: 0 }, element("table", {}, element("thead", {}, head), element("tbody", {}, body)));
}

/** Returns a canvas of an image, (H, W, C) numbers in [0, 255] with C of 1 or 3, which CSS may enlarge. */
export function pixelCanvas(pixels) {
  const [height, width] = [pixels.length, pixels[0].length];
  const image = new ImageData(width, height);
  pixels.flat().forEach((pixel, i) => image.data.set([pixel[0], pixel[1] ?? pixel[0], pixel[2] ?? pixel[0], 255], 4 * i));
  const canvas = element("canvas", { width, height });
  canvas.getContext("2d").putImageData(image, 0, 0);
  return canvas;
}

/** Says something to readers of the screen, without showing it. */
export function announce(text) {
  document.getElementById("status").textContent = text;
}
