// Drawings of answers. Which one follows from the names of the outputs, so that it fits any model that has them.

import { element, fold, pixelCanvas } from "./elements.js";

const SHOWN_BARS = 10;
const NUMBER = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });
const PERCENT = new Intl.NumberFormat("en", { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 });

// The outputs that a drawing needs -> the drawing: (outputs, {labels, source, onword, inputs}) -> {nodes, summary}.
const DRAWINGS = [
  [["labels", "probabilities"], severalLabels],
  [["probabilities"], oneLabel],
  [["scores"], scores],
  [["value"], ({ value }) => number(value)],
  [["caption", "words", "attention"], caption],
  [["translation", "source_pieces", "target_pieces", "attention"], alignment],
  [["translation"], ({ translation }) => ({ nodes: [element("p", { className: "headline" }, translation || "(nothing)")], summary: translation })],
  [["neighbours", "similarity"], neighbours],
  [["text"], ({ text }, { inputs }) => ({ nodes: [continued(inputs.prompt ?? "", text)], summary: text })],
];

/** Returns {nodes, summary} of one example's outputs; null where there is no drawing for outputs of these names. */
export function drawAnswer(outputs, context) {
  const drawing = DRAWINGS.find(([names]) => names.every((name) => name in outputs));
  const drawn = drawing?.[1](outputs, context);
  if (drawn) {
    if ("known_words" in outputs) drawn.nodes.push(knownWords(outputs.known_words));
    return drawn;
  }
  const images = imagesOf(outputs, context);
  return images && { nodes: [images], summary: "An image." };
}

/** Returns what a text classifier knows of a text. */
function knownWords(count) {
  if (count === 0) return element("p", { className: "notice" }, "The model knows none of these words: its answer says nothing of this text.");
  return element("p", { className: "hint" }, count === 1 ? "1 word that it read is known to the model." : `${count} words that it read are known to the model.`);
}

/** Returns rows of (name, share in [0, 1], text), the first in the accent's colour. */
function bars(rows, isChosen = (i) => i === 0) {
  const row = ([name, share, text], i) => {
    const bar = element("span", { className: "bar" });
    bar.style.setProperty("--share", Math.max(0, Math.min(1, share)));
    return element("li", { className: isChosen(i) ? "chosen" : "" }, element("span", { className: "name" }, name), bar, element("span", { className: "number" }, text));
  };
  const list = (some, first) => element("ol", { className: "bars" }, some.map((one, i) => row(one, first + i)));
  const rest = rows.slice(SHOWN_BARS);
  return [list(rows.slice(0, SHOWN_BARS), 0), rest.length ? fold(`${rest.length} more`, list(rest, SHOWN_BARS)) : null];
}

const withNames = (probabilities, labels) =>
  probabilities.map((share, i) => [labels?.length === probabilities.length ? labels[i] : `class ${i}`, share, PERCENT.format(share)]);

function oneLabel({ label, probabilities }, { labels }) {
  const rows = withNames(probabilities, labels).sort((a, b) => b[1] - a[1]);
  const [best, , share] = rows[0];
  return { nodes: [headline(label ?? best, share), ...bars(rows)], summary: `${label ?? best}, ${share}` };
}

function severalLabels({ labels: present, probabilities }, { labels }) {
  const names = present.filter((name) => name !== "");
  const rows = withNames(probabilities, labels).sort((a, b) => b[1] - a[1]);
  const summary = names.length ? names.join(", ") : "none of the labels";
  return { nodes: [headline(summary, ""), ...bars(rows, (i) => rows[i][1] >= 0.5)], summary };
}

/** Of a classify signature: classes and scores, which need not be probabilities. */
function scores({ classes, scores: values }) {
  const rows = values.map((score, i) => [classes?.[i] || `class ${i}`, score, NUMBER.format(score)]).sort((a, b) => b[1] - a[1]);
  return { nodes: [headline(rows[0][0], rows[0][2]), ...bars(rows)], summary: `${rows[0][0]}, ${rows[0][2]}` };
}

const number = (value) => ({ nodes: [headline(NUMBER.format(value), "")], summary: NUMBER.format(value) });

const headline = (text, side) => element("p", { className: "headline" }, text, side && element("span", { className: "side" }, ` ${side}`));

/** Returns a text with its prompt set apart. */
export function continued(prompt, text) {
  const isPrompt = text.startsWith(prompt);
  const [first, rest] = isPrompt ? [prompt, text.slice(prompt.length)] : ["", text];
  return element("p", { className: "written" }, element("span", { className: "prompt" }, first), element("span", {}, rest));
}

