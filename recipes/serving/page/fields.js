// Fields of the form: one for each input of a signature, made from its name, type and shape.
// A field is {node, read(): the value of one example as JSON, or a promise of it}; of an image also {file(): its name,
// source(): what a canvas can draw, or null}; of a text also {set(text)}.

import { drawingPad } from "./drawing.js";
import { h } from "./elements.js";

const TITLES = { image_bytes: "Image", image: "Image", text: "Text", prompt: "Prompt", word: "Word" };
const PLACEHOLDERS = { text: "A sentence or two", prompt: "The first words", word: "A word" };
const NUMBERS = { // input: [title, hint, first value]
  length: ["Length", "tokens to write", 200],
  temperature: ["Temperature", "0: always the likeliest", 0.8],
  top_k: ["Top k", "0: all tokens", 0],
  top_p: ["Top p", "1: all tokens", 1],
  seed: ["Seed", "any whole number", 0],
};
const ORDER = [...Object.keys(TITLES), ...Object.keys(NUMBERS)];
const MOST_FILLED = 4096; // values of a tensor that are filled in beforehand

/** Returns whether examples of a tensor are rows of a batch: its first dimension is open. */
export const isBatched = ({ shape }) => shape !== null && shape[0] === null;

/** Returns the names of inputs in the order of their fields: what is typed first, then what can be left as it is. */
export const inOrder = (names) => [...names].sort((a, b) => ORDER.indexOf(a) - ORDER.indexOf(b));

/** Returns a tensor's shape as text: (B, 28, 28, 1), with ? for other open dimensions. */
export function shapeText(shape) {
  if (shape === null) return "any";
  const sizes = shape.map((size, i) => size ?? (i ? "?" : "B"));
  return `(${sizes.join(", ")}${sizes.length === 1 ? "," : ""})`;
}

/**
 * Returns the field of an input. `onchange` is called when an image was chosen or drawn: there is nothing more to type.
 * `imageShape`: (H, W, C) of encoded images once they are read, or undefined. `signal` fires when the form is left.
 */
export function fieldFor(name, tensor, { imageShape, onchange, signal }) {
  const shape = isBatched(tensor) ? tensor.shape.slice(1) : tensor.shape;
  const isScalar = shape?.length === 0;
  const isText = tensor.dtype === "string";
  if (isText && isScalar && name.endsWith("_bytes")) {
    const read = async (source, blob) => ({ b64: await base64(blob) });
    return imageField(name, { imageShape, onchange, signal, read });
  }
  if (!isText && shape?.length === 3 && [1, 3].includes(shape[2])) {
    return imageField(name, { imageShape: shape, onchange, signal, read: (source) => pixelsOf(source, shape) });
  }
  if (isText && isScalar) return textField(name);
  if (tensor.dtype === "bool" && isScalar) return checkField(name);
  return isScalar ? numberField(name, tensor.dtype) : jsonField(name, tensor, shape);
}

/** Returns an input under its title. */
function labelled(name, title, input, hint) {
  input.id = `input-${name}`;
  const label = h("label", { htmlFor: input.id }, title ?? h("code", name), hint ? h("span.hint", hint) : null);
  return h("div.field", label, input);
}

function textField(name) {
  const input = name === "word" ? h("input", { autocapitalize: "none" }) : h("textarea", { rows: 4 });
  Object.assign(input, { placeholder: PLACEHOLDERS[name] ?? "", spellcheck: false });
  return { node: labelled(name, TITLES[name], input), read: () => input.value, set: (text) => (input.value = text) };
}

function checkField(name) {
  const input = h("input", { type: "checkbox" });
  return { node: labelled(name, null, input), read: () => input.checked };
}

function numberField(name, dtype) {
  const isWhole = dtype.includes("int");
  const [title, hint, value] = NUMBERS[name] ?? [null, dtype, 0];
  const input = h("input", { type: "number", step: isWhole ? "1" : "any", value, required: true });
  const read = () => {
    const number = Number(input.value);
    if (!isWhole || Number.isSafeInteger(number)) return number;
    throw new Error(`${name} is ${input.value}; expected a whole number of less than 2^53.`);
  };
  return { node: labelled(name, title, input, hint), read };
}

