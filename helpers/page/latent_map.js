// A map of the codes with a cursor, what is decoded there, and the areas of the nearest images.
const { codes, labels, bounds, letters } = data;
const [d, [rows, columns]] = [bounds.length, data.shape];
let [decoder, images, thumbnails] = []; // images: one array of pixels each

const decode = code => run(decoder, code).outputs;
const nearest_image = picture => nearest(picture, images, letters);

// ---- where things are: SIDE x SIDE pixels; the plane in it, with room for axes and labels ----
const [SIDE, LEFT, TOP, PLANE, CELLS] = [420, 26, 14, 380, 128];
const code = [...data.start];
let [right, up] = data.dimensions;
const width_of = i => bounds[i][1] - bounds[i][0];
const x = value => LEFT + (PLANE * (value - bounds[right][0])) / width_of(right);
const y = value => TOP + (PLANE * (bounds[up][1] - value)) / width_of(up);
const front = sharp($('map'), SIDE, SIDE);
const back = sharp(element('canvas'), SIDE, SIDE);
const ground = context(element('canvas'), CELLS, CELLS);

// ---- behind the codes: which image is nearest to what is decoded. Coarse cells first, finer ones
// where two areas meet, in short slices: the page stays quick. What comes in between starts it
// anew, but not before the first pass is shown ----
const cells = {
  index: new Int16Array(CELLS * CELLS).fill(-1),
  far: new Float32Array(CELLS * CELLS),
};
let [running, again] = [false, false];

function inside(last, far, row, column, side) {
  const here = row * CELLS + column;
  for (const r of [row - side, row, row + side])
    for (const c of [column - side, column, column + side]) {
      const other = clamp(r, 0, CELLS - 1) * CELLS + clamp(c, 0, CELLS - 1);
      if (last[other] !== last[here] || Math.abs(far[other] - far[here]) >= 0.04) return false;
    }
  return true;
}

function* passes(here) {
  for (const step of [8, 4, 2, 1]) {
    const last = [...cells.index];
    const far = [...cells.far];
    for (let row = 0; row < CELLS; row += step)
      for (let column = 0; column < CELLS; column += step) {
        if (step < 8 && inside(last, far, row, column, 2 * step)) continue;
        here[right] = bounds[right][0] + ((column + step / 2) / CELLS) * width_of(right);
        here[up] = bounds[up][1] - ((row + step / 2) / CELLS) * width_of(up);
        const { index, distance } = nearest_image(decode(here));
        const grey = letters ? distance > 0 : clamp(distance / 0.2, 0, 1);
        for (let r = row; r < row + step; r++) {
          const start = r * CELLS + column;
          cells.index.fill(index, start, start + step);
          cells.far.fill(grey, start, start + step);
        }
        yield;
      }
    draw_back();
    draw();
    if (again) return;
  }
}

function basins() {
  again = running;
  if (running) return;
  running = true;
  const work = passes([...code]);
  (function slice() {
    for (const end = performance.now() + 8; performance.now() < end; )
      if (work.next().done) {
        running = false;
        if (again) basins();
        return;
      }
    requestAnimationFrame(slice);
  })();
}

const rgb = name => colour[name].match(/\w\w/g).map(byte => parseInt(byte, 16));
const mix = (a, b, share) => a.map((value, c) => value + share * (b[c] - value));
let area = -1; // the image whose area is coloured: the nearest at the cursor

function draw_ground() {
  const [paper, far, line, focus] = ['paper', 'far', 'line', 'focus'].map(rgb);
  const picture = ground.createImageData(CELLS, CELLS);
  const { index } = cells;
  for (let i = 0; i < CELLS * CELLS; i++) {
    const beside = i % CELLS && index[i] !== index[i - 1];
    const edge = beside || (i >= CELLS && index[i] !== index[i - CELLS]);
    const soft = mix(paper, far, cells.far[i]);
    const inner = index[i] === area ? mix(soft, focus, 0.3) : soft;
    picture.data.set([...(edge ? line : inner), 255], 4 * i);
  }
  ground.putImageData(picture, 0, 0);
}

