// What `helpers` computes, for the page; the names are those in Python. A picture is an array of
// pixels in [0, 1], row by row; of several channels one comes after the other.

// Whole numbers from text: zigzag, four planes of bytes, deflated, base64 (see pack in Python).
async function unpack(text) {
  const deflated = new Blob([Uint8Array.from(atob(text), c => c.charCodeAt(0))]);
  const stream = deflated.stream().pipeThrough(new DecompressionStream('deflate'));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  const n = bytes.length / 4;
  return Int32Array.from({ length: n }, (_, i) => {
    const low = bytes[i] | (bytes[i + n] << 8);
    const zigzag = low | (bytes[i + 2 * n] << 16) | (bytes[i + 3 * n] << 24);
    return (zigzag >>> 1) ^ -(zigzag & 1);
  });
}

async function unpack_images(text, pixels) {
  const grey = Float32Array.from(await unpack(text), value => value / 255);
  return Array.from({ length: grey.length / pixels }, (_, n) =>
    grey.subarray(n * pixels, (n + 1) * pixels),
  );
}

async function unpack_network(layers) {
  const unpacked = layers.map(async layer => {
    if (!layer.weight) return layer;
    const [weight, bias] = await Promise.all([layer.weight, layer.bias].map(unpack));
    const scaled = numbers => Float32Array.from(numbers, number => number * layer.step);
    return { ...layer, weight: scaled(weight), bias: scaled(bias) };
  });
  return Promise.all(unpacked);
}

const each = f => (layer, x) => ({ ...x, values: x.values.map(value => f(value, layer)) });
const sigmoid = x => 1 / (1 + Math.exp(-x));

// A layer makes the next x from x = { values, channels, rows, columns }.
const LAYERS = {
  Identity: (_, x) => x,
  Tanh: each(Math.tanh),
  ReLU: each(x => Math.max(0, x)),
  LeakyReLU: each((x, { slope }) => (x < 0 ? slope * x : x)),
  SiLU: each(x => x * sigmoid(x)),
  Sigmoid: each(sigmoid),
  Clip: each(x => Math.min(1, Math.max(0, x))),
  Flatten: (_, x) => x,
  Softmax(_, { values }) {
    const most = Math.max(...values);
    const weights = values.map(value => Math.exp(value - most));
    const total = weights.reduce((sum, weight) => sum + weight, 0);
    return { values: weights.map(weight => weight / total) };
  },

  Linear({ weight, bias }, { values: x }) {
    const values = Float32Array.from(bias);
    for (let o = 0, w = 0; o < bias.length; o++) {
      let sum = 0;
      for (let i = 0; i < x.length; i++) sum += weight[w++] * x[i];
      values[o] += sum;
    }
    return { values };
  },

  // Kernels of 3 x 3, a border of zeros. With it what one weight meets is one run of numbers.
  Conv2d({ weight, bias }, { values: x, channels, rows, columns }) {
    const wide = columns + 2;
    const area = wide * (rows + 2);
    const padded = new Float64Array(channels * area);
    for (let i = 0; i < channels * rows; i++) {
      const start = Math.floor(i / rows) * area + ((i % rows) + 1) * wide + 1;
      padded.set(x.subarray(i * columns, (i + 1) * columns), start);
    }
    const sums = new Float64Array(rows * wide);
    const values = new Float32Array(bias.length * rows * columns);
    for (let o = 0, k = 0; o < bias.length; o++) {
      sums.fill(bias[o]);
      for (let start = 0; start < padded.length; start += area, k += 9) {
        const [a, b, c, d, e, f, g, h, i] = weight.subarray(k, k + 9);
        for (let p = 0, q = start; p < rows * wide - 2; p++, q++) {
          const r = q + wide;
          const s = r + wide;
          sums[p] +=
            a * padded[q] +
            b * padded[q + 1] +
            c * padded[q + 2] +
            d * padded[r] +
            e * padded[r + 1] +
            f * padded[r + 2] +
            g * padded[s] +
            h * padded[s + 1] +
            i * padded[s + 2];
        }
      }
      for (let row = 0; row < rows; row++) {
        const line = sums.subarray(row * wide, row * wide + columns);
        values.set(line, (o * rows + row) * columns);
      }
    }
    return { values, channels: bias.length, rows, columns };
  },

  PixelUnshuffle: ({ by }, { values, channels, rows, columns }) =>
    rearranged(channels * by * by, rows / by, columns / by, (channel, row, column) => {
      const [k, from] = [channel % (by * by), Math.floor(channel / (by * by))];
      const r = row * by + Math.floor(k / by);
      return values[(from * rows + r) * columns + column * by + (k % by)];
    }),
  PixelShuffle: ({ by }, { values, channels, rows, columns }) =>
    rearranged(channels / (by * by), rows * by, columns * by, (channel, row, column) => {
      const from = (channel * by + (row % by)) * by + (column % by);
      return values[(from * rows + Math.floor(row / by)) * columns + Math.floor(column / by)];
    }),
  MaxPool2d: ({ by }, { values, channels, rows, columns }) =>
    rearranged(channels, rows / by, columns / by, (channel, row, column) => {
      let most = -Infinity;
      for (let k = 0; k < by * by; k++) {
        const r = row * by + Math.floor(k / by);
        most = Math.max(most, values[(channel * rows + r) * columns + column * by + (k % by)]);
      }
      return most;
    }),
  Upsample: ({ by }, { values, channels, rows, columns }) =>
    rearranged(channels, rows * by, columns * by, (channel, row, column) => {
      const r = channel * rows + Math.floor(row / by);
      return values[r * columns + Math.floor(column / by)];
    }),

  // What is kept on the way: the code, and what a U-Net hands across.
  Code(_, x, kept) {
    kept.code = x.values;
    return x;
  },
  Keep(_, x, kept) {
    kept.across = x;
    return x;
  },
  Concatenate(_, x, { across }) {
    const values = new Float32Array(x.values.length + across.values.length);
    values.set(x.values);
    values.set(across.values, x.values.length);
    return { ...x, values, channels: x.channels + across.channels };
  },
};