/** The field of any other tensor, or, of type "features", of an example's. */
export function jsonField(name, { dtype, shape: wholeShape }, shape) {
  const fill = ([size, ...rest], value) =>
    Array.from({ length: size ?? 1 }, () => (rest.length ? fill(rest, value) : value()));
  const isFilled = shape !== null && shape.reduce((product, size) => product * (size ?? 1), 1) <= MOST_FILLED;
  const first = () => ({ string: "", bool: false })[dtype] ?? 0;
  const value = isFilled ? JSON.stringify(fill(shape, first)) : "";
  const input = h("textarea.code", { rows: 4, spellcheck: false, value });
  const hint = shape === null ? `${dtype}, as JSON` : `${dtype} ${shapeText(wholeShape)}, one example as JSON`;
  const node = labelled(name, null, input, hint);
  if (isFilled && /float|double/.test(dtype)) {
    const draw = () => (input.value = JSON.stringify(fill(shape, () => Number(normal().toFixed(3)))));
    node.append(h("button.quiet", { type: "button", onclick: draw }, "Random numbers"));
  }
  const read = () => {
    try {
      return JSON.parse(input.value);
    } catch (error) {
      throw new Error(`${name} is no JSON: ${error.message}`);
    }
  };
  return { node, read };
}

const normal = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());

/** The field of an image: chosen, dropped or pasted; drawn too where a model reads images of MNIST's shape. */
function imageField(name, { imageShape, onchange, signal, read }) {
  let source = null;
  let blob = null;
  const preview = h("img", { alt: "", hidden: true });
  const title = h("strong", "Choose an image");
  const chooser = h("input", { type: "file", accept: "image/*", hidden: true });
  const text = h("span", title, h("span.hint", "or drop or paste one here"));
  const zone = h("button.drop", { type: "button" }, preview, text);

  const take = async (file) => {
    if (!file) return;
    URL.revokeObjectURL(preview.src);
    blob = file;
    preview.src = URL.createObjectURL(file);
    source = await preview.decode().then(() => preview, () => null);
    preview.hidden = source === null; // what a browser cannot show, a model may read
    preview.classList.toggle("small", preview.naturalWidth < 64);
    title.textContent = source === null ? file.name : "Choose another image";
    onchange();
  };
  const over = (isOver) => (event) => {
    event.preventDefault();
    zone.classList.toggle("over", isOver);
  };
  Object.assign(zone, { onclick: () => chooser.click(), ondragover: over(true), ondragleave: over(false) });
  zone.ondrop = (event) => {
    over(false)(event);
    take(event.dataTransfer.files[0]);
  };
  chooser.onchange = () => take(chooser.files[0]);
  const paste = ({ clipboardData: { files } }) => take([...files].find(({ type }) => type.startsWith("image/")));
  document.addEventListener("paste", paste, { signal });

  const pad = imageShape?.join() === "28,28,1" ? drawingPad(take) : null;
  const label = h("p.label", TITLES[name] ?? h("code", name));
  return {
    node: h("div.field", { role: "group", "aria-label": name }, label, h("div.images", pad, zone, chooser)),
    read: () => {
      if (blob === null) throw new Error("Choose an image first.");
      return read(source, blob);
    },
    file: () => blob.name ?? "digit.png",
    source: () => source,
  };
}

function base64(blob) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(new Error("The file cannot be read."));
    reader.readAsDataURL(blob);
  });
}

/** Returns an image as nested lists of whole numbers in [0, 255], of a shape (H, W, C) with C of 1 or 3. */
function pixelsOf(source, [height, width, channels]) {
  if (source === null) throw new Error("This browser cannot read the image; a signature that takes image_bytes may.");
  const context = h("canvas", { width, height }).getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(source, 0, 0, width, height);
  const { data } = context.getImageData(0, 0, width, height);
  const grey = (r, g, b) => Math.round(0.299 * r + 0.587 * g + 0.114 * b);
  const pixel = (i) => (channels === 3 ? [...data.slice(i, i + 3)] : [grey(...data.slice(i, i + 3))]);
  return Array.from({ length: height }, (_, y) => Array.from({ length: width }, (_, x) => pixel(4 * (y * width + x))));
}
