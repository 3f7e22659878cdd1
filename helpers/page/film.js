// Trainings, epoch by epoch: outputs, codes and errors of each, on one slider.
const { labels, letters, epochs, runs } = data;
const [rows, columns] = data.shape;
const pixels = rows * columns;
const SIDE = 240;
const ACROSS = Math.ceil(Math.sqrt((labels.length * rows) / columns));
const most = Math.max(...runs.flatMap(({ errors }) => errors), 1e-9);
let timer = null;
let thumbnails;

function draw() {
  const at = $('epoch').value * 1;
  const told = runs.map(one => {
    const error = one.errors[at];
    const unit = letters ? plural(error, 'wrong pixel') : `mean squared error ${error.toFixed(4)}`;
    draw_sheet(one, at);
    if (one.codes) draw_codes(one, at);
    draw_errors(one, at);
    one.caption.textContent = `${one.name}: ${unit}`;
    return `${one.name}: ${unit}`;
  });
  $('amount').textContent = `epoch (count) ${epochs[at]}`;
  $('epoch').setAttribute('aria-valuetext', `epoch ${epochs[at]}. ${told.join('. ')}`);
  $('where').textContent = timer ? '' : `Epoch ${epochs[at]}. ${told.join('. ')}.`;
}

function draw_sheet({ sheet, outputs }, at) {
  const deep = Math.ceil(labels.length / ACROSS);
  const [wide, high] = [ACROSS * (columns + 1) - 1, deep * (rows + 1) - 1];
  const pen = context(sheet, wide, high);
  const picture = pen.createImageData(wide, high);
  labels.forEach((_, n) => {
    const [left, top] = [(n % ACROSS) * (columns + 1), Math.floor(n / ACROSS) * (rows + 1)];
    for (let p = 0; p < pixels; p++) {
      const value = outputs[(n * pixels + p) * epochs.length + at] / 15;
      const grey = Math.round(255 * (letters ? 1 - value : value));
      const to = (top + Math.floor(p / columns)) * wide + left + (p % columns);
      picture.data.set([grey, grey, grey, 255], 4 * to);
    }
  });
  pen.putImageData(picture, 0, 0);
}

const fresh = pen => {
  Object.assign(pen, { fillStyle: colour.paper, strokeStyle: colour.line, lineWidth: 1 });
  pen.fillRect(0, 0, SIDE, SIDE);
  pen.fillStyle = colour.ink;
  pen.font = '12px system-ui, sans-serif';
  return pen;
};

function draw_codes({ map, codes, plane }, at) {
  const pen = fresh(map);
  pen.strokeRect(16, 4, SIDE - 20, SIDE - 20);
  pen.fillText(`z${plane[0] + 1}`, SIDE / 2, SIDE - 3);
  pen.fillText(`z${plane[1] + 1}`, 1, SIDE / 2);
  pen.textAlign = 'center';
  labels.forEach((label, n) => {
    const k = 2 * (at * labels.length + n);
    const left = 26 + ((SIDE - 40) * codes[k]) / 4095;
    const top = 14 + (SIDE - 40) * (1 - codes[k + 1] / 4095);
    if (letters) pen.fillText(label, left, top + 4);
    else pen.drawImage(thumbnails[n], left - 8, top - 8, 16, (16 * rows) / columns);
  });
  pen.textAlign = 'left';
}

function draw_errors({ curve, errors }, at) {
  const pen = fresh(curve);
  const last = epochs[epochs.length - 1];
  const x = i => 4 + ((SIDE - 12) * (epochs[i] - epochs[0])) / (last - epochs[0]);
  const y = error => 74 - (56 * error) / most;
  pen.fillText(`${letters ? 'wrong pixels' : 'error'}, 0 to ${most}`, 4, 12);
  pen.fillText(`epoch ${epochs[0]} to ${last}`, 4, 90);
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

async function unroll(text, across, step) {
  const numbers = await unpack(text); // differences: each is added to the one `step` before it
  for (let i = 0; i < numbers.length; i++)
    if (i >= step && (!across || i % across)) numbers[i] += numbers[i - step];
  return numbers;
}

async function start() {
  const images = await unpack_images(data.images, pixels);
  thumbnails = images.map(image => paint(element('canvas'), image));
  for (const one of runs) {
    one.outputs = await unroll(one.outputs, epochs.length, 1);
    one.codes = one.codes && (await unroll(one.codes, 0, 2 * labels.length));
    one.sheet = element('canvas', { className: 'pixels' });
    one.sheet.style.width = `${SIDE}px`;
    one.caption = element('figcaption');
    const parts = [one.sheet, ...(one.codes ? [element('canvas')] : []), element('canvas')];
    if (one.codes) one.map = sharp(parts[1], SIDE, SIDE);
    one.curve = sharp(parts.at(-1), SIDE, 96);
    const what = [`outputs of ${one.name}`, `codes of ${one.name}`, `errors of ${one.name}`];
    if (!one.codes) what.splice(1, 1);
    parts.forEach((canvas, i) => {
      canvas.setAttribute('role', 'img');
      canvas.setAttribute('aria-label', what[i]);
      canvas.style.width = `${SIDE}px`;
      canvas.style.display = 'block';
    });
    $('runs').append(element('figure', {}, [one.caption, ...parts]));
  }
  $('epoch').max = epochs.length - 1;
  $('help').textContent = 'Move the slider, also with the arrow keys, or press play.';
  $('epoch').addEventListener('input', () => play(false));
  $('play').addEventListener('click', () => {
    if (!timer && $('epoch').value === $('epoch').max) $('epoch').value = 0;
    play(!timer);
  });
}

const ready = live(start, draw);
