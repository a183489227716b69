// The form that tries a model: asks TensorFlow Serving's REST, shows the answer and the command that asks the same.

import { continued, drawAnswer } from "./answers.js";
import { announce, fold, h, notice } from "./elements.js";
import { fieldFor, inOrder, isBatched, jsonField } from "./fields.js";
import { hasToken, parse, request } from "./server.js";

const PIECE = 20; // tokens of a request: a text is asked for in pieces, so that it is seen as it is written
const IMAGES = 8; // made at a time, of a seed and those after it
const MOST_JSON = 20_000; // characters of an answer or a command that are shown
const FIRST = ["generate", "alignment", "serving_default"]; // the signature that shows most of a model

/** Returns the form of a model: {node, update(model): takes in its versions, leave(): ends what the form has begun}. */
export function tryIt(model) {
  const names = Object.keys(model.signatures);
  const signature = h("select", names.map((name) => h("option", name)));
  const version = h("select");
  const choices = { Signature: signature, Version: version };
  const labels = Object.entries(choices).map(([title, select]) => h("label", h("span", title), select));
  const body = h("div.columns");
  let leaving = new AbortController();

  const leave = () => leaving.abort();
  const draw = () => {
    leave();
    leaving = new AbortController();
    const pathOf = () => `v1/models/${encodeURIComponent(model.name)}${version.value}`;
    body.replaceChildren(...formOf(signature.value, () => ({ model, path: pathOf() }), leaving.signal));
  };
  const update = (newModel) => {
    model = newModel;
    const option = (value, text) => h("option", { value, selected: value === version.value }, text);
    const available = model.versions.filter(({ state }) => state === "AVAILABLE");
    version.replaceChildren(
      option("", `newest (${model.serving})`),
      ...Object.keys(model.labels).map((label) => option(`/labels/${encodeURIComponent(label)}`, label)),
      ...available.map(({ version: number }) => option(`/versions/${number}`, `version ${number}`)),
    );
    labels[0].hidden = names.length < 2;
    labels[1].hidden = version.options.length < 3;
  };
  update(model);
  if (names.length) {
    signature.value = FIRST.find((name) => names.includes(name)) ?? names[0];
    signature.onchange = draw;
    draw();
  }
  const head = h("div.card-head", h("h2", "Try it"), h("div.choices", labels));
  return { node: h("section.card", { "aria-label": "Try it" }, head, body), update, leave };
}

/** Returns the form of a signature and the region of its answer. `now` returns {model, path} as they are then. */
function formOf(signatureName, now, signal) {
  const { model } = now();
  const signature = model.signatures[signatureName];
  const { inputs, method } = signature;
  const isStream = ["prompt", "length", "seed"].every((name) => name in inputs);
  const ask = method !== "predict" ? askExample : isStream ? writeText : askOnce;

  const fields = {};
  if (method !== "predict") { // asked with features in JSON, which the server makes a tf.Example of
    fields.example = jsonField("example", { dtype: "features" }, null);
  } else {
    const imageShape = model.manifest?.image_shape ?? model.signatures.image?.inputs.image?.shape?.slice(1);
    const onchange = () => form.requestSubmit();
    for (const name of inOrder(Object.keys(inputs))) {
      fields[name] = fieldFor(name, inputs[name], { imageShape, onchange, signal });
    }
  }
  const meaning = model.manifest?.signatures?.[signatureName]?.meaning;
  const nodes = Object.values(fields).map(({ node }) => node);
  const hasLines = nodes.some((node) => node.querySelector("textarea")); // where Enter ends a line
  const stop = h("button", { type: "button", hidden: true }, "Stop");
  const send = h("button.primary", isStream ? "Write" : "Ask");
  const actions = h("p.actions", send, stop, hasLines ? h("span.hint", "Ctrl + Enter") : null);
  const form = h("form", meaning ? h("p.meaning", meaning) : null, nodes, actions);
  const empty = h("p.hint", "The answer will stand here.");
  const answer = h("div.answer", { role: "region", "aria-label": "Answer" }, empty);

  let asking = new AbortController(); // an earlier question is dropped when the next one is asked
  form.onkeydown = ({ key, ctrlKey, metaKey }) => {
    if (key === "Enter" && (ctrlKey || metaKey)) form.requestSubmit();
  };
  form.onsubmit = async (event) => {
    event.preventDefault();
    asking.abort();
    const current = (asking = new AbortController());
    stop.onclick = () => current.abort();
    stop.hidden = !isStream;
    answer.setAttribute("aria-busy", "true");
    const question = { ...now(), signatureName, signature, fields, form, answer };
    try {
      await ask({ ...question, signal: AbortSignal.any([signal, current.signal]) });
    } catch (error) {
      if (error.name !== "AbortError") answer.replaceChildren(notice(error.message, { role: "alert" }));
    }
    if (asking !== current) return;
    stop.hidden = true;
    answer.removeAttribute("aria-busy");
  };
  return [form, answer];
}

