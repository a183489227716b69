// A pad to draw a digit on, for models of MNIST's images.

import { element } from "./elements.js";

const SIDE = 280; // pixels of the pad

/** Returns a pad; `onchange` gets the digit after each stroke: a PNG of 28 x 28, white on black. */
export function drawingPad(onchange) {
  const canvas = element("canvas", { width: SIDE, height: SIDE, className: "pad", role: "img", "aria-label": "Draw a digit here, with a mouse, a pen or a finger" });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  Object.assign(context, { lineWidth: 22, lineCap: "round", lineJoin: "round", strokeStyle: "white", fillStyle: "black" });
  const hint = element("span", { className: "hint" }, "Draw a digit");
  const clear = () => {
    context.fillRect(0, 0, SIDE, SIDE);
    hint.hidden = false;
  };
  const place = (event) => [(event.offsetX * SIDE) / canvas.clientWidth, (event.offsetY * SIDE) / canvas.clientHeight];
  const line = (event) => {
    context.lineTo(...place(event));
    context.stroke();
  };
  canvas.onpointerdown = (event) => {
    canvas.setPointerCapture(event.pointerId);
    hint.hidden = true;
    context.beginPath();
    context.moveTo(...place(event));
    line(event);
    canvas.onpointermove = line;
  };
  canvas.onpointerup = canvas.onpointercancel = () => {
    canvas.onpointermove = null;
    centred(canvas).toBlob(onchange);
  };
  clear();
  const button = element("button", { type: "button", className: "quiet", onclick: clear }, "Clear");
  return element("div", { className: "pad-box" }, canvas, hint, button);
}

/** Returns the drawing as MNIST's are: within 20 x 20 pixels, its centre of mass in the middle of 28 x 28. */
function centred(canvas) {
  const { data } = canvas.getContext("2d").getImageData(0, 0, SIDE, SIDE);
  let [left, top, right, bottom, mass, massX, massY] = [SIDE, SIDE, 0, 0, 0, 0, 0];
  for (let y = 0; y < SIDE; y++) {
    for (let x = 0; x < SIDE; x++) {
      const value = data[4 * (y * SIDE + x)];
      if (value === 0) continue;
      [left, right, top, bottom] = [Math.min(left, x), Math.max(right, x + 1), Math.min(top, y), Math.max(bottom, y + 1)];
      [mass, massX, massY] = [mass + value, massX + value * (x + 0.5), massY + value * (y + 0.5)];
    }
  }
  const [width, height] = [right - left, bottom - top];
  const scale = 20 / Math.max(width, height);
  const digit = element("canvas", { width: 28, height: 28 });
  const context = digit.getContext("2d");
  context.fillRect(0, 0, 28, 28);
  context.imageSmoothingQuality = "high";
  const [x, y] = [14 - scale * (massX / mass - left), 14 - scale * (massY / mass - top)];
  context.drawImage(canvas, left, top, width, height, x, y, scale * width, scale * height);
  return digit;
}
