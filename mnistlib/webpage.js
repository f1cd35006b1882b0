// The recognizer in a browser: what preprocess.py and inference.py do, for a drawing on the pad.
// A drawing is dark on white, so nothing has to be done about shadows, forms or lines.
const mnist = (() => {
  "use strict";
  const SIDE = 28, BOX = 20, THINNEST = 2;

  // --- Networks, as inference.py computes them ---------------------------------------------------

  // Half-precision numbers, base64, one array after the other.
  function unpacked(text, shapes) {
    const bytes = Uint8Array.from(atob(text), (letter) => letter.charCodeAt(0));
    const view = new DataView(bytes.buffer);
    let at = 0;
    return shapes.map((shape) => {
      const array = new Float32Array(shape.reduce((a, b) => a * b, 1));
      for (let i = 0; i < array.length; i++, at += 2) array[i] = half(view.getUint16(at, true));
      return array;
    });
  }

  function half(bits) {
    const sign = bits & 0x8000 ? -1 : 1, exponent = (bits >> 10) & 31, share = bits & 1023;
    if (exponent === 0) return sign * share * 2 ** -24;
    return sign * (1 + share / 1024) * 2 ** (exponent - 15);
  }

  // Each step takes and gives {shape: [height, width, channels] or [units], data: Float32Array}.
  const STEPS = {
    scale(x, { factor, offset }) {
      return { shape: x.shape, data: x.data.map((value) => value * factor + offset) };
    },
    crop(x, { crop: [[top, bottom], [left, right]] }) {
      const [height, width, channels] = x.shape;
      const shape = [height - top - bottom, width - left - right, channels];
      const data = new Float32Array(shape[0] * shape[1] * channels);
      for (let row = 0; row < shape[0]; row++) {
        const from = ((row + top) * width + left) * channels;
        data.set(x.data.subarray(from, from + shape[1] * channels), row * shape[1] * channels);
      }
      return { shape, data };
    },
    conv(x, { stride, shapes: [[high, wide, channels, filters]] }, [kernel, bias]) {
      const [height, width] = x.shape;
      const rows = Math.floor((height - high) / stride) + 1;
      const columns = Math.floor((width - wide) / stride) + 1;
      const data = new Float32Array(rows * columns * filters);
      for (let at = 0; at < data.length; at += filters) data.set(bias, at);
      // Pixel by pixel of the input: most are 0 and need nothing.
      for (let y = 0; y < height; y++) {
        for (let x0 = 0; x0 < width; x0++) {
          for (let c = 0; c < channels; c++) {
            const value = x.data[(y * width + x0) * channels + c];
            if (value === 0) continue;
            for (let i = y % stride; i < high; i += stride) {
              const row = (y - i) / stride;
              if (row < 0) break;
              if (row >= rows) continue;
              for (let j = x0 % stride; j < wide; j += stride) {
                const column = (x0 - j) / stride;
                if (column < 0) break;
                if (column >= columns) continue;
                const to = (row * columns + column) * filters;
                const from = ((i * wide + j) * channels + c) * filters;
                for (let f = 0; f < filters; f++) data[to + f] += value * kernel[from + f];
              }
            }
          }
        }
      }
      return { shape: [rows, columns, filters], data };
    },
    pool(x, { size }) {
      const [height, width, channels] = x.shape;
      const shape = [Math.floor(height / size), Math.floor(width / size), channels];
      const data = new Float32Array(shape[0] * shape[1] * channels).fill(-Infinity);
      for (let y = 0; y < shape[0] * size; y++) {
        for (let x0 = 0; x0 < shape[1] * size; x0++) {
          const from = (y * width + x0) * channels;
          const to = (Math.floor(y / size) * shape[1] + Math.floor(x0 / size)) * channels;
          for (let c = 0; c < channels; c++) {
            if (x.data[from + c] > data[to + c]) data[to + c] = x.data[from + c];
          }
        }
      }
      return { shape, data };
    },
    flatten(x) {
      return { shape: [x.data.length], data: x.data };
    },
    dense(x, { shapes: [[inputs, units]] }, [kernel, bias]) {
      const data = Float32Array.from(bias);
      for (let i = 0; i < inputs; i++) {
        const value = x.data[i];
        if (value === 0) continue;
        for (let unit = 0, from = i * units; unit < units; unit++) {
          data[unit] += value * kernel[from + unit];
        }
      }
      return { shape: [units], data };
    },
    relu(x) {
      const data = new Float32Array(x.data.length);
      for (let at = 0; at < data.length; at++) if (x.data[at] > 0) data[at] = x.data[at];
      return { shape: x.shape, data };
    },
    sigmoid(x) {
      return { shape: x.shape, data: x.data.map((value) => 1 / (1 + Math.exp(-value))) };
    },
    softmax(x) {
      const most = Math.max(...x.data);
      const powers = x.data.map((value) => Math.exp(value - most));
      const total = powers.reduce((a, b) => a + b, 0);
      return { shape: x.shape, data: powers.map((value) => value / total) };
    },
  };

  function load({ layers, weights, ...about }) {
    const arrays = unpacked(weights, layers.flatMap((layer) => layer.shapes));
    let place = 0;
    const steps = layers.map((layer) => {
      const own = arrays.slice(place, (place += layer.shapes.length));
      return (x) => STEPS[layer.kind](x, layer, own);
    });
    return { kinds: layers.map((layer) => layer.kind), steps, ...about };
  }

  // All ten probabilities of an image (Uint8Array of 28 × 28); `watch` sees what each step gives.
  function predict(network, image, watch = () => {}) {
    let x = { shape: [SIDE, SIDE, 1], data: Float32Array.from(image) };
    network.steps.forEach((step, number) => {
      x = step(x);
      watch(network.kinds[number], x);
    });
    return x.data;
  }

  function shifted(image, rows, columns) {
    const moved = new Uint8Array(SIDE * SIDE);
    for (let row = Math.max(0, rows); row < Math.min(SIDE, SIDE + rows); row++) {
      for (let column = Math.max(0, columns); column < Math.min(SIDE, SIDE + columns); column++) {
        moved[row * SIDE + column] = image[(row - rows) * SIDE + column - columns];
      }
    }
    return moved;
  }

  // As augment.deslant: sheared until the centres of the rows lie below one another.
  function deslanted(image) {
    const middle = (SIDE - 1) / 2;
    let total = 0, row = 0, column = 0;
    image.forEach((ink, at) => {
      total += ink;
      row += ink * (Math.floor(at / SIDE) - middle);
      column += ink * ((at % SIDE) - middle);
    });
    row /= Math.max(total, 1);
    column /= Math.max(total, 1);
    let spread = 0, together = 0;
    image.forEach((ink, at) => {
      const down = Math.floor(at / SIDE) - middle - row, along = (at % SIDE) - middle - column;
      spread += ink * down * down;
      together += ink * down * along;
    });
    const lean = Math.max(-0.7, Math.min(0.7, together / Math.max(spread, 1)));
    const at = (y, x) => (y < 0 || x < 0 || y >= SIDE || x >= SIDE ? 0 : image[y * SIDE + x]);
    const within = (place) => Math.max(-1, Math.min(SIDE, place));
    return Uint8Array.from(image, (_, place) => {
      const down = Math.floor(place / SIDE) - middle;
      const y = within(down + row + middle);
      const x = within((place % SIDE) + lean * down + column);
      const top = Math.floor(y), left = Math.floor(x), low = y - top, right = x - left;
      const line = (number) => at(number, left) * (1 - right) + at(number, left + 1) * right;
      return Math.round(line(top) * (1 - low) + line(top + 1) * low);
    });
  }

  // As recognizer.Recognizer.answer: the mean over moved views, tempered. Quickly: as it is.
  function answer(network, image, { quickly = false } = {}) {
    const views = network.deslanted && !quickly ? [image, deslanted(image)] : [image];
    const moves = quickly ? [0] : [-1, 0, 1];
    const mean = new Float64Array(10);
    for (const view of views) {
      for (const rows of moves) {
        for (const columns of moves) {
          predict(network, shifted(view, rows, columns)).forEach((share, digit) => {
            mean[digit] += share / (moves.length ** 2 * views.length);
          });
        }
      }
    }
    const powers = mean.map((share) => Math.max(share, 1e-38) ** (1 / network.temperature));
    const total = powers.reduce((a, b) => a + b, 0);
    const probabilities = powers.map((power) => power / total);
    const most = Math.max(...probabilities);
    return { digit: probabilities.indexOf(most), sure: most >= network.threshold, probabilities };
  }

  // --- From a drawing to 28 × 28 pixels, as preprocess.to_mnist does -----------------------------

  // The 28 × 28 image of a drawing in grey (Uint8Array, width × height), or null if it is blank.
  function prepared(grey, width, height) {
    const area = inked(grey, width, height);
    if (!area) return null;
    const { calm, w, h } = area;
    const mask = masked(calm, w, h);
    const group = mask && largestGroup(mask, w, h, Math.max(width, height));
    return group && normalized(group, calm, w, h);
  }

  const inkOf = (grey) => 1 - grey / 255;

  // The part of the picture that holds ink, with a margin.
  function inked(grey, width, height) {
    let left = width, right = -1, top = height, bottom = -1;
    for (let y = 0; y < height; y++) {
      const line = y * width;
      let first = 0, last = width - 1;
      while (first < width && grey[line + first] === 255) first++;
      if (first === width) continue;
      while (grey[line + last] === 255) last--;
      left = Math.min(left, first);
      right = Math.max(right, last);
      top = Math.min(top, y);
      bottom = y;
    }
    if (right < 0) return null;
    const cut = { left: Math.max(0, left - 2), top: Math.max(0, top - 2) };
    const w = Math.min(width, right + 3) - cut.left, h = Math.min(height, bottom + 3) - cut.top;
    const part = new Uint8Array(w * h);
    for (let y = 0; y < h; y++) {
      const from = (y + cut.top) * width + cut.left;
      part.set(grey.subarray(from, from + w), y * w);
    }
    return { calm: withoutGrain(part, w, h), w, h };
  }

  // The median of 3 × 3; what it fades clearly is left to a centre-weighted one.
  function withoutGrain(grey, w, h) {
    const calm = Uint8Array.from(grey);
    let darkest = 255;
    for (let at = 0; at < grey.length; at++) if (grey[at] < darkest) darkest = grey[at];
    const limit = 0.4 * (255 - darkest), near = new Uint8Array(9);
    for (let y = 0; y < h; y++) {
      // At the rim, the nearest pixel counts again.
      const above = Math.max(0, y - 1) * w, line = y * w, below = Math.min(h - 1, y + 1) * w;
      for (let x = 0; x < w; x++) {
        const before = Math.max(0, x - 1), behind = Math.min(w - 1, x + 1);
        const here = grey[line + x];
        // Most places are paper, or the middle of a stroke.
        if (
          here === grey[line + before] && here === grey[line + behind] &&
          here === grey[above + x] && here === grey[below + x] &&
          here === grey[above + before] && here === grey[above + behind] &&
          here === grey[below + before] && here === grey[below + behind]
        ) continue;
        near[0] = grey[above + before];
        near[1] = grey[above + x];
        near[2] = grey[above + behind];
        near[3] = grey[line + before];
        near[4] = here;
        near[5] = grey[line + behind];
        near[6] = grey[below + before];
        near[7] = grey[below + x];
        near[8] = grey[below + behind];
        sorted(near);
        const weighted = Math.min(near[6], Math.max(near[2], here));
        calm[line + x] = Math.abs(weighted - near[4]) > limit ? weighted : near[4];
      }
    }
    return calm;
  }

  // By insertion: a typed array's own sort takes far longer for nine numbers.
  function sorted(few) {
    for (let i = 1; i < few.length; i++) {
      const value = few[i];
      let at = i;
      for (; at > 0 && few[at - 1] > value; at--) few[at] = few[at - 1];
      few[at] = value;
    }
  }

  // Otsu's threshold of 256 bins, of values that are given with how often each is there.
  function otsu(levels, times) {
    const least = levels[0], most = levels[levels.length - 1];
    const bins = 256, step = (most - least) / bins;
    const counts = new Float64Array(bins);
    levels.forEach((level, at) => {
      counts[Math.min(bins - 1, Math.floor((level - least) / step))] += times[at];
    });
    const centre = (bin) => least + (bin + 0.5) * step;
    let total = 0, sum = 0;
    counts.forEach((count, bin) => {
      total += count;
      sum += count * centre(bin);
    });
    let below = 0, belowSum = 0, best = 0, found = 0;
    for (let bin = 0; bin < bins - 1; bin++) {
      below += counts[bin];
      belowSum += counts[bin] * centre(bin);
      const above = total - below;
      if (below === 0 || above === 0) continue;
      const between = below * above * (belowSum / below - (sum - belowSum) / above) ** 2;
      if (between > best) [best, found] = [between, bin];
    }
    return centre(found);
  }

  function masked(calm, w, h) {
    const floor = 0.12, levels = [], times = [], counts = new Int32Array(256);
    let strong = 0;
    for (let at = 0; at < calm.length; at++) counts[calm[at]]++;
    for (let grey = 255; grey >= 0; grey--) {
      if (!counts[grey] || inkOf(grey) <= floor) continue;
      levels.push(inkOf(grey));
      times.push(counts[grey]);
      strong += counts[grey];
    }
    if (strong < 12) return null;
    const most = levels[levels.length - 1];
    const split = most - levels[0] > 0.05 ? otsu(levels, times) : floor;
    const threshold = Math.min(split, 0.6 * most), low = Math.max(floor, 0.7 * threshold);
    const mask = new Uint8Array(w * h), dark = Uint8Array.from(counts, (_, grey) => inkOf(grey) > low);
    for (let at = 0; at < mask.length; at++) mask[at] = dark[calm[at]];
    const { labels, count } = labelled(mask, w, h, false);
    const kept = new Uint8Array(count + 1);
    const black = Uint8Array.from(counts, (_, grey) => inkOf(grey) > threshold);
    for (let at = 0; at < mask.length; at++) if (black[calm[at]]) kept[labels[at]] = 1;
    kept[0] = 0;
    for (let at = 0; at < mask.length; at++) mask[at] = kept[labels[at]];
    return mask;
  }

  // Connected pieces, numbered from 1; with `corners`, pixels that meet at a corner are connected.
  function labelled(mask, w, h, corners) {
    const labels = new Int32Array(w * h), stack = new Int32Array(w * h);
    let count = 0;
    for (let start = 0; start < mask.length; start++) {
      if (labels[start] || !mask[start]) continue;
      let height = 0;
      labels[start] = ++count;
      stack[height++] = start;
      while (height) {
        const at = stack[--height], x = at % w, y = (at - x) / w;
        for (let row = Math.max(0, y - 1); row <= y + 1 && row < h; row++) {
          for (let column = Math.max(0, x - 1); column <= x + 1 && column < w; column++) {
            const next = row * w + column;
            if (labels[next] || !mask[next]) continue;
            if (!corners && row !== y && column !== x) continue;
            labels[next] = count;
            stack[height++] = next;
          }
        }
      }
    }
    return { labels, count };
  }

  // As strokes.groups: pieces that belong to one digit together; of several digits, the largest.
  function largestGroup(mask, w, h, side) {
    const { labels, count } = labelled(mask, w, h, true);
    let strokes = [];
    for (let number = 1; number <= count; number++) {
      strokes.push({ number, top: h, bottom: 0, left: w, right: 0, area: 0 });
    }
    for (let y = 0, at = 0; y < h; y++) {
      for (let x = 0; x < w; x++, at++) {
        if (!labels[at]) continue;
        const stroke = strokes[labels[at] - 1];
        stroke.area++;
        if (y < stroke.top) stroke.top = y;
        if (y >= stroke.bottom) stroke.bottom = y + 1;
        if (x < stroke.left) stroke.left = x;
        if (x >= stroke.right) stroke.right = x + 1;
      }
    }
    for (const stroke of strokes) {
      stroke.size = Math.max(stroke.bottom - stroke.top, stroke.right - stroke.left);
    }
    strokes = strokes.filter((one) => !strokes.some((other) => frames(one, other)));
    const tallest = Math.max(0, ...strokes.map((stroke) => stroke.size));
    if (tallest < Math.max(10, 0.02 * side)) return null;
    const largest = Math.max(...strokes.map((stroke) => stroke.area));
    strokes = strokes.filter((s) => s.size >= 0.12 * tallest && s.area >= 0.02 * largest);
    strokes.sort((one, other) => other.area - one.area || one.number - other.number);
    const groups = [];
    for (const stroke of strokes) {
      const home = groups.find((group) => group.some((other) => belongs(stroke, other)));
      if (home) home.push(stroke);
      else groups.push([stroke]);
    }
    const found = groups.map((group) => {
      const taken = new Uint8Array(count + 1), own = new Uint8Array(w * h);
      for (const stroke of group) taken[stroke.number] = 1;
      for (let at = 0; at < own.length; at++) own[at] = taken[labels[at]];
      const box = {
        left: Math.min(...group.map((stroke) => stroke.left)),
        top: Math.min(...group.map((stroke) => stroke.top)),
        right: Math.max(...group.map((stroke) => stroke.right)),
        bottom: Math.max(...group.map((stroke) => stroke.bottom)),
      };
      return { own, box, area: group.reduce((sum, one) => sum + one.area, 0) };
    });
    const longest = Math.max(...found.map((group) => long(group.box)));
    const digits = found.filter((group) => {
      if (long(group.box) < 0.25 * longest) return false;
      // One disc that covers most of it is a blot.
      group.depth = depths(group.own, w, h);
      let deepest = 0;
      for (const depth of group.depth) if (depth > deepest) deepest = depth;
      return 2 * deepest <= 0.7 * long(group.box);
    });
    return digits.reduce((best, group) => (best && best.area >= group.area ? best : group), null);
  }

  function frames(one, other) {
    return (
      one.left < other.left && other.right < one.right && one.top < other.top &&
      other.bottom < one.bottom && other.size >= 0.35 * one.size
    );
  }

  function belongs(one, other) {
    const across = Math.min(one.right, other.right) - Math.max(one.left, other.left);
    const apart = Math.max(one.top, other.top) - Math.min(one.bottom, other.bottom);
    const taller = Math.max(one.size, other.size);
    const narrower = Math.min(one.right - one.left, other.right - other.left);
    if (across >= 0.4 * narrower) return apart <= 0.4 * taller;
    return -across <= 0.1 * taller && apart <= 0 && Math.min(one.size, other.size) < 0.6 * taller;
  }

  function edges(mask, w, h) {
    const box = { left: w, top: h, right: 0, bottom: 0 };
    for (let y = 0, at = 0; y < h; y++) {
      for (let x = 0; x < w; x++, at++) {
        if (!mask[at]) continue;
        if (x < box.left) box.left = x;
        if (y < box.top) box.top = y;
        if (x >= box.right) box.right = x + 1;
        if (y >= box.bottom) box.bottom = y + 1;
      }
    }
    return box;
  }

  const long = (box) => Math.max(box.right - box.left, box.bottom - box.top);

  // Of each pixel that is set, the distance to the nearest that is not; outside, none is.
  function depths(mask, w, h) {
    const down = new Int32Array(w * h), depth = new Float64Array(w * h);
    for (let x = 0; x < w; x++) {
      for (let y = 0, run = 0; y < h; y++) {
        run = mask[y * w + x] ? run + 1 : 0;
        down[y * w + x] = run;
      }
      for (let y = h - 1, run = 0; y >= 0; y--) {
        run = mask[y * w + x] ? run + 1 : 0;
        down[y * w + x] = Math.min(down[y * w + x], run);
      }
    }
    for (let y = 0; y < h; y++) {
      for (let x = 0; x < w; x++) {
        let best = down[y * w + x] ** 2;
        if (!best) continue;
        for (let step = 1; step * step < best; step++) {
          const before = x - step < 0 ? 0 : down[y * w + x - step];
          const behind = x + step >= w ? 0 : down[y * w + x + step];
          const far = before < behind ? before : behind;
          if (step * step + far * far < best) best = step * step + far * far;
        }
        depth[y * w + x] = Math.sqrt(best);
      }
    }
    return depth;
  }

  // The ink below which nine tenths of it lie, of so many pixels of each grey.
  function ninetieth(counts, total) {
    const place = 0.9 * (total - 1), below = Math.floor(place);
    let grey = 256, passed = 0;
    const next = (until) => {
      while (passed <= until) passed += counts[--grey];
      return inkOf(grey);
    };
    const low = next(below), high = next(Math.min(total - 1, below + 1));
    return low + (high - low) * (place - below);
  }

  // Into the frame: scaled into 20 × 20, the centre of mass in the middle of 28 × 28.
  function normalized({ own, box, depth, area }, calm, w, h) {
    const longest = long(box), around = Math.max(1, Math.floor(longest / 20));
    const counts = new Int32Array(256);
    let deep = 0;
    for (let at = 0; at < own.length; at++) {
      if (!own[at]) continue;
      counts[calm[at]]++;
      deep += depth[at];
    }
    const peak = ninetieth(counts, area);
    const missing = ((THINNEST - (4 * (deep / area) * BOX) / longest) / 2) * (longest / BOX);
    // The digit with a margin: `room` in all, of which `around` is taken from the picture.
    const room = around + Math.floor(longest / 8);
    const width = box.right - box.left + 2 * room, height = box.bottom - box.top + 2 * room;
    const weight = new Float32Array(width * height);
    let group = new Uint8Array(width * height);
    for (let y = 0; y < box.bottom - box.top; y++) {
      for (let x = 0; x < box.right - box.left; x++) {
        const from = (y + box.top) * w + x + box.left;
        group[(y + room) * width + x + room] = own[from];
      }
    }
    const near = widened(group, width, height, around), down = room - box.top, along = room - box.left;
    for (let row = Math.max(0, box.top - around); row < Math.min(h, box.bottom + around); row++) {
      const last = Math.min(w, box.right + around);
      for (let column = Math.max(0, box.left - around); column < last; column++) {
        const light = calm[row * w + column], at = (row + down) * width + column + along;
        if (light < 255 && near[at]) weight[at] = Math.min(1, inkOf(light) / peak);
      }
    }
    if (missing > 0) {
      group = thickened(group, width, height, missing);
      for (let at = 0; at < group.length; at++) if (group[at]) weight[at] = 1;
    }
    const grown = edges(group, width, height), side = (long(grown) * SIDE) / BOX;
    let total = 0, row = 0, column = 0;
    const bytes = new Uint8Array(weight.length);
    for (let y = 0, at = 0; y < height; y++) {
      for (let x = 0; x < width; x++, at++) {
        const value = weight[at];
        if (value === 0) continue;
        total += value;
        column += value * (x + 0.5);
        row += value * (y + 0.5);
        bytes[at] = Math.round(255 * value);
      }
    }
    const middle = 14.5 / SIDE;
    const left = column / total - middle * side, top = row / total - middle * side;
    return reduced(bytes, width, height, left, top, side / SIDE);
  }

  // A square maximum filter: set where anything within `reach` pixels is.
  function widened(mask, w, h, reach) {
    const wide = new Uint8Array(w * h), both = new Uint8Array(w * h);
    for (let y = 0; y < h; y++) {
      for (let x = 0, until = -1; x < w; x++) {
        if (!mask[y * w + x]) continue;
        const end = Math.min(w - 1, x + reach);
        wide.fill(1, y * w + Math.max(0, x - reach, until + 1), y * w + end + 1);
        until = end;
      }
    }
    const last = new Int32Array(w).fill(-h);
    for (let y = 0; y < h + reach; y++) {
      const at = (y - reach) * w;
      for (let x = 0; x < w; x++) {
        if (y < h && wide[y * w + x]) last[x] = y;
        if (y >= reach && last[x] >= y - 2 * reach) both[at + x] = 1;
      }
    }
    return both;
  }

  // Set what is no further than `reach` from what is set, row by row.
  function thickened(mask, w, h, reach) {
    const to = new Uint8Array(w * h), far = Math.floor(reach);
    for (let down = -far; down <= far; down++) {
      const wide = Math.floor(Math.sqrt(reach * reach - down * down));
      for (let y = Math.max(0, -down); y < Math.min(h, h - down); y++) {
        for (let x = 0, until = -1; x < w; x++) {
          if (mask[y * w + x]) {
            // From behind what is set already.
            const end = Math.min(w - 1, x + wide);
            for (let at = Math.max(0, x - wide, until + 1); at <= end; at++) {
              to[(y + down) * w + at] = 1;
            }
            until = end;
          }
        }
      }
    }
    return to;
  }

  // Box-filtered to 28 × 28 as Pillow does, first along, then down; outside lies paper.
  function reduced(bytes, w, h, left, top, scale) {
    const taps = (start) =>
      Array.from({ length: SIDE }, (_, place) => {
        const centre = start + (place + 0.5) * scale;
        const low = Math.trunc(centre - scale / 2 + 0.5 + 4096) - 4096;
        const high = Math.trunc(centre + scale / 2 + 0.5 + 4096) - 4096;
        const kept = [];
        for (let at = low; at < high; at++) {
          const x = (at - centre + 0.5) / scale;
          if (x > -0.5 && x <= 0.5) kept.push(at);
        }
        return kept;
      });
    const along = taps(left), down = taps(top);
    const across = new Uint8Array(SIDE * h), image = new Uint8Array(SIDE * SIDE);
    for (let y = 0; y < h; y++) {
      along.forEach((kept, place) => {
        let sum = 0;
        for (const at of kept) if (at >= 0 && at < w) sum += bytes[y * w + at];
        across[y * SIDE + place] = Math.floor(sum / kept.length + 0.5);
      });
    }
    down.forEach((kept, place) => {
      for (let x = 0; x < SIDE; x++) {
        let sum = 0;
        for (const at of kept) if (at >= 0 && at < h) sum += across[at * SIDE + x];
        image[place * SIDE + x] = Math.floor(sum / kept.length + 0.5);
      }
    });
    return image;
  }

  return { load, predict, answer, prepared };
})();