/** A caption, and for each word the image, dark where the word does not look; as figure 2 of Show, Attend and Tell. */
function caption({ caption: text, words, attention }, { source }) {
  const count = words.includes("") ? words.indexOf("") : words.length;
  const figures = words.slice(0, count).map((word, i) =>
    element("li", {}, element("figure", {}, attended(source(), attention[i]), element("figcaption", {}, word))));
  return { nodes: [headline(text, ""), element("ul", { className: "strip" }, figures)], summary: text };
}

function attended(source, weights) {
  const [width, height] = source === null ? [160, 160] : [160, Math.round((160 * source.naturalHeight) / source.naturalWidth)];
  const canvas = element("canvas", { width: 2 * width, height: 2 * height, className: "attended" });
  const context = canvas.getContext("2d");
  const shade = element("canvas", { width: weights[0].length, height: weights.length });
  const image = new ImageData(shade.width, shade.height);
  const largest = Math.max(...weights.flat(), 1e-9);
  weights.flat().forEach((weight, i) => (image.data[4 * i + 3] = 215 * (1 - weight / largest))); // black, less or more
  shade.getContext("2d").putImageData(image, 0, 0);
  context.imageSmoothingQuality = "high";
  context.fillStyle = "white";
  context.fillRect(0, 0, canvas.width, canvas.height);
  if (source !== null) context.drawImage(source, 0, 0, canvas.width, canvas.height);
  context.drawImage(shade, 0, 0, canvas.width, canvas.height);
  return canvas;
}

/** A translation, and a table of which pieces of the source (columns) each of its pieces (row) attends to. */
function alignment({ translation, source_pieces, target_pieces, attention }) {
  const trimmed = (pieces) => (pieces.includes("") ? pieces.slice(0, pieces.indexOf("")) : pieces);
  const [sources, targets] = [trimmed(source_pieces), trimmed(target_pieces)];
  const cell = (weight) => {
    const td = element("td", { title: PERCENT.format(weight) }, element("span", { className: "unseen" }, PERCENT.format(weight)));
    td.style.setProperty("--weight", weight);
    return td;
  };
  const row = (piece, i) => element("tr", {}, element("th", { scope: "row" }, piece), sources.map((_, j) => cell(attention[i][j])));
  const head = element("tr", {}, element("td"), sources.map((piece) => element("th", { scope: "col" }, element("span", {}, piece))));
  const grid = element("table", { className: "alignment" }, element("thead", {}, head), element("tbody", {}, targets.map(row)));
  const note = element("p", { className: "hint" }, "The stronger the colour, the more a piece of the translation (row) attends to a piece of the source (column).");
  return { nodes: [headline(translation || "(nothing)", ""), element("div", { className: "scroll", tabIndex: 0 }, grid), note], summary: translation };
}

function neighbours({ neighbours: words, similarity }, { onword }) {
  if (words.every((word) => word === "")) {
    return { nodes: [element("p", { className: "notice" }, "The model does not know this word.")], summary: "The model does not know this word." };
  }
  const link = (word) => element("button", { type: "button", className: "word", onclick: () => onword(word) }, word);
  const rows = words.map((word, i) => [link(word), similarity[i], similarity[i].toFixed(3)]);
  const note = element("p", { className: "hint" }, "Cosine similarity; choose a word to see its own neighbours.");
  return { nodes: [...bars(rows, () => false), note], summary: `Nearest: ${words.join(", ")}` };
}

/** Returns the images among outputs, beside that of the input; null where there is none. */
function imagesOf(outputs, { source, inputs }) {
  const names = Object.keys(outputs);
  const files = names.filter((name) => name.endsWith("_bytes") && typeof outputs[name]?.b64 === "string");
  const figures = files.map((name) => figure(element("img", { src: `data:image/png;base64,${outputs[name].b64}`, alt: name }), captionOf(name, inputs)));
  if (!files.length) {
    const isImage = (value) => Array.isArray(value?.[0]?.[0]) && [1, 3].includes(value[0][0].length) && typeof value[0][0][0] === "number";
    for (const name of names.filter((one) => isImage(outputs[one]))) {
      const [height, width] = [outputs[name].length, outputs[name][0].length];
      if (source() !== null) {
        const canvas = element("canvas", { width, height });
        canvas.getContext("2d").drawImage(source(), 0, 0, width, height);
        figures.push(figure(canvas, "input"));
      }
      figures.push(figure(pixelCanvas(outputs[name]), source() === null ? captionOf(name, inputs) : "output"));
    }
  }
  return figures.length ? element("div", { className: "pictures" }, figures) : null;
}

const captionOf = (name, inputs) => ("seed" in inputs ? `seed ${inputs.seed}` : name);
const figure = (picture, text) => element("figure", {}, picture, element("figcaption", {}, text));
