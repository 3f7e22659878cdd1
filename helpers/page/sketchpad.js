// A picture to draw on, and what each model makes of it.
const { labels, letters, models } = data;
const [rows, columns] = data.shape;
const noisy_level = data.level !== null;
const SIDE = letters ? 40 : 10; // of a pixel of the drawing
const MAP = 180;
const pad = sharp($('pad'), SIDE * columns, SIDE * rows);
$('pad').style.width = `${SIDE * columns}px`;
let [images, classifier, drawing, panels] = []; // panels: name -> { picture, caption, map }
let [chosen, seed, level] = [data.start, 1, data.level ?? 0];
let cursor = [Math.floor(rows / 2), Math.floor(columns / 2)];

// What is shown: name -> pixels, the network's code and score.
function results() {
  const random = generator(seed);
  const noisy = (letters ? salt_and_pepper : gaussian)(drawing, level, random);
  const found = {};
  if (noisy_level) found[letters ? 'do nothing' : 'noisy'] = { pixels: noisy };
  if (noisy_level && letters) {
    const { index } = nearest(noisy, images, letters);
    found['nearest letter'] = { pixels: images[index], note: labels[index] };
    found['Bayes (bound)'] = { pixels: bayes_denoiser(noisy, images, level) };
  }
  for (const { name, network, threshold } of models) {
    const { outputs, code } = run(network, noisy, data.shape);
    found[name] = { pixels: outputs, code };
    if (threshold === null) continue;
    const score = mean_squared_error(outputs, noisy);
    const [told, limit] = [score, threshold].map(value => value.toFixed(3));
    const verdict = score > threshold ? 'an outlier' : 'not an outlier';
    found[name].note = `outlier score ${told}, threshold ${limit}: ${verdict}`;
  }
  return { noisy, found };
}

function measure({ pixels, note }) {
  const meant = letters && noisy_level ? images[chosen] : drawing;
  const wrong = plural(pixel_errors(pixels, meant), 'wrong pixel');
  const parts = [letters ? wrong : `PSNR ${psnr(pixels, meant).toFixed(1)} dB`];
  if (classifier) {
    const shares = [...run(classifier, pixels, data.shape).outputs];
    const digit = shares.indexOf(Math.max(...shares));
    parts.push(`read as ${digit} (${Math.round(100 * shares[digit])} %)`);
  }
  return [...parts, ...(note ? [note] : [])];
}

function update(said = '') {
  const { noisy, found } = results();
  const spoken = [];
  for (const [name, result] of Object.entries(found)) {
    const { picture, caption, map } = panels[name];
    const text = measure(result);
    paint(picture, result.pixels);
    caption.textContent = [name, ...text].join('\n');
    picture.setAttribute('aria-label', `${name}: ${text.join(', ')}`);
    spoken.push(`${name}: ${text.join(', ')}`);
    if (map) draw_map(map, result.code);
  }
  if (noisy_level && letters) spoken.push(draw_posterior(posterior(noisy, images, level)));
  $('where').textContent = [said, ...spoken].filter(Boolean).join('. ');
  draw_pad();
}

function draw_pad() {
  const small = paint(element('canvas'), drawing);
  pad.imageSmoothingEnabled = false;
  pad.drawImage(small, 0, 0, SIDE * columns, SIDE * rows);
  Object.assign(pad, { strokeStyle: colour.line, lineWidth: letters ? 1 : 0.3 });
  for (let r = 0; r <= rows; r++) pad.strokeRect(0, 0, SIDE * columns, SIDE * r);
  for (let c = 0; c <= columns; c++) pad.strokeRect(0, 0, SIDE * c, SIDE * rows);
  const [top, left] = cursor.map(place => SIDE * place + 1.5);
  Object.assign(pad, { strokeStyle: '#fff', lineWidth: 5 });
  pad.strokeRect(left, top, SIDE - 3, SIDE - 3);
  Object.assign(pad, { strokeStyle: '#0072b2', lineWidth: 3 });
  pad.strokeRect(left, top, SIDE - 3, SIDE - 3);
}

// The codes of the letters, and a cursor where the code of the drawing is.
function draw_map({ pen, codes, bounds, plane, canvas }, code) {
  const place = point =>
    plane.map((i, axis) => {
      const share = (clamp(point[i], ...bounds[i]) - bounds[i][0]) / (bounds[i][1] - bounds[i][0]);
      return 12 + (MAP - 24) * (axis ? 1 - share : share);
    });
  wipe(pen, MAP);
  scatter(pen, codes.map(place));
  cross(pen, ...place(code));
  const at = plane.map(i => `z${i + 1} = ${code[i].toFixed(2)}`).join(', ');
  canvas.setAttribute('aria-label', `Map of the codes; the drawing is at ${at}`);
}

