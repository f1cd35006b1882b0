// The page of webpage.html: draws with pad.js, answers with webpage.js.
const network = mnist.load(JSON.parse(document.getElementById("network").textContent));
const element = document.getElementById("pad");
const paper = element.querySelector("canvas");
const told = document.getElementById("answer");
const shares = document.getElementById("shares");
const seen = document.getElementById("seen");
const maps = document.getElementById("maps");
document.getElementById("about").textContent = network.words;

const bars = Array.from({ length: 10 }, (_, digit) => {
  const [name, place, share] = ["span", "div", "span"].map((kind) => document.createElement(kind));
  const bar = document.createElement("i");
  name.textContent = digit;
  place.append(bar);
  shares.append(name, place, share);
  return { bar, share };
});

// Feature maps of the convolutions: what the activation after each has given.
const rows = [];
network.kinds.forEach((kind, number) => {
  if (kind !== "conv") return;
  const title = document.createElement("h2"), row = document.createElement("div");
  title.textContent = `Feature maps of convolution ${rows.length + 1}`;
  row.className = "maps";
  maps.append(title, row);
  rows.push({ after: network.kinds[number + 1] === "relu" ? number + 1 : number, row });
});

function paintGrey(canvas, height, width, at) {
  canvas.width = width;
  canvas.height = height;
  const image = new ImageData(width, height);
  for (let place = 0; place < width * height; place++) {
    image.data.fill(at(place), 4 * place, 4 * place + 3);
    image.data[4 * place + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

function showMaps(image) {
  let number = 0;
  mnist.predict(network, image, (kind, { shape, data }) => {
    const place = number++, shown = rows.find((one) => one.after === place);
    if (!shown) return;
    const [height, width, channels] = shape, most = Math.max(...data) || 1;
    while (shown.row.children.length < channels) {
      shown.row.append(document.createElement("canvas"));
    }
    for (let channel = 0; channel < channels; channel++) {
      paintGrey(shown.row.children[channel], height, width, (pixel) =>
        Math.max(0, (255 * data[pixel * channels + channel]) / most),
      );
    }
  });
}

function greyOf(canvas) {
  const { width, height } = canvas;
  const { data } = canvas.getContext("2d").getImageData(0, 0, width, height);
  const pixels = new Uint32Array(data.buffer), grey = new Uint8Array(width * height);
  // The pad is black on white: any channel will do.
  for (let at = 0; at < grey.length; at++) grey[at] = pixels[at] & 255;
  return grey;
}

// While a stroke is drawn, one look is enough; at its end, the drawing is looked at from all sides.
function respond(drawing) {
  const image = mnist.prepared(greyOf(paper), paper.width, paper.height);
  paintGrey(seen, 28, 28, (place) => (image ? image[place] : 0));
  showMaps(image || new Uint8Array(28 * 28));
  const given = image && mnist.answer(network, image, { quickly: drawing });
  told.textContent = !given ? "Draw a digit." : given.sure ? given.digit : "Not sure";
  bars.forEach(({ bar, share }, digit) => {
    const part = given ? 100 * given.probabilities[digit] : 0;
    bar.style.width = `${part}%`;
    share.textContent = given ? `${part.toFixed(1)} %` : "";
  });
}

let waiting = false;
paper.addEventListener("paint", ({ detail }) => {
  if (waiting) return;
  waiting = true;
  requestAnimationFrame(() => {
    waiting = false;
    respond(detail.drawing);
  });
});