function draw_back() {
  draw_ground();
  const zoom = clamp(SIDE / ($('map').clientWidth || SIDE), 1, 1.5); // letters stay readable
  Object.assign(back, { fillStyle: colour.paper, imageSmoothingEnabled: false });
  back.fillRect(0, 0, SIDE, SIDE);
  back.drawImage(ground.canvas, LEFT, TOP, PLANE, PLANE);
  Object.assign(back, { strokeStyle: colour.line, fillStyle: colour.ink, textAlign: 'center' });
  back.font = `${12 * zoom}px system-ui, sans-serif`;
  back.strokeRect(LEFT, TOP, PLANE, PLANE);
  for (const [i, left, top, turn] of [
    [right, LEFT + PLANE / 2, SIDE - 8, 0],
    [up, 14, TOP + PLANE / 2, -Math.PI / 2],
  ]) {
    back.save();
    back.translate(left, top);
    back.rotate(turn);
    back.fillText(`z${i + 1}`, 0, 0);
    back.fillText(bounds[i][0], 18 - PLANE / 2, 0);
    back.fillText(bounds[i][1], PLANE / 2 - 18, 0);
    back.restore();
  }
  const places = codes.map(point => [x(point[right]), y(point[up])]);
  scatter(back, places, thumbnails, 14 * zoom);
}

// ---- the clouds of a variational autoencoder: mu and sigma of the chosen image, and draws ----
let chosen = nearest(data.start, codes, false).index;
let [draws, seed] = [[], 0]; // codes

function draw_cloud() {
  const [mu, sigma] = [codes[chosen], data.sigmas[chosen]];
  const [wide, high] = [right, up].map(i => (2 * PLANE * sigma[i]) / width_of(i));
  Object.assign(front, { strokeStyle: colour.point, fillStyle: colour.point, lineWidth: 2 });
  front.save();
  front.beginPath();
  front.rect(LEFT, TOP, PLANE, PLANE);
  front.clip();
  front.beginPath();
  front.ellipse(x(mu[right]), y(mu[up]), wide, high, 0, 0, 7);
  front.stroke();
  for (const z of draws) front.fillRect(x(z[right]) - 3, y(z[up]) - 3, 6, 6);
  front.restore();
}

function draw_eight(mu, sigma, from) {
  const random = generator(++seed);
  draws = Array.from({ length: 8 }, () => mu.map((m, i) => m + sigma[i] * normal(random)));
  const pictures = draws.map((z, n) => {
    const picture = decode(z);
    const name = labels[nearest_image(picture).index];
    return paint(labelled(`draw ${n + 1}, nearest ${name}`, 50, { className: 'pixels' }), picture);
  });
  $('draws').replaceChildren(...pictures);
  $('drawn').textContent = `Eight draws from ${from}, squares on the map.`;
  draw();
}

function choose_image(index) {
  chosen = index;
  draws = [];
  $('draws').replaceChildren();
  $('drawn').textContent = `The ellipse is the cloud of ${labels[index]}: two sigma around mu.`;
}

// ---- one move: the map with its cursor, the decoded image, the nearest one, the words ----
function words({ index, distance }) {
  const [name, far] = [labels[index], distance.toFixed(3)];
  if (!letters)
    return `The nearest of the set is ${name}, at ${far} (root mean square of a pixel).`;
  if (!distance) return `This is the letter ${name}.`;
  const differs = `differs in ${plural(distance, 'pixel')} (thresholded at 0.5)`;
  return `Not a letter of the set: the nearest one, ${name}, ${differs}.`;
}

function draw() {
  const picture = decode(code);
  const found = nearest_image(picture);
  if (found.index !== area) {
    area = found.index;
    draw_back();
  }
  front.drawImage(back.canvas, 0, 0, SIDE, SIDE);
  if (data.sigmas) draw_cloud();
  cross(front, x(code[right]), y(code[up]));
  paint($('decoded'), picture);
  paint($('nearest'), images[found.index]);
  const at = code.map((value, i) => `z${i + 1} = ${value.toFixed(2)}`).join(', ');
  const text = `${at}. ${words(found)}`;
  $('where').textContent = text;
  const [min, max] = bounds[right];
  for (const [name, value] of Object.entries({ min, max, now: code[right].toFixed(2), text }))
    $('map').setAttribute(`aria-value${name}`, value);
}