function draw_posterior(shares) {
  const pen = sharp($('posterior'), 20 * shares.length, 110);
  $('posterior').style.width = `${20 * shares.length}px`;
  Object.assign(pen, { font: '11px ui-monospace, monospace', textAlign: 'center' });
  shares.forEach((share, n) => {
    pen.fillStyle = colour.point;
    pen.fillRect(20 * n + 3, 90 - 85 * share, 14, 85 * share + 1);
    pen.fillStyle = colour.ink;
    pen.fillText(labels[n].slice(0, 3), 20 * n + 10, 105);
  });
  const first = [...shares.keys()].sort((a, b) => shares[b] - shares[a]).slice(0, 3);
  const text = `Most likely: ${first.map(n => `${labels[n]} ${shares[n].toFixed(2)}`).join(', ')}`;
  $('posterior').setAttribute('aria-label', text);
  return text;
}

// ---- drawing: letters flip a pixel, on other images a soft pen draws or erases ----
function dab([row, column]) {
  const value = $('erase').checked ? 0 : 1;
  for (let r = row - 1; r <= row + 1; r++)
    for (let c = column - 1; c <= column + 1; c++) {
      if (r < 0 || c < 0 || r >= rows || c >= columns) continue;
      const share = [1, 0.6, 0.25][Math.abs(r - row) + Math.abs(c - column)];
      const i = r * columns + c;
      drawing[i] = value ? Math.max(drawing[i], share) : Math.min(drawing[i], 1 - share);
    }
}

function touch(place, ink = null) {
  cursor = place;
  const i = place[0] * columns + place[1];
  if (letters) drawing[i] = ink ?? 1 - drawing[i];
  else dab(place);
  update(say_place());
}

function say_place() {
  const value = drawing[cursor[0] * columns + cursor[1]];
  const what = value > 0.5 ? 'ink' : 'paper';
  return `Row ${cursor[0] + 1}, column ${cursor[1] + 1}: ${what}`;
}

const place_of = ([across, down]) => [
  clamp(Math.floor(rows * down), 0, rows - 1),
  clamp(Math.floor(columns * across), 0, columns - 1),
];

function drag(shares) {
  const to = place_of(shares);
  const ink = letters ? drawing[cursor[0] * columns + cursor[1]] : null;
  while (String(cursor) !== String(to))
    // all pixels on the way
    touch(
      cursor.map((from, axis) => from + Math.sign(to[axis] - from)),
      ink,
    );
}

function press(event) {
  const ways = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.key in ways) {
    const way = ways[event.key];
    cursor = cursor.map((from, axis) => clamp(from + way[axis], 0, [rows, columns][axis] - 1));
    if (event.shiftKey) touch(cursor, letters ? 1 : null);
    else $('where').textContent = say_place();
    draw_pad();
  } else if (event.key === 'Enter' || event.key === ' ') touch(cursor);
  else if (event.key === 'Delete') clear();
  else return;
  event.preventDefault();
}

function clear() {
  drawing = new Float32Array(rows * columns);
  update('An empty drawing');
}

function choose(index) {
  chosen = index;
  drawing = Float32Array.from(images[index]);
  update();
}

function set_level() {
  level = $('level').value * 1;
  const noise = letters ? 'noise: p (probability)' : 'noise: sigma (of a pixel)';
  $('amount').textContent = `${noise} ${level.toFixed(2)}`;
}

function panel(name, map) {
  const picture = labelled(name, 110, { className: 'pixels' });
  const caption = element('figcaption');
  const canvas = labelled(name, MAP);
  if (map) Object.assign(map, { canvas, pen: sharp(canvas, MAP, MAP) });
  $('panels').append(element('figure', {}, [picture, caption, ...(map ? [canvas] : [])]));
  return { picture, caption, map };
}

async function start() {
  images = await unpack_images(data.images, rows * columns);
  for (const model of models) model.network = await unpack_network(model.layers);
  classifier = data.classifier && (await unpack_network(data.classifier));
  drawing = Float32Array.from(images[chosen]);
  $('noise').hidden = !noisy_level;
  $('bars').hidden = !(noisy_level && letters);
  $('rubber').hidden = letters;
  $('level').value = level;
  set_level();
  fill($('images'), labels);
  $('images').value = chosen;
  const maps = Object.fromEntries(models.map(({ name, map }) => [name, map]));
  panels = Object.fromEntries(
    Object.keys(results().found).map(name => [name, panel(name, maps[name])]),
  );
  on_pointer($('pad'), shares => touch(place_of(shares)), drag);
  on('pad', 'keydown', press);
  on('images', 'change', ({ target }) => choose(target.value * 1));
  on('clear', 'click', clear);
  on('level', 'input', () => {
    set_level();
    update();
  });
  on('again', 'click', () => {
    seed++;
    update(`Draw ${seed} of the noise`);
  });
}

// A digit of 16 for the grey of each pixel.
const shared = {
  state: () => {
    const greys = [...drawing].map(value => Math.round(15 * value).toString(16));
    return [chosen, level, seed, greys.join('')].join();
  },
  restore(text) {
    const [index, share, draw, greys] = text.split(',');
    if (!(index in images) || !/^[0-9a-f]+$/.test(greys) || greys.length !== rows * columns) return;
    [chosen, seed, $('level').value] = [index * 1, draw * 1, share];
    if (noisy_level) set_level();
    drawing = Float32Array.from(greys, grey => parseInt(grey, 16) / 15);
    $('images').value = chosen;
  },
};
const ready = live(start, () => update(), shared);
