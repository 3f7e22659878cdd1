// A picture to draw on, and what each model makes of it.
const { labels, letters, models } = data;
const [rows, columns] = data.shape;
const noisy_level = data.level !== null;
const SIDE = letters ? 40 : 10; // of a pixel of the drawing
const MAP = 180;
const pad = sharp($('pad'), SIDE * columns, SIDE * rows);
$('pad').style.width = `${SIDE * columns}px`;
let images; // one array of pixels each
let classifier;
let drawing;
let chosen = data.start;
let seed = 1;
let level = data.level ?? 0;
let cursor = [Math.floor(rows / 2), Math.floor(columns / 2)];
let panels; // name -> { picture, caption, map }

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
    const verdict = score > threshold ? 'an outlier' : 'not an outlier';
    const limit = `threshold ${threshold.toFixed(3)}`;
    found[name].note = `outlier score ${score.toFixed(3)}, ${limit}: ${verdict}`;
  }
  return { noisy, found };
}

function measure({ pixels, note }) {
  const parts = [];
  const meant = letters && noisy_level ? images[chosen] : drawing;
  const decibels = psnr(pixels, meant);
  if (letters) parts.push(plural(pixel_errors(pixels, meant), 'wrong pixel'));
  else parts.push(decibels < Infinity ? `PSNR ${decibels.toFixed(1)} dB` : 'the drawing itself');
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
  for (const [strokeStyle, lineWidth] of [
    ['#fff', 5],
    [letters ? '#0072b2' : '#d55e00', 3],
  ]) {
    Object.assign(pad, { strokeStyle, lineWidth });
    pad.strokeRect(left, top, SIDE - 3, SIDE - 3);
  }
}

// The codes of the letters, and a cursor where the code of the drawing is.
function draw_map({ pen, codes, bounds, plane, canvas }, code) {
  const place = point =>
    plane.map((i, axis) => {
      const share = (clamp(point[i], ...bounds[i]) - bounds[i][0]) / (bounds[i][1] - bounds[i][0]);
      return 12 + (MAP - 24) * (axis ? 1 - share : share);
    });
  Object.assign(pen, { fillStyle: colour.paper, strokeStyle: colour.line, lineWidth: 1 });
  pen.fillRect(0, 0, MAP, MAP);
  pen.strokeRect(0, 0, MAP, MAP);
  Object.assign(pen, { fillStyle: colour.ink, font: '12px ui-monospace, monospace' });
  Object.assign(pen, { textAlign: 'center', textBaseline: 'middle' });
  for (const [n, point] of codes.entries()) pen.fillText(labels[n], ...place(point));
  cross(pen, ...place(code));
  const at = plane.map(i => `z${i + 1} = ${code[i].toFixed(2)}`).join(', ');
  canvas.setAttribute('aria-label', `Map of the codes; the drawing is at ${at}`);
}

function draw_posterior(shares) {
  const [width, height] = [20 * shares.length, 110];
  const pen = sharp($('posterior'), width, height);
  $('posterior').style.width = `${width}px`;
  Object.assign(pen, { font: '11px ui-monospace, monospace', textAlign: 'center' });
  shares.forEach((share, n) => {
    pen.fillStyle = colour.point;
    pen.fillRect(20 * n + 3, 90 - 85 * share, 14, 85 * share + 1);
    pen.fillStyle = colour.ink;
    pen.fillText(labels[n].slice(0, 3), 20 * n + 10, 105);
  });
  const order = shares.map((share, n) => [share, labels[n]]).sort((a, b) => b[0] - a[0]);
  const first = order.slice(0, 3).map(([share, label]) => `${label} ${share.toFixed(2)}`);
  const text = `Most probable: ${first.join(', ')}`;
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
  const what = value > 0.5 ? (letters ? 'ink' : 'light') : letters ? 'paper' : 'dark';
  return `Row ${cursor[0] + 1}, column ${cursor[1] + 1}: ${what}`;
}

function place_of(event) {
  const box = $('pad').getBoundingClientRect();
  const r = Math.floor((rows * (event.clientY - box.top)) / box.height);
  const c = Math.floor((columns * (event.clientX - box.left)) / box.width);
  return [clamp(r, 0, rows - 1), clamp(c, 0, columns - 1)];
}

function drag(event) {
  if (!$('pad').hasPointerCapture(event.pointerId)) return;
  const to = place_of(event);
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
    else {
      draw_pad();
      $('where').textContent = say_place();
    }
  } else if (event.key === 'Enter' || event.key === ' ') touch(cursor);
  else if (event.key === 'Delete') wipe();
  else return;
  event.preventDefault();
}

function wipe() {
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

function panel(map) {
  const picture = element('canvas', { className: 'pixels' });
  const caption = element('figcaption');
  picture.setAttribute('role', 'img');
  const parts = [picture, caption];
  if (map) {
    map.canvas = element('canvas');
    map.pen = sharp(map.canvas, MAP, MAP);
    map.canvas.style.width = `${MAP}px`;
    map.canvas.setAttribute('role', 'img');
    parts.push(map.canvas);
  }
  $('panels').append(element('figure', {}, parts));
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
  panels = Object.fromEntries(Object.keys(results().found).map(name => [name, panel(maps[name])]));
  const marks = letters ? 'flips a pixel' : 'draws';
  $('help').textContent =
    `Draw with the mouse or a finger. Or with keys: arrows walk, Enter or the space bar ${marks}, ` +
    'an arrow with Shift walks and draws, Delete clears.';
  $('pad').addEventListener('pointerdown', event => {
    if (event.button) return;
    $('pad').setPointerCapture(event.pointerId);
    touch(place_of(event));
  });
  $('pad').addEventListener('pointermove', drag);
  $('pad').addEventListener('keydown', press);
  $('images').addEventListener('change', ({ target }) => choose(target.value * 1));
  $('clear').addEventListener('click', wipe);
  $('level').addEventListener('input', () => {
    set_level();
    update();
  });
  $('again').addEventListener('click', () => {
    seed++;
    update(`Draw ${seed} of the noise`);
  });
}

const ready = live(start, () => update());
