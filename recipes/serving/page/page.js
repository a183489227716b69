// The page: which models there are, in which versions, and what they take and answer.

import { announce, element, fold, table } from "./elements.js";
import { shapeText } from "./fields.js";
import { tryIt } from "./form.js";
import { request } from "./server.js";

const REFRESH = 5000; // ms between looks at the models
const FACTS = { accuracy: "Test accuracy", perplexity: "Test perplexity", bits: "Test bits per token", bleu: "Test BLEU", bleu4: "Test BLEU-4" };

const main = document.getElementById("main");
let models = [];
let shown = ""; // what is on the page, as JSON
let form = null; // of the chosen model: {node, update, leave, asked: what it was made of}

/** Looks at the models again, and draws what has changed. A look that nobody asked for asks for no token. */
async function refresh(isUnasked = false) {
  try {
    models = JSON.parse(await request("page/models", { isUnasked }));
    show();
  } catch (error) {
    if (isUnasked) return; // the server may be back in a moment
    const again = element("button", { type: "button", onclick: () => refresh() }, "Try again");
    main.replaceChildren(notice(error.message), element("p", {}, again));
  }
}

const hashOf = (name) => `#${encodeURIComponent(name)}`;
const chosenModel = () =>
  models.find(({ name }) => hashOf(name) === location.hash) ?? models.find(({ serving }) => serving !== null) ?? models[0];
const notice = (text) => element("p", { className: "notice" }, text);

function show() {
  const model = chosenModel();
  const state = JSON.stringify([model?.name, models]);
  if (state === shown) return; // the focus stays where it is
  shown = state;
  document.getElementById("models").replaceChildren(element("ul", {}, models.map((one) => modelLink(one, one === model))));
  document.querySelector("[aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });
  document.title = model ? `${model.name} · Models` : "Models";
  if (!model) return main.replaceChildren(notice("The server has no model yet."));
  const asked = JSON.stringify([model.name, model.signatures]);
  if (asked !== form?.asked) { // else what was typed and answered stays, also when a new version is served
    form?.leave();
    form = { asked, ...tryIt(model) };
  }
  form.update(model);
  const card = model.serving === null ? notice("No version of this model can be asked.") : form.node;
  if (card.isConnected) {
    main.firstChild.replaceWith(heading(model));
    main.lastChild.replaceWith(versions(model));
  } else {
    const parts = [heading(model), card, model.serving === null ? null : signatures(model), versions(model)];
    main.replaceChildren(...parts.filter(Boolean));
  }
}

function modelLink({ name, serving, versions: [newest] }, isChosen) {
  const state = dot(serving !== null ? "available" : stateOf(newest));
  const link = element("a", { href: hashOf(name) }, element("span", { className: "model" }, name), state);
  if (isChosen) link.setAttribute("aria-current", "page");
  return element("li", {}, link);
}

// ---- what a model is -----------------------------------------------------------------------------------------------

function heading({ name, serving, manifest }) {
  const facts = [];
  if (manifest?.data?.name) {
    const standIn = manifest.data.stand_in_for ? `, a stand-in for ${manifest.data.stand_in_for}` : "";
    facts.push(["Trained on", `${manifest.data.name}${standIn}`]);
  }
  for (const [key, title] of Object.entries(FACTS)) {
    const value = manifest?.test?.[key];
    if (typeof value === "number") facts.push([title, key === "accuracy" ? `${(100 * value).toFixed(1)}%` : value.toFixed(2)]);
  }
  const list = element("dl", { className: "facts" }, facts.map(([term, text]) => element("div", {}, element("dt", {}, term), element("dd", {}, text))));
  const subtitle = [manifest?.kind?.replaceAll("_", " "), serving !== null && `version ${serving}`].filter(Boolean).join(" · ");
  return element("header", { className: "heading" }, element("h1", {}, name), element("p", { className: "subtitle" }, subtitle), facts.length ? list : null);
}

function stateOf({ state, message } = {}) {
  if (message) return "failed";
  return { START: "waiting", LOADING: "loading", AVAILABLE: "available", UNLOADING: "unloading", END: "unloaded" }[state] ?? "unknown";
}

const dot = (state) => element("span", { className: `state ${state}` }, state);

function versions({ versions: list, labels }) {
  const labelsOf = (version) => Object.keys(labels).filter((label) => labels[label] === version).join(", ");
  const rows = list.map((one) => [String(one.version), dot(stateOf(one)), labelsOf(one.version), one.message]);
  const hasMessage = list.some((one) => one.message);
  const columns = ["Version", "State", "Labels", ...(hasMessage ? ["Message"] : [])];
  return element("section", {}, element("h2", {}, "Versions"), table(columns, rows.map((row) => row.slice(0, columns.length))));
}

function signatures(model) {
  const folds = Object.entries(model.signatures).map(([name, { inputs, outputs }]) => {
    const rows = (side, tensors) => Object.entries(tensors).map(([tensor, { dtype, shape }]) => [side, code(tensor), dtype, shapeText(shape)]);
    const arrow = element("span", { className: "hint" }, `${Object.keys(inputs).join(", ") || "nothing"} → ${Object.keys(outputs).join(", ")}`);
    return fold(element("span", { className: "signature" }, code(name), arrow), table(["", "Name", "Type", "Shape"], [...rows("takes", inputs), ...rows("answers", outputs)]));
  });
  return element("section", {}, element("h2", {}, "Signatures"), folds);
}

const code = (text) => element("code", {}, text);

window.addEventListener("hashchange", () => {
  show();
  main.focus();
});
setInterval(() => document.hidden || refresh(true), REFRESH);
await refresh();
