// Drawings of answers. Which one follows from the names of the outputs, so that it fits any model that has them.

import { fold, h, notice } from "./elements.js";

const SHOWN_BARS = 10;
const THRESHOLD = 0.5; // an example has the labels of this probability and more
const SHADE = 190; // of 255: what is over a place that a word does not look at
const NUMBER = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });
const PERCENT = new Intl.NumberFormat("en", { style: "percent", minimumFractionDigits: 1, maximumFractionDigits: 1 });
const KNOWN = ["known_words", "known_pieces", "known_characters"]; // how many of what a text is made of a model knows

// The outputs that a drawing needs, and the drawing: (outputs, context) -> {nodes, summary: in words}.
const DRAWINGS = [
  [["labels", "probabilities"], severalLabels],
  [["probabilities"], oneLabel],
  [["scores"], scores],
  [["value"], ({ value }) => words(NUMBER.format(value))],
  [["caption", "words", "attention"], caption],
  [["translation", "source_pieces", "target_pieces", "attention"], alignment],
  [["translation"], ({ translation }) => words(translation)],
  [["neighbours", "similarity"], neighbours],
  [["text"], ({ text }, { inputs }) => ({ nodes: [continued(inputs.prompt ?? "", text)], summary: text })],
];

/**
 * Returns {nodes, summary} of one example's outputs; null where none of the drawings fits their names.
 * `context` is {inputs: of the example, labels: names of the classes or undefined, source: the image or null, onword}.
 */
export function drawAnswer(outputs, context) {
  const drawing = DRAWINGS.find(([names]) => names.every((name) => name in outputs));
  if (!drawing) return images(outputs, context);
  const drawn = drawing[1](outputs, context);
  const known = KNOWN.find((name) => outputs[name] === 0);
  const what = known?.replace("known_", "");
  if (known) drawn.nodes.push(notice(`The model knows none of these ${what}: its answer says nothing of this text.`));
  return drawn;
}

const headline = (text, side) => h("p.headline", text || "(nothing)", side ? [" ", h("span.side", side)] : null);
const words = (text) => ({ nodes: [headline(text)], summary: text });

/** Returns bars of [name, share in [0, 1], text]. */
function bars(rows, isChosen = (i) => i === 0) {
  const row = ([name, share, text], i) => {
    const bar = h("span.bar");
    bar.style.setProperty("--share", Math.max(0, Math.min(1, share)));
    return h(isChosen(i) ? "li.chosen" : "li", h("span.name", name), bar, h("span.number", text));
  };
  const items = rows.map(row);
  const rest = items.slice(SHOWN_BARS);
  const more = rest.length ? [fold(`${rest.length} more`, h("ol.bars", rest))] : [];
  return [h("ol.bars", items.slice(0, SHOWN_BARS)), ...more];
}

const byShare = (a, b) => b[1] - a[1];

function probabilityRows(probabilities, labels) {
  const nameOf = (i) => (labels?.length === probabilities.length ? labels[i] : `class ${i}`);
  return probabilities.map((share, i) => [nameOf(i), share, PERCENT.format(share)]).sort(byShare);
}

function oneLabel({ label, probabilities }, { labels }) {
  const rows = probabilityRows(probabilities, labels);
  const [best, , percent] = rows[0];
  return { nodes: [headline(label ?? best, percent), ...bars(rows)], summary: `${label ?? best}, ${percent}` };
}

function severalLabels({ labels: present, probabilities }, { labels }) {
  const rows = probabilityRows(probabilities, labels);
  const summary = present.filter((name) => name !== "").join(", ") || "None of the labels";
  return { nodes: [headline(summary), ...bars(rows, (i) => rows[i][1] >= THRESHOLD)], summary };
}

/** Of a classify signature: its scores need not be probabilities. */
function scores({ classes, scores: values }) {
  const nameOf = (i) => classes?.[i] || `class ${i}`;
  const rows = values.map((score, i) => [nameOf(i), score, NUMBER.format(score)]).sort(byShare);
  const [best, , text] = rows[0];
  return { nodes: [headline(best, text), ...bars(rows)], summary: `${best}, ${text}` };
}

/** Returns a text with its prompt set apart. */
export function continued(prompt, text) {
  const rest = text.startsWith(prompt) ? text.slice(prompt.length) : text;
  return h("p.written", rest === text ? null : h("span.prompt", prompt), rest);
}

/** A caption, and for each word the image, dark where it does not look: figure 2 of Show, Attend and Tell. */
function caption({ caption: text, words: padded, attention }, { source }) {
  const items = untilEmpty(padded).map((word, i) => h("li", figure(attended(source, attention[i]), word)));
  return { nodes: [headline(text), h("ul.strip", items)], summary: text };
}