/** Asks a predict signature, and draws the answer. */
async function askOnce(question) {
  const { model, fields, form } = question;
  const values = await readAll(fields);
  const isSeed = Object.keys(values).join() === "seed";
  const rows = isSeed ? Array.from({ length: IMAGES }, (_, i) => ({ seed: values.seed + i })) : [values];
  const image = Object.values(fields).find(({ source }) => source);
  const context = {
    labels: model.manifest?.label_names,
    source: image?.source() ?? null,
    onword: (word) => {
      fields.word.set(word);
      form.requestSubmit();
    },
  };
  await post(question, bodyOf(question, rows), (response) => {
    const answers = rowsOf(question, response, rows.length);
    const drawn = answers.map((outputs, i) => drawAnswer(outputs, { ...context, inputs: rows[i] }));
    return drawn.length > 1 && drawn[0] ? together(drawn) : drawn[0];
  });
}

/** Asks a signature that takes a tf.Example. */
async function askExample(question) {
  const { signatureName, fields } = question;
  const body = { signature_name: signatureName, examples: [fields.example.read()] };
  await post(question, body, ({ results: [result] }) => {
    const classes = { classes: result.map?.(([label]) => label), scores: result.map?.(([, score]) => score) };
    return drawAnswer(result.map ? classes : { value: result }, { inputs: {}, source: null });
  });
}

/** Asks, and shows what `draw` makes of the response, or null: then the JSON alone. */
async function post({ path, signature, fields, answer, signal }, body, draw) {
  const start = performance.now();
  const text = await request(`${path}:${signature.method}`, { body, signal });
  const took = performance.now() - start;
  const drawn = draw(parse(text));
  const command = curl(`${path}:${signature.method}`, body, fields);
  answer.replaceChildren(...(drawn?.nodes ?? []), details(text, command, took, drawn === null));
  bringIntoView(answer);
  announce(drawn?.summary ?? `The answer: ${text.slice(0, 200)}`);
}

/** Asks for a text piece by piece: each request continues what the last one wrote, with a seed of its own. */
async function writeText(question) {
  const { fields, path, answer, signal } = question;
  const values = await readAll(fields);
  const start = performance.now();
  let [text, response, problem] = [values.prompt, "", null];
  const draw = (...after) => answer.replaceChildren(continued(values.prompt, text), ...after);
  announce("Writing.");
  draw();
  bringIntoView(answer);
  answer.firstChild.append(h("span.caret"));
  try {
    for (let done = 0; done < values.length; done += PIECE) {
      const piece = { prompt: text, length: Math.min(PIECE, values.length - done), seed: values.seed + done / PIECE };
      response = await request(`${path}:predict`, { body: bodyOf(question, [{ ...values, ...piece }]), signal });
      [{ text }] = rowsOf(question, parse(response), 1);
      draw();
      answer.firstChild.append(h("span.caret"));
    }
  } catch (error) {
    problem = error; // what was written so far stays
  }
  if (!answer.isConnected) return;
  const isFailure = problem !== null && problem.name !== "AbortError";
  const command = curl(`${path}:predict`, bodyOf(question, [values]), fields);
  const after = response ? [details(response, command, performance.now() - start)] : [];
  draw(...(isFailure ? [notice(problem.message, { role: "alert" })] : []), ...after);
  announce(problem === null ? `Written: ${text.slice(0, 500)}` : "Stopped.");
}

