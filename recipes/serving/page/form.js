// The form that tries a model: asks TensorFlow Serving's REST, shows the answer and the command that asks the same.

import { continued, drawAnswer } from "./answers.js";
import { announce, element, fold } from "./elements.js";
import { fieldFor, isBatched } from "./fields.js";
import { hasToken, parse, request } from "./server.js";

const PIECE = 20; // tokens of a request: a text is asked for in pieces, so that it is seen as it is written
const IMAGES = 8; // made of seeds at a time
const SHOWN_JSON = 20_000; // characters of an answer

/** Returns the signature that shows most of a model, first. */
function firstSignature(names) {
  return ["generate", "alignment", "serving_default"].find((name) => names.includes(name)) ?? names[0];
}

/** Returns the form of a model: {node, update(model): takes in its versions, leave(): ends what the form has begun}. */
export function tryIt(model) {
  const names = Object.keys(model.signatures).sort((a, b) => (b === "serving_default") - (a === "serving_default"));
  const signature = element("select", {}, names.map((name) => element("option", {}, name)));
  const version = element("select");
  const body = element("div", { className: "columns" });
  const choice = (title, select) => element("label", {}, element("span", {}, title), select);
  const choices = element("div", { className: "choices" }, choice("Signature", signature), choice("Version", version));
  const head = element("div", { className: "card-head" }, element("h2", {}, "Try it"), choices);
  let leaving = new AbortController();

  const leave = () => leaving.abort();
  const draw = () => {
    leave();
    leaving = new AbortController();
    body.replaceChildren(...formOf(() => model, signature.value, () => pathOf(model, version.value), leaving.signal));
  };
  const update = (newModel) => {
    model = newModel;
    const option = (value, text) => element("option", { value, selected: value === version.value }, text);
    const available = model.versions.filter(({ state }) => state === "AVAILABLE").map(({ version: number }) => number);
    version.replaceChildren(
      option("", `newest (${model.serving})`),
      ...Object.keys(model.labels).map((label) => option(`/labels/${encodeURIComponent(label)}`, label)),
      ...available.map((number) => option(`/versions/${number}`, `version ${number}`)),
    );
    signature.parentNode.hidden = names.length < 2;
    version.parentNode.hidden = version.options.length < 3;
  };
  update(model);
  if (names.length) {
    signature.value = firstSignature(names);
    signature.onchange = draw;
    draw();
  }
  return { node: element("section", { className: "card", "aria-label": "Try it" }, head, body), update, leave };
}

const pathOf = ({ name }, version) => `v1/models/${encodeURIComponent(name)}${version}`;

/** Returns the form of a signature and the region of its answer. */
function formOf(modelNow, signatureName, pathNow, signal) {
  const model = modelNow();
  const signature = model.signatures[signatureName];
  const { inputs, method } = signature;
  const imageShape = model.manifest?.image_shape ?? model.signatures.image?.inputs.image?.shape?.slice(1);
  const isExample = method === "classify" || method === "regress"; // asked with features in JSON, sent as a tf.Example
  const isStream = ["prompt", "length", "seed"].every((name) => name in inputs);
  const ask = element("button", { className: "primary" }, isStream ? "Write" : "Ask");
  const stopButton = element("button", { type: "button", hidden: true }, "Stop");
  const answer = element("div", { className: "answer", role: "region", "aria-label": "Answer" }, element("p", { className: "hint empty" }, "The answer will stand here."));
  const fields = {};
  if (isExample) fields.example = fieldFor("example", { dtype: "features", shape: null }, { signal });
  else for (const [name, tensor] of Object.entries(inputs)) fields[name] = fieldFor(name, tensor, { imageShape, signal, onchange: () => form.requestSubmit() });

  const hasLines = Object.values(fields).some(({ node }) => node.querySelector("textarea")); // where Enter ends a line
  const shortcut = hasLines ? element("span", { className: "hint" }, "Ctrl + Enter") : null;
  const actions = element("p", { className: "actions" }, ask, stopButton, shortcut);
  let asking = null; // an earlier question is dropped when the next one is asked
  const form = element("form", {}, Object.values(fields).map((field) => field.node), actions);
  form.onkeydown = (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  };
  form.onsubmit = async (event) => {
    event.preventDefault();
    asking?.abort();
    asking = new AbortController();
    const current = asking;
    const question = { model: modelNow(), signatureName, signature, path: pathNow(), fields, answer, signal: AbortSignal.any([signal, current.signal]) };
    stopButton.onclick = () => current.abort();
    stopButton.hidden = !isStream;
    answer.setAttribute("aria-busy", "true");
    announce(isStream ? "Writing." : "");
    try {
      await (isExample ? askExamples : isStream ? writeText : askOnce)(question);
    } catch (error) {
      if (error.name !== "AbortError") {
        answer.replaceChildren(element("p", { className: "notice", role: "alert" }, error.message));
      } else if (isStream) {
        announce("Stopped.");
      }
    }
    if (asking !== current) return;
    stopButton.hidden = true;
    answer.removeAttribute("aria-busy");
  };
  return [form, answer];
}

