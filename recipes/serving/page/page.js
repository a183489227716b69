// The page: which models there are, in which versions, and what they take and answer.

import { announce, fold, h, notice, table } from "./elements.js";
import { shapeText } from "./fields.js";
import { tryIt } from "./form.js";
import { request } from "./server.js";

const REFRESH = 5000; // ms between looks at the models
const STATES = {
  START: "waiting",
  LOADING: "loading",
  AVAILABLE: "available",
  UNLOADING: "unloading",
  END: "unloaded",
};
const FIGURES = {
  accuracy: "Test accuracy",
  perplexity: "Test perplexity",
  bits: "Test bits per token",
  bleu: "Test BLEU",
  bleu4: "Test BLEU-4",
};

const main = document.getElementById("main");
let models = [];
let shown = ""; // what is on the page, as JSON
let form = null; // of the chosen model: {node, update, leave}, and what it was made of, as JSON

/** Looks at the models again, and draws what has changed. A look that nobody asked for asks for no token. */
async function refresh(isUnasked = false) {
  try {
    models = JSON.parse(await request("page/models", { isUnasked }));
    show();
  } catch (error) {
    if (isUnasked) return; // the server may be back in a moment
    main.replaceChildren(notice(error.message), h("p", h("button", { onclick: () => refresh() }, "Try again")));
  }
}

const hashOf = ({ name }) => `#${encodeURIComponent(name)}`;
const isServed = ({ serving }) => serving !== null;

function show() {
  const model = models.find((one) => hashOf(one) === location.hash) ?? models.find(isServed) ?? models[0];
  const state = JSON.stringify([model?.name, models]);
  if (state === shown) return; // the focus stays where it is
  shown = state;
  document.title = model ? `${model.name} · Models` : "Models";
  document.getElementById("models").replaceChildren(h("ul", models.map((one) => modelLink(one, one === model))));
  document.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
  if (!model) return main.replaceChildren(notice("The server has no model yet."));
  const madeOf = JSON.stringify([model.name, model.signatures]);
  if (madeOf !== form?.madeOf) { // else what was typed and answered stays, also when a new version is served
    form?.leave();
    form = { madeOf, ...tryIt(model) };
  }
  form.update(model);
  if (form.node.isConnected && isServed(model)) {
    main.firstChild.replaceWith(heading(model));
    main.lastChild.replaceWith(versions(model));
  } else {
    const parts = isServed(model) ? [form.node, signatures(model)] : [notice("No version of this model answers.")];
    main.replaceChildren(heading(model), ...parts, versions(model));
  }
}

function modelLink(model, isChosen) {
  const state = isServed(model) ? "available" : stateOf(model.versions[0]);
  const link = h("a", { href: hashOf(model) }, h("span.model", model.name), dot(state));
  if (isChosen) link.setAttribute("aria-current", "page");
  return h("li", link);
}

function heading({ name, serving, manifest }) {
  const facts = [];
  const { name: data, stand_in_for: missing, examples } = manifest?.data ?? {};
  if (data) facts.push(["Trained on", missing ? `${data}, a stand-in for ${missing}` : data]);
  if (examples?.train) facts.push(["Training examples", examples.train.toLocaleString("en")]);
  for (const [key, title] of Object.entries(FIGURES)) {
    const value = manifest?.test?.[key];
    const text = key === "accuracy" ? `${(100 * value).toFixed(1)}%` : value?.toFixed?.(2);
    if (typeof value === "number") facts.push([title, text]);
  }
  const kind = manifest?.kind?.replaceAll("_", " ");
  const subtitle = [kind, serving === null ? null : `version ${serving}`].filter(Boolean).join(" · ");
  const list = facts.map(([term, text]) => h("div", h("dt", term), h("dd", text)));
  return h("header", h("h1", name), h("p.subtitle", subtitle), list.length ? h("dl.facts", list) : null);
}

const stateOf = ({ state, message } = {}) => (message ? "failed" : (STATES[state] ?? "unknown"));
const dot = (state) => h(`span.state.${state}`, state);

function versions({ versions: list, labels }) {
  const labelsOf = (version) => Object.keys(labels).filter((label) => labels[label] === version).join(", ");
  const optional = {
    Labels: list.map(({ version }) => labelsOf(version)),
    Message: list.map(({ message }) => message),
  };
  const columns = Object.entries(optional).filter(([, texts]) => texts.some(Boolean));
  const rows = list.map((one, i) => [String(one.version), dot(stateOf(one)), ...columns.map(([, texts]) => texts[i])]);
  return h("section", h("h2", "Versions"), table(["Version", "State", ...columns.map(([name]) => name)], rows));
}

function signatures(model) {
  const rowsOf = (side, tensors) =>
    Object.entries(tensors).map(([name, { dtype, shape }]) => [side, h("code", name), dtype, shapeText(shape)]);
  const folds = Object.entries(model.signatures).map(([name, { inputs, outputs }]) => {
    const arrow = `${Object.keys(inputs).join(", ") || "nothing"} → ${Object.keys(outputs).join(", ")}`;
    const rows = [...rowsOf("takes", inputs), ...rowsOf("answers", outputs)];
    const summary = h("span.signature", h("code", name), h("span.hint", arrow));
    return fold(summary, table(["", "Name", "Type", "Shape"], rows));
  });
  return h("section", h("h2", "Signatures"), folds);
}

window.addEventListener("hashchange", () => {
  show();
  main.focus();
  announce(document.title);
});
setInterval(() => document.hidden || refresh(true), REFRESH);
await refresh();