/** Scrolls to an answer that stands below what is seen, as on a narrow screen. */
function bringIntoView(answer) {
  if (answer.getBoundingClientRect().top > 0.8 * innerHeight) answer.scrollIntoView();
}

/** Returns the values of the fields, by input. */
async function readAll(fields) {
  const values = {};
  for (const [name, field] of Object.entries(fields)) values[name] = await field.read();
  return values;
}

/** Returns a request's body: rows where every tensor has a batch dimension, else columns. */
function bodyOf({ signatureName, signature: { inputs, outputs } }, rows) {
  const named = signatureName === "serving_default" ? {} : { signature_name: signatureName };
  const tensors = [...Object.values(inputs), ...Object.values(outputs)];
  if (tensors.every(isBatched) && Object.keys(inputs).length) return { ...named, instances: rows };
  const column = ([name, tensor]) => [name, isBatched(tensor) ? rows.map((row) => row[name]) : rows[0][name]];
  return { ...named, inputs: Object.fromEntries(Object.entries(inputs).map(column)) };
}

/** Returns the outputs of each of `count` examples, by name, of a response to `bodyOf`. */
function rowsOf({ signature: { outputs } }, response, count) {
  const names = Object.keys(outputs);
  const named = (value) => (names.length === 1 ? { [names[0]]: value } : value);
  if ("predictions" in response) return response.predictions.map(named);
  const columns = named(response.outputs);
  const isColumn = (name) => isBatched(outputs[name]) && columns[name].length === count;
  const valueOf = (name, i) => (isColumn(name) ? columns[name][i] : columns[name]);
  return Array.from({ length: count }, (_, i) => Object.fromEntries(names.map((name) => [name, valueOf(name, i)])));
}

/** Returns the pictures of several answers as one answer. */
function together(drawn) {
  const pictures = drawn.flatMap(({ nodes }) => nodes.flatMap((node) => [...node.children]));
  return { nodes: [h("div.pictures.small", pictures)], summary: `${drawn.length} images.` };
}

/** Returns how long it took, the answer as the server wrote it, and the command that asks the same. */
function details(text, command, took, isOpen = false) {
  const cut = (long) => (long.length > MOST_JSON ? `${long.slice(0, MOST_JSON)} …` : long);
  const shown = h("pre", { tabIndex: 0 }, cut(command));
  const copy = h("button.quiet", { type: "button" }, "Copy");
  copy.onclick = async () => {
    const isCopied = await navigator.clipboard?.writeText(command).then(() => true, () => false);
    if (!isCopied) getSelection().selectAllChildren(shown); // no clipboard on an unsafe address
    copy.textContent = isCopied ? "Copied" : "Selected: press Ctrl + C";
    announce(copy.textContent);
  };
  const json = fold("Answer as JSON", h("pre", { tabIndex: 0 }, cut(text)));
  json.open = isOpen;
  const time = took < 1000 ? `${took.toFixed(took < 10 ? 1 : 0)} ms` : `${(took / 1000).toFixed(1)} s`;
  return h("div.details", h("p.hint", `${time} round trip`), json, fold("The same with curl", shown, copy));
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** Returns a command for a shell that sends a body; an image is read from its file, as arguments have a limit. */
function curl(path, body, fields) {
  const url = new URL(path, document.baseURI).href;
  const send = `curl ${hasToken() ? '-H "Authorization: Bearer $TOKEN" ' : ""}${quoted(url)} -d`;
  const json = JSON.stringify(body);
  const image = Object.values(fields).find(({ file }) => file);
  const [, b64] = json.match(/"b64":"([^"]+)"/) ?? [];
  if (!image || !b64) return `${send} ${quoted(json)}`;
  const format = json.replaceAll("\\", "\\\\").replaceAll("%", "%%").replace(b64, "%s");
  return `printf ${quoted(format)} "$(base64 < ${quoted(image.file())} | tr -d '\\n')" |\n  ${send} @-`;
}
