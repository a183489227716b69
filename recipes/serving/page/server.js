// Requests to the server, with its bearer token where it asks for one.

let token = "";

/** Returns an answer's text. Throws an Error with the server's message, and an AbortError when `signal` fires.
 *  `isUnasked`: no person waits for it, who could type a token. */
export async function request(path, { body, signal, isUnasked = false } = {}) {
  for (let refused = false; ; refused = true) {
    const headers = token ? { Authorization: `Bearer ${token}` } : {};
    const options = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
    let response;
    try {
      response = await fetch(path, { ...options, headers, signal });
    } catch (error) {
      throw error.name === "AbortError" ? error : new Error("The server cannot be reached.");
    }
    const text = await response.text();
    if (response.ok) return text;
    if (response.status !== 401 || isUnasked || !(await askForToken(refused))) throw new Error(messageOf(text, response));
  }
}

export const hasToken = () => token !== "";

/** Returns the value of a JSON text in which, as TensorFlow Serving writes them, NaN and Infinity may stand bare. */
export function parse(text) {
  return JSON.parse(text.replace(/"(?:[^"\\]|\\.)*"|-?\b(?:NaN|Infinity)\b/g, (part) => (part[0] === '"' ? part : `"${part}"`)));
}

function messageOf(text, response) {
  try {
    return JSON.parse(text).error;
  } catch {
    return `The server answered ${response.status} ${response.statusText}.`;
  }
}

let dialogAnswer = null; // several requests may be refused at once: one dialog

/** Resolves to whether a token was typed. */
function askForToken(refused) {
  dialogAnswer ??= new Promise((resolve) => {
    const dialog = document.getElementById("token");
    const [form, input] = [dialog.querySelector("form"), document.getElementById("token-text")];
    input.value = "";
    input.setCustomValidity(refused ? "The server refused this token." : "");
    input.oninput = () => input.setCustomValidity("");
    form.onsubmit = (event) => {
      event.preventDefault();
      token = input.value;
      dialog.close("typed");
    };
    document.getElementById("token-cancel").onclick = () => dialog.close("");
    dialog.onclose = () => {
      dialogAnswer = null;
      resolve(dialog.returnValue === "typed");
    };
    dialog.returnValue = "";
    dialog.showModal();
    if (refused) input.reportValidity();
  });
  return dialogAnswer;
}
