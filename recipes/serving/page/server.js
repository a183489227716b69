// Requests to the server, with its bearer token where it asks for one.

let token = ""; // in memory alone
let tokenDialog = null; // a promise: several requests may be refused at once, of which one asks

export const hasToken = () => token !== "";

/**
 * Returns an answer's text. Throws an Error with the server's message, and an AbortError when `signal` fires.
 * `isUnasked`: no person waits for it, who could type a token.
 */
export async function request(path, { body, signal, isUnasked = false } = {}) {
  for (let isAgain = false; ; isAgain = true) {
    const headers = token ? { Authorization: `Bearer ${token}` } : {};
    const options = body === undefined ? {} : { method: "POST", body: JSON.stringify(body) };
    const response = await fetch(path, { ...options, headers, signal }).catch((error) => {
      throw error.name === "AbortError" ? error : new Error("The server cannot be reached.");
    });
    const text = await response.text();
    if (response.ok) return text;
    const mayAsk = response.status === 401 && !isUnasked;
    if (!mayAsk || !(await askForToken(isAgain))) throw new Error(messageOf(text, response));
  }
}

/** Returns the value of a JSON text in which, as TensorFlow Serving writes them, NaN and Infinity may stand bare. */
export function parse(text) {
  const stringsAndBare = /"(?:[^"\\]|\\.)*"|-?\b(?:NaN|Infinity)\b/g;
  return JSON.parse(text.replace(stringsAndBare, (part) => (part[0] === '"' ? part : `"${part}"`)));
}

function messageOf(text, { status, statusText }) {
  try {
    return JSON.parse(text).error ?? text;
  } catch {
    return `The server answered ${status} ${statusText}.`;
  }
}

/** Resolves to whether a token was typed. */
function askForToken(isRefused) {
  tokenDialog ??= new Promise((resolve) => {
    const dialog = document.getElementById("token");
    const input = document.getElementById("token-text");
    document.getElementById("token-refused").hidden = !isRefused;
    input.value = "";
    dialog.returnValue = "";
    dialog.querySelector("form").onsubmit = (event) => {
      event.preventDefault();
      token = input.value.trim();
      dialog.close("typed");
    };
    document.getElementById("token-cancel").onclick = () => dialog.close();
    dialog.onclose = () => {
      tokenDialog = null;
      resolve(dialog.returnValue === "typed");
    };
    dialog.showModal();
  });
  return tokenDialog;
}