/** Returns the values of the fields, by input name. */
async function readAll(fields) {
  const values = {};
  for (const [name, field] of Object.entries(fields)) values[name] = await field.read();
  return values;
}

/** Returns a request's body: rows where every tensor has a batch dimension, else columns. */
function bodyOf({ signatureName, signature }, rows) {
  const { inputs, outputs } = signature;
  const named = signatureName === "serving_default" ? {} : { signature_name: signatureName };
  if ([...Object.values(inputs), ...Object.values(outputs)].every(isBatched) && Object.keys(inputs).length) return { ...named, instances: rows };
  const column = ([name, tensor]) => [name, isBatched(tensor) ? rows.map((row) => row[name]) : rows[0][name]];
  return { ...named, inputs: Object.fromEntries(Object.entries(inputs).map(column)) };
}

/** Returns the outputs of each example, by name, of a response to `bodyOf`. */
function rowsOf({ signature }, response, count) {
  const names = Object.keys(signature.outputs);
  const named = (value) => (names.length === 1 ? { [names[0]]: value } : value);
  if ("predictions" in response) return response.predictions.map(named);
  const columns = named(response.outputs);
  const pick = (name, i) => (isBatched(signature.outputs[name]) && columns[name].length === count ? columns[name][i] : columns[name]);
  return Array.from({ length: count }, (_, i) => Object.fromEntries(names.map((name) => [name, pick(name, i)])));
}

async function askOnce(question) {
  const { model, fields, path, answer, signal } = question;
  const values = await readAll(fields);
  const isSeeds = Object.keys(fields).join() === "seed"; // images are made of seeds: a few
  const inputs = isSeeds ? Array.from({ length: IMAGES }, (_, i) => ({ seed: values.seed + i })) : [values];
  const body = bodyOf(question, inputs);
  const start = performance.now();
  const text = await request(`${path}:predict`, { body, signal });
  const elapsed = performance.now() - start;
  const image = Object.values(fields).find((field) => field.source);
  const onword = (word) => {
    fields.word.set(word);
    answer.closest(".columns").querySelector("form").requestSubmit();
  };
  const context = { labels: labelsOf(model), source: () => image?.source() ?? null, onword };
  const drawn = rowsOf(question, parse(text), inputs.length).map((row, i) => drawAnswer(row, { ...context, inputs: inputs[i] }));
  if (isSeeds && drawn.length > 1 && drawn[0]) drawn.splice(0, drawn.length, mosaic(drawn));
  const nodes = drawn[0]?.nodes ?? [];
  answer.replaceChildren(...nodes.filter(Boolean), ...details(question, body, text, elapsed, nodes.length === 0));
  announce(drawn[0]?.summary ?? `Answered: ${text.slice(0, 200)}`);
}

function mosaic(drawn) {
  const pictures = drawn.flatMap(({ nodes }) => nodes.flatMap((node) => [...node.children]));
  return { nodes: [element("div", { className: "pictures small" }, pictures)], summary: `${drawn.length} images.` };
}