const untilEmpty = (texts) => (texts.includes("") ? texts.slice(0, texts.indexOf("")) : texts);
const figure = (picture, text) => h("figure", picture, h("figcaption", text));

/** Returns an image under a shade that is the darker the smaller the weights (rows, columns). */
function attended(source, weights) {
  const width = 320;
  const height = source ? Math.round((width * source.naturalHeight) / source.naturalWidth) : width;
  const largest = Math.max(...weights.flat(), 1e-9);
  const shade = new ImageData(weights[0].length, weights.length);
  weights.flat().forEach((weight, i) => (shade.data[4 * i + 3] = SHADE * (1 - weight / largest)));
  const canvas = h("canvas", { width, height });
  const context = canvas.getContext("2d");
  context.fillStyle = "white";
  context.fillRect(0, 0, width, height);
  context.imageSmoothingQuality = "high";
  if (source) context.drawImage(source, 0, 0, width, height);
  context.drawImage(canvasOf(shade), 0, 0, width, height);
  return canvas;
}

function canvasOf(imageData) {
  const canvas = h("canvas", { width: imageData.width, height: imageData.height });
  canvas.getContext("2d").putImageData(imageData, 0, 0);
  return canvas;
}

/** A translation, and a table of how much each of its pieces (rows) attends to each piece of the source (columns). */
function alignment({ translation, source_pieces: sourcePieces, target_pieces: targetPieces, attention }) {
  const shown = (pieces) => untilEmpty(pieces).map((piece) => piece.replaceAll("▁", "·")); // SentencePiece's space
  const columns = shown(sourcePieces);
  const cell = (weight) => {
    const node = h("td", { title: PERCENT.format(weight) }, h("span.unseen", PERCENT.format(weight)));
    node.style.setProperty("--weight", weight);
    return node;
  };
  const head = h("tr", h("td"), columns.map((piece) => h("th", { scope: "col" }, h("span", piece))));
  const rows = shown(targetPieces).map((piece, i) =>
    h("tr", h("th", { scope: "row" }, piece), columns.map((_, j) => cell(attention[i][j]))));
  const grid = h("div.scroll", { tabIndex: 0 }, h("table.alignment", h("thead", head), h("tbody", rows)));
  const hint = "The stronger the colour, the more a piece of the translation (row) attends to the source's (column).";
  return { nodes: [headline(translation), grid, h("p.hint", hint)], summary: translation };
}

function neighbours({ neighbours: near, similarity }, { inputs, onword }) {
  if (near.every((word) => word === "")) {
    const text = "The model does not know this word.";
    return { nodes: [notice(text)], summary: text };
  }
  const link = (word) => h("button.word", { type: "button", onclick: () => onword(word) }, word);
  const rows = near.map((word, i) => [link(word), similarity[i], similarity[i].toFixed(3)]);
  const hint = h("p.hint", "Cosine similarity; choose a word to see its own neighbours.");
  return { nodes: [headline(`Nearest to ${inputs.word}`), ...bars(rows, () => false), hint], summary: near.join(", ") };
}

/** Images among the outputs: encoded ones, else arrays, beside what they were made from; null where there is none. */
function images(outputs, { source, inputs }) {
  const nameOf = (name) => ("seed" in inputs ? `seed ${inputs.seed}` : name.replace(/_bytes$/, ""));
  const isFile = ([name, value]) => name.endsWith("_bytes") && typeof value?.b64 === "string";
  const isArray = ([, value]) => typeof value?.[0]?.[0]?.[0] === "number" && [1, 3].includes(value[0][0].length);
  const ofFile = ([name, { b64 }]) =>
    figure(h("img", { src: `data:image/png;base64,${b64}`, alt: nameOf(name) }), nameOf(name));
  const ofArray = ([name, pixels]) => {
    const drawn = canvasOf(imageDataOf(pixels));
    return source ? [figure(resized(source, drawn), "input"), figure(drawn, "output")] : [figure(drawn, nameOf(name))];
  };
  const files = Object.entries(outputs).filter(isFile);
  const arrays = Object.entries(outputs).filter(isArray); // the same images, of which the size is known
  const pictures = files.length && !(source && arrays.length) ? files.map(ofFile) : arrays.flatMap(ofArray);
  return pictures.length ? { nodes: [h("div.pictures", pictures)], summary: "An image." } : null;
}

/** Returns (H, W, C) numbers in [0, 255], with C of 1 or 3. */
function imageDataOf(pixels) {
  const image = new ImageData(pixels[0].length, pixels.length);
  pixels.flat().forEach(([r, g = r, b = r], i) => image.data.set([r, g, b, 255], 4 * i));
  return image;
}

function resized(source, { width, height }) {
  const canvas = h("canvas", { width, height });
  canvas.getContext("2d").drawImage(source, 0, 0, width, height);
  return canvas;
}
