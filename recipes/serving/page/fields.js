// Fields of the form: one for each input of a signature, made from its name, dtype and shape.
// A field is {node, read() -> the value of one example, as JSON (a promise), and of images: file(), source()}.

import { element } from "./elements.js";
import { drawingPad } from "./drawing.js";

const TITLES = {
  image_bytes: "Image", image: "Image", text: "Text", prompt: "Prompt", word: "Word", length: "Length",
  temperature: "Temperature", top_k: "Top k", top_p: "Top p", seed: "Seed",
};
const PLACEHOLDERS = { text: "A sentence or two", prompt: "The first words", word: "A word" };
const NUMBERS = { // input: [hint, first value]
  length: ["tokens to write", 200],
  temperature: ["0: always the likeliest", 0.8],
  top_k: ["0: all tokens", 0],
  top_p: ["1: all tokens", 1],
  seed: ["any whole number", 0],
};

/** Returns whether examples of a tensor are rows of a batch: its first dimension is open. */
export const isBatched = (tensor) => tensor.shape !== null && tensor.shape.length > 0 && tensor.shape[0] === null;

/** Returns the shape of one example; null where it is not known. */
export const exampleShape = (tensor) => (isBatched(tensor) ? tensor.shape.slice(1) : tensor.shape);

/** Returns the field of an input. `onchange` is called when an image was chosen or drawn: there is nothing more to type. */
export function fieldFor(name, tensor, { imageShape, onchange, signal }) {
  const shape = exampleShape(tensor);
  const isScalar = shape?.length === 0;
  if (tensor.dtype === "string" && isScalar && name.endsWith("_bytes")) {
    return imageField(name, { imageShape, onchange, signal, read: async (source, blob) => ({ b64: await base64(blob) }) });
  }
  if (shape?.length === 3 && [1, 3].includes(shape[2]) && tensor.dtype !== "string") {
    return imageField(name, { imageShape: shape, onchange, signal, read: (source) => pixelsOf(source, shape) });
  }
  if (tensor.dtype === "string" && isScalar) return textField(name);
  if (tensor.dtype === "bool" && isScalar) return checkField(name);
  if (isScalar) return numberField(name, tensor.dtype);
  return jsonField(name, tensor, shape);
}

const titleOf = (name) => TITLES[name] ?? element("code", {}, name);

function labelled(name, input, hint) {
  input.id = `input-${name}`;
  const label = element("label", { htmlFor: input.id }, titleOf(name), hint ? element("span", { className: "hint" }, hint) : null);
  return element("div", { className: "field" }, label, input);
}

function textField(name) {
  const properties = { placeholder: PLACEHOLDERS[name] ?? "", spellcheck: false };
  const input = name === "word" ? element("input", { ...properties, autocapitalize: "none" }) : element("textarea", { ...properties, rows: 4 });
  return { node: labelled(name, input), read: () => input.value, set: (text) => (input.value = text) };
}

function checkField(name) {
  const input = element("input", { type: "checkbox" });
  return { node: labelled(name, input), read: () => input.checked };
}

function numberField(name, dtype) {
  const isWhole = /int/.test(dtype);
  const [hint, value] = NUMBERS[name] ?? [dtype, 0];
  const input = element("input", { type: "number", step: isWhole ? "1" : "any", value, required: true });
  const read = () => {
    const number = Number(input.value);
    if (isWhole && !Number.isSafeInteger(number)) throw new Error(`${name} is ${input.value}; expected a whole number below 2^53.`);
    return number;
  };
  return { node: labelled(name, input, hint), read, set: (text) => (input.value = text) };
}