// changes: {dimension: value, ...}
function go(changes) {
  for (const [i, value] of Object.entries(changes)) code[i] = clamp(value, ...bounds[i]);
  $('images').value = ''; // the code is that of an image no more
  draw();
}

const step = i => data.steps[i];

// ---- mouse and touch, keys, lists and sliders ----
function follow([across, down]) {
  const to_right = ((SIDE * across - LEFT) / PLANE) * width_of(right);
  const upwards = ((SIDE * down - TOP) / PLANE) * width_of(up);
  go({ [right]: bounds[right][0] + to_right, [up]: bounds[up][1] - upwards });
}

function press(event) {
  const ways = { ArrowLeft: [right, -1], ArrowRight: [right, 1], ArrowDown: [up, -1] };
  Object.assign(ways, { ArrowUp: [up, 1], PageDown: [up, -10], PageUp: [up, 10] });
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.key === 'Home') show(data.start);
  else if (event.key in ways) {
    const [i, steps] = ways[event.key];
    go({ [i]: code[i] + steps * step(i) * (event.shiftKey ? 10 : 1) });
  } else if (event.key !== 'End') return; // of a slider no key scrolls the page
  event.preventDefault();
}

function held_slider([min, max], i) {
  const told = () => ` z${i + 1} (code, no unit): ${code[i].toFixed(2)}`;
  const text = element('span', { textContent: told() });
  const input = element('input', { type: 'range', min, max, step: step(i), value: code[i] });
  input.dataset.lmSuppressShortcuts = 'true';
  input.addEventListener('input', () => {
    go({ [i]: input.value * 1 });
    text.textContent = told();
    basins();
  });
  return element('label', {}, [input, text]);
}

// Everything: at the start, for another plane, and for other values of the dimensions held.
function show(to = []) {
  draw_back();
  go(to);
  const held = bounds.map(held_slider).filter((_, i) => i !== right && i !== up);
  $('held').replaceChildren(...held);
  if (d > 2 || cells.index[0] < 0) basins();
}

function choose() {
  const [r, u] = [$('right'), $('up')].map(select => select.value * 1);
  [right, up] = r === u ? [up, right] : [r, u]; // both the same: the two change places
  [$('right').value, $('up').value] = [right, up];
  show();
}

async function start() {
  decoder = await unpack_network(data.decoder);
  images = await unpack_images(data.images, rows * columns);
  thumbnails = images.map(image => paint(element('canvas'), image));
  fill($('images'), labels);
  $('images').prepend(element('option', { text: 'choose', value: '', disabled: true }));
  $('images').value = '';
  for (const [id, value] of Object.entries({ right, up })) {
    fill(
      $(id),
      bounds.map((_, i) => `z${i + 1}`),
    );
    $(id).value = value;
    $(id).addEventListener('change', choose);
  }
  $('plane').hidden = d === 2;
  on_pointer($('map'), follow, follow);
  on('map', 'keydown', press);
  on('images', 'change', ({ target }) => {
    const { value } = target;
    choose_image(value * 1);
    show(codes[value]);
    target.value = value;
  });
  $('cloud').hidden = !data.sigmas;
  choose_image(chosen);
  const cloud = () => [codes[chosen], data.sigmas[chosen], `the cloud of ${labels[chosen]}`];
  on('from_cloud', 'click', () => draw_eight(...cloud()));
  const all = value => code.map(() => value);
  on('from_prior', 'click', () => draw_eight(all(0), all(1), 'the prior'));
}

const shared = {
  state: () => code.map(value => value.toFixed(3)).join(),
  restore(text) {
    const to = text.split(',').map(Number);
    if (to.length === d && to.every(Number.isFinite)) go(to);
  },
};
const ready = live(start, show, shared);
