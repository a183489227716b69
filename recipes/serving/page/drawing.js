// A pad to draw a digit on, for models of MNIST's images.

import { h } from "./elements.js";

const SIDE = 280; // pixels of the pad

/** Returns a pad; `onchange` gets the digit after each stroke: a PNG of 28 x 28, white on black. */
export function drawingPad(onchange) {
  const label = "Draw a digit here, with a mouse, a pen or a finger";
  const canvas = h("canvas.pad", { width: SIDE, height: SIDE, role: "img", "aria-label": label });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  Object.assign(context, { lineWidth: 22, lineCap: "round", lineJoin: "round", strokeStyle: "white" });
  const hint = h("span.hint", "Draw a digit");
  const clear = () => {
    context.fillRect(0, 0, SIDE, SIDE);
    hint.hidden = false;
  };
  const drawTo = ({ offsetX, offsetY }) => {
    context.lineTo((offsetX * SIDE) / canvas.clientWidth, (offsetY * SIDE) / canvas.clientHeight);
    context.stroke();
  };
  canvas.onpointerdown = (event) => {
    canvas.setPointerCapture(event.pointerId);
    hint.hidden = true;
    context.beginPath();
    drawTo(event); // a dot is drawn by the second of two equal points
    drawTo(event);
    canvas.onpointermove = drawTo;
  };
  canvas.onpointerup = canvas.onpointercancel = () => {
    if (canvas.onpointermove) centred(canvas).toBlob(onchange);
    canvas.onpointermove = null;
  };
  clear();
  return h("div.pad-box", canvas, hint, h("button.quiet", { type: "button", onclick: clear }, "Clear"));
}

/** Returns the drawing as MNIST's are: within 20 x 20 pixels, its centre of mass in the middle of 28 x 28. */
function centred(canvas) {
  const { data } = canvas.getContext("2d").getImageData(0, 0, SIDE, SIDE);
  let [left, top, right, bottom] = [SIDE, SIDE, 0, 0];
  let [mass, massX, massY] = [0, 0, 0];
  for (let y = 0; y < SIDE; y++) {
    for (let x = 0; x < SIDE; x++) {
      const value = data[4 * (y * SIDE + x)];
      if (value === 0) continue;
      [left, right] = [Math.min(left, x), Math.max(right, x + 1)];
      [top, bottom] = [Math.min(top, y), Math.max(bottom, y + 1)];
      [mass, massX, massY] = [mass + value, massX + value * (x + 0.5), massY + value * (y + 0.5)];
    }
  }
  const [width, height] = [right - left, bottom - top];
  const scale = 20 / Math.max(width, height);
  const [x, y] = [14 - scale * (massX / mass - left), 14 - scale * (massY / mass - top)];
  const digit = h("canvas", { width: 28, height: 28 });
  const context = digit.getContext("2d");
  context.fillRect(0, 0, 28, 28);
  context.imageSmoothingQuality = "high";
  context.drawImage(canvas, left, top, width, height, x, y, scale * width, scale * height);
  return digit;
}