function jsonField(name, tensor, shape) {
  const zeros = ([count, ...rest], value) => Array.from({ length: count ?? 1 }, () => (rest.length ? zeros(rest, value) : value()));
  const size = shape?.reduce((product, count) => product * (count ?? 1), 1);
  const filled = (value) => (shape && size <= 4096 ? JSON.stringify(zeros(shape, value)) : "");
  const initial = tensor.dtype === "string" ? () => "" : tensor.dtype === "bool" ? () => false : () => 0;
  const input = element("textarea", { rows: 4, className: "code", spellcheck: false, value: filled(initial) });
  const shown = `${tensor.dtype} ${shapeText(tensor.shape)}, one example as JSON`;
  const node = labelled(name, input, shape === null ? `${tensor.dtype}, as JSON` : shown);
  if (/float|double/.test(tensor.dtype) && filled(initial)) {
    const draw = () => (input.value = filled(() => Number(normal().toFixed(3))));
    node.append(element("button", { type: "button", className: "quiet", onclick: draw }, "Random numbers"));
  }
  const read = () => {
    try {
      return JSON.parse(input.value);
    } catch (error) {
      throw new Error(`${name} is not JSON: ${error.message}`);
    }
  };
  return { node, read };
}

/** Returns a tensor's shape as text: (B, 28, 28, 1), with ? for other open dimensions. */
export function shapeText(shape) {
  if (shape === null) return "(any shape)";
  const sizes = shape.map((size, i) => size ?? (i ? "?" : "B"));
  return `(${sizes.join(", ")}${sizes.length === 1 ? "," : ""})`;
}

const normal = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());

/** The field of an image: chosen, dropped or pasted; drawn too where a model reads digits. */
function imageField(name, { imageShape, onchange, signal, read }) {
  let source = null; // what can be drawn on a canvas
  let blob = null; // the encoded image
  const preview = element("img", { alt: "", hidden: true });
  const text = element("span", {}, element("strong", {}, "Choose an image"), element("span", { className: "hint" }, "or drop or paste one here"));
  const chooser = element("input", { type: "file", accept: "image/*", hidden: true, id: `file-${name}` });
  const zone = element("button", { type: "button", className: "drop", "aria-label": `${name}: choose an image` }, preview, text);

  const show = async (file) => {
    if (!file) return;
    URL.revokeObjectURL(preview.src);
    [blob, preview.src, preview.hidden] = [file, URL.createObjectURL(file), false];
    zone.setAttribute("aria-label", `${name}: ${file.name ?? "a drawing"}; choose another image`);
    source = await preview.decode().then(() => preview, () => null);
    preview.hidden = source === null; // what the browser cannot show, the model may read
    preview.classList.toggle("small", preview.naturalWidth < 64);
    text.firstChild.textContent = source === null ? file.name : "Choose another image";
    onchange();
  };
  zone.onclick = () => chooser.click();
  chooser.onchange = () => show(chooser.files[0]);
  zone.ondragover = (event) => {
    event.preventDefault();
    zone.classList.add("over");
  };
  zone.ondragleave = () => zone.classList.remove("over");
  zone.ondrop = (event) => {
    event.preventDefault();
    zone.classList.remove("over");
    show(event.dataTransfer.files[0]);
  };
  document.addEventListener("paste", (event) => show([...event.clipboardData.files].find((file) => file.type.startsWith("image/"))), { signal });

  const pad = imageShape?.join() === "28,28,1" ? drawingPad(show) : null;
  return {
    node: element("div", { className: "field" }, element("p", { className: "label" }, titleOf(name)), element("div", { className: "images" }, pad, zone, chooser)),
    read: () => {
      if (blob === null) throw new Error("Choose an image first.");
      return read(source, blob);
    },
    file: () => blob?.name ?? "digit.png",
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
  if (source === null) throw new Error("This browser cannot show the image; the signature that takes image_bytes may read it.");
  const context = element("canvas", { width, height }).getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(source, 0, 0, width, height);
  const { data } = context.getImageData(0, 0, width, height);
  const pixel = (i) => (channels === 3 ? [...data.slice(i, i + 3)] : [Math.round(0.299 * data[i] + 0.587 * data[i + 1] + 0.114 * data[i + 2])]);
  return Array.from({ length: height }, (_, y) => Array.from({ length: width }, (_, x) => pixel(4 * (y * width + x))));
}
