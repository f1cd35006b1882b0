// The draw pad of app.py and webpage.py: strokes by mouse, pen or finger; undo and clear by button
// or key. It runs with `element`, the pad's root, and `trigger`, which gets each finished drawing
// (gradio's tells Python). Whatever changes on the canvas, it dispatches "paint" there.
const canvas = element.querySelector("canvas");
const pen = canvas.getContext("2d", { willReadFrequently: true });
const strokes = [];
let current = null;

function paint() {
  pen.fillStyle = "white";
  pen.fillRect(0, 0, canvas.width, canvas.height);
  pen.strokeStyle = "black";
  pen.lineWidth = canvas.width / 16;
  pen.lineCap = pen.lineJoin = "round";
  for (const stroke of strokes) {
    pen.beginPath();
    pen.moveTo(...stroke[0]);
    stroke.forEach((point) => pen.lineTo(...point));
    pen.stroke();
  }
  canvas.dispatchEvent(new CustomEvent("paint", { detail: { drawing: current !== null } }));
}

function tell() {
  trigger("input", { picture: strokes.length ? canvas.toDataURL("image/png") : null });
}

function change(action) {
  action();
  current = null;
  paint();
  tell();
}

const undo = () => change(() => strokes.pop());
const clear = () => change(() => strokes.splice(0));

function place(event) {
  const box = canvas.getBoundingClientRect();
  const scale = canvas.width / box.width;
  return [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
}

canvas.addEventListener("pointerdown", (event) => {
  if (event.button !== 0 || !event.isPrimary) return;
  canvas.setPointerCapture(event.pointerId);
  strokes.push((current = [place(event)]));
  paint();
});
canvas.addEventListener("pointermove", (event) => {
  if (!current || !event.isPrimary) return;
  current.push(place(event));
  paint();
});
for (const end of ["pointerup", "pointercancel"]) {
  canvas.addEventListener(end, () => {
    if (!current) return;
    current = null;
    paint();
    tell();
  });
}
element.addEventListener("keydown", (event) => {
  if ((event.ctrlKey || event.metaKey) && event.key === "z") undo();
  else if (event.key === "Escape" || event.key === "Delete") clear();
  else return;
  event.preventDefault();
});
element.querySelector(".undo").addEventListener("click", undo);
element.querySelector(".clear").addEventListener("click", clear);
paint();