async function askExamples(question) {
  const { signature, signatureName, path, answer, fields, signal } = question;
  const body = { signature_name: signatureName, examples: [await fields.example.read()] };
  const start = performance.now();
  const text = await request(`${path}:${signature.method}`, { body, signal });
  const [result] = parse(text).results;
  const outputs = Array.isArray(result) ? { classes: result.map(([label]) => label), scores: result.map(([, score]) => score) } : { value: result };
  const drawn = drawAnswer(outputs, { inputs: {}, source: () => null });
  answer.replaceChildren(...drawn.nodes.filter(Boolean), ...details(question, body, text, performance.now() - start));
  announce(drawn.summary);
}

/** Asks for a text piece by piece: each request continues what the last one wrote, with a seed of its own. */
async function writeText(question) {
  const { fields, path, answer, signal } = question;
  const values = await readAll(fields);
  const whole = bodyOf(question, [values]);
  let [text, last] = [values.prompt, ""];
  const start = performance.now();
  const draw = (isDone) => {
    const written = continued(values.prompt, text);
    if (!isDone) written.append(element("span", { className: "caret" }));
    answer.replaceChildren(written, ...(isDone ? details(question, whole, last, performance.now() - start) : []));
  };
  draw(false);
  try {
    for (let count = 0; count < values.length; count += PIECE) {
      const row = { ...values, prompt: text, length: Math.min(PIECE, values.length - count), seed: values.seed + count / PIECE };
      last = await request(`${path}:predict`, { body: bodyOf(question, [row]), signal });
      [{ text }] = rowsOf(question, parse(last), 1);
      draw(false);
    }
  } catch (error) {
    if (error.name === "AbortError" && !answer.isConnected) throw error;
    draw(true);
    if (error.name !== "AbortError") answer.append(element("p", { className: "notice", role: "alert" }, error.message));
    return announce(error.name === "AbortError" ? "Stopped." : error.message);
  }
  draw(true);
  announce(`Written: ${text.slice(0, 500)}`);
}

/** Returns the names of a model's classes, in their order; undefined where they are not known. */
const labelsOf = ({ manifest }) => manifest?.label_names ?? manifest?.labels ?? manifest?.data?.label_names;

/** Returns how long it took, the answer as the server wrote it, and the command that asks the same. */
function details({ signature, path, fields }, body, text, elapsed, isOpen = false) {
  const shortened = text.length > SHOWN_JSON ? `${text.slice(0, SHOWN_JSON)}\n… ${(text.length - SHOWN_JSON).toLocaleString("en")} more characters` : text;
  const json = fold("Answer as JSON", element("pre", { tabIndex: 0 }, shortened));
  json.open = isOpen;
  const method = signature.method === "classify" || signature.method === "regress" ? signature.method : "predict";
  const command = curl(new URL(`${path}:${method}`, document.baseURI.split("#")[0]).href, body, fields);
  const copy = element("button", { type: "button", className: "quiet" }, "Copy");
  copy.onclick = async () => {
    await navigator.clipboard.writeText(command).catch(() => getSelection().selectAllChildren(shownCommand));
    copy.textContent = "Copied";
    announce("Copied.");
  };
  const shownCommand = element("pre", { tabIndex: 0 }, command.length > SHOWN_JSON ? `${command.slice(0, 500)} …` : command);
  const time = element("p", { className: "hint time" }, `${elapsed < 10 ? elapsed.toFixed(1) : Math.round(elapsed)} ms round trip`);
  return [element("div", { className: "details" }, time, json, fold("The same with curl", shownCommand, copy))];
}

const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** Returns a line for a shell that sends a body; the bytes of an image are read from its file, through a pipe: they may be too long for an argument. */
function curl(url, body, fields) {
  const file = Object.values(fields).find((field) => field.file)?.file();
  const json = JSON.stringify(body);
  const post = [`curl`, ...(hasToken() ? [`-H "Authorization: Bearer $TOKEN"`] : []), quoted(url)].join(" ");
  const bytes = json.match(/"b64":"([^"]*)"/);
  if (!file || !bytes) return `${post} -d ${quoted(json)}`;
  const format = json.replaceAll("\\", "\\\\").replaceAll("%", "%%").replace(bytes[1], "%s");
  return `printf ${quoted(format)} "$(base64 < ${quoted(file)} | tr -d '\\n')" \\\n  | ${post} -d @-`;
}