function rearranged(channels, rows, columns, value) {
  const values = new Float32Array(channels * rows * columns);
  let i = 0;
  for (let channel = 0; channel < channels; channel++)
    for (let row = 0; row < rows; row++)
      for (let column = 0; column < columns; column++) values[i++] = value(channel, row, column);
  return { values, channels, rows, columns };
}

// inputs: a picture, or the code for a decoder. Gives the outputs, and the code on the way.
function run(network, inputs, [rows, columns] = []) {
  const kept = {};
  let x = { values: Float32Array.from(inputs), channels: 1, rows, columns };
  for (const layer of network) x = LAYERS[layer.type](layer, x, kept);
  return { outputs: x.values, code: kept.code };
}

// ---- noise: the same seed, the same noise ----
function generator(seed) {
  let state = seed; // mulberry32, public domain: uniform numbers in [0, 1)
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

function salt_and_pepper(image, p, random) {
  return Float32Array.from(image, value => {
    const u = random();
    return u < p / 2 ? 1 : u < p ? 0 : value;
  });
}

function gaussian(image, std, random) {
  return Float32Array.from(image, value => {
    const radius = Math.sqrt(-2 * Math.log(1 - random())); // Box and Muller 1958
    const normal = radius * Math.cos(2 * Math.PI * random());
    return Math.min(1, Math.max(0, value + std * normal));
  });
}

// ---- measures ----
function pixel_errors(pixels, image) {
  let count = 0;
  for (let p = 0; p < image.length; p++) count += pixels[p] > 0.5 !== image[p] > 0.5;
  return count;
}

function mean_squared_error(pixels, image) {
  let sum = 0;
  for (let p = 0; p < image.length; p++) sum += (pixels[p] - image[p]) ** 2;
  return sum / image.length;
}

const psnr = (pixels, image) => -10 * Math.log10(mean_squared_error(pixels, image));

// The index of the nearest image, and how far it is: of letters the number of different pixels,
// of others the root mean squared difference.
function nearest(picture, images, letters) {
  let index = 0;
  let least = Infinity;
  images.forEach((image, n) => {
    let sum = 0;
    for (let p = 0; p < image.length && sum < least; p++)
      sum += letters ? picture[p] > 0.5 !== image[p] > 0.5 : (picture[p] - image[p]) ** 2;
    if (sum < least) [index, least] = [n, sum];
  });
  return { index, distance: letters ? least : Math.sqrt(least / picture.length) };
}

function posterior(noisy, letters, p) {
  const f = Math.max(p / 2, 1e-30);
  const weight = Math.log(f / (1 - f)); // of a pixel that differs
  const scores = letters.map(letter => weight * pixel_errors(noisy, letter));
  const most = Math.max(...scores);
  const shares = scores.map(score => Math.exp(score - most));
  const total = shares.reduce((sum, share) => sum + share, 0);
  return shares.map(share => share / total);
}

function bayes_denoiser(noisy, letters, p) {
  const shares = posterior(noisy, letters, p);
  return noisy.map((_, pixel) =>
    Math.min(
      1,
      shares.reduce((sum, share, n) => sum + share * letters[n][pixel], 0),
    ),
  );
}
