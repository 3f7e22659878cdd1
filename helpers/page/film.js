// Trainings, epoch by epoch: outputs, codes and errors of each, on one slider.
const { labels, letters, epochs, unit, runs } = data;
const [rows, columns] = data.shape;
const pixels = rows * columns;
const [SIDE, GAP] = [240, 2];
const ACROSS = Math.ceil(Math.sqrt((labels.length * rows) / columns));
const most = Math.max(...runs.flatMap(({ errors }) => errors), 1e-9);
let [timer, thumbnails] = [null];
const tile = element('canvas');

function draw() {
  const at = $('epoch').value * 1;
  const told = runs.map(one => {
    const error = one.errors[at];
    const found = letters ? plural(error, 'wrong pixel') : `mean squared error ${error.toFixed(4)}`;
    draw_sheet(one, at);
    if (one.codes) draw_codes(one, at);
    draw_errors(one, at);
    one.caption.textContent = `${one.name}: ${found}`;
    return `${one.name}: ${found}`;
  });
  $('amount').textContent = `${unit} ${epochs[at]}`;
  $('epoch').setAttribute('aria-valuetext', `${unit} ${epochs[at]}. ${told.join('. ')}`);
  $('where').textContent = timer ? '' : `At ${unit} ${epochs[at]}. ${told.join('. ')}.`;
}

function draw_sheet({ sheet: pen, outputs }, at) {
  labels.forEach((_, n) => {
    const value = (_, p) => outputs[(n * pixels + p) * epochs.length + at] / 15;
    paint(tile, Array.from({ length: pixels }, value));
    pen.drawImage(tile, (n % ACROSS) * (columns + GAP), Math.floor(n / ACROSS) * (rows + GAP));
  });
}

function draw_codes({ map: pen, codes, plane }, at) {
  wipe(pen, SIDE);
  pen.fillText(`z${plane[0] + 1}, ${data.bounds.join(' to ')}`, SIDE / 2, SIDE - 4);
  pen.fillText(`z${plane[1] + 1}`, 4, SIDE / 2);
  const place = (_, n) => {
    const [right, up] = [2 * n, 2 * n + 1].map(i => codes[i * epochs.length + at] / 4095);
    return [26 + (SIDE - 40) * right, 14 + (SIDE - 40) * (1 - up)];
  };
  scatter(pen, labels.map(place), thumbnails);
}

function draw_errors({ curve: pen, errors }, at) {
  wipe(pen, SIDE, 96);
  const last = epochs[epochs.length - 1];
  const x = i => 4 + ((SIDE - 12) * (epochs[i] - epochs[0])) / (last - epochs[0]);
  const grown = error => Math.log1p(letters ? error : (20 * error) / most);
  const y = error => 74 - (56 * grown(error)) / grown(most);
  const what = letters ? `wrong pixels, 0 to ${most}` : `error, 0 to ${most.toPrecision(3)}`;
  pen.fillText(`${what}, not linear`, 4, 12);
  pen.fillText(`${unit} ${epochs[0]} to ${last}`, 4, 90);
  Object.assign(pen, { strokeStyle: colour.point, lineWidth: 2 });
  pen.beginPath();
  for (let i = 0; i < epochs.length; i++) pen.lineTo(x(i), y(errors[i]));
  pen.stroke();
  pen.beginPath();
  pen.arc(x(at), y(errors[at]), 4, 0, 7);
  pen.fill();
}

function play(on) {
  clearInterval(timer);
  timer = on ? setInterval(next, 120) : null;
  $('play').textContent = on ? 'stop' : 'play';
  draw();
}

function next() {
  $('epoch').value = $('epoch').value * 1 + 1;
  if ($('epoch').value * 1 === epochs.length - 1) play(false);
  else draw();
}

// Numbers from their differences from epoch to epoch: (anything, epochs).
async function unroll(text) {
  const numbers = await unpack(text);
  for (let i = 0; i < numbers.length; i++) if (i % epochs.length) numbers[i] += numbers[i - 1];
  return numbers;
}

async function start() {
  const images = await unpack_images(data.images, pixels);
  thumbnails = images.map(image => paint(element('canvas'), image));
  for (const one of runs) {
    one.outputs = await unroll(one.outputs);
    one.codes = one.codes && (await unroll(one.codes));
    const [sheet, map, curve] = ['outputs', 'codes', 'errors'].map(what =>
      labelled(`${what} of ${one.name}`, SIDE, { className: what === 'outputs' ? 'pixels' : '' }),
    );
    const deep = Math.ceil(labels.length / ACROSS);
    one.sheet = context(sheet, ACROSS * (columns + GAP) - GAP, deep * (rows + GAP) - GAP);
    one.map = sharp(map, SIDE, SIDE);
    one.curve = sharp(curve, SIDE, 96);
    one.caption = element('figcaption');
    const shown = [one.caption, sheet, ...(one.codes ? [map] : []), curve];
    $('runs').append(element('figure', { className: 'stack' }, shown));
  }
  $('epoch').value = $('epoch').max = epochs.length - 1;
  on('epoch', 'input', () => play(false));
  on('play', 'click', () => {
    if (!timer && $('epoch').value === $('epoch').max) $('epoch').value = 0;
    play(!timer);
  });
}

const ready = live(start, draw);
