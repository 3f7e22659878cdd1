// A map of the codes with a cursor, what is decoded there, and the areas of the nearest images.
const { codes, labels, bounds, letters } = data;
const [rows, columns] = data.shape;
const d = bounds.length;
let decoder;
let images; // one array of pixels each
let thumbnails;

const decode = code => run(decoder, code).outputs;
const nearest_image = picture => nearest(picture, images, letters);

// ---- where things are: SIDE x SIDE pixels; the plane in it, with room for axes and labels ----
const SIDE = 420;
const LEFT = 26;
const TOP = 14;
const PLANE = 380;
const CELLS = 128;
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
let running = false;
let again = false;

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
  const axis = (i, half) => {
    back.fillText(`z${i + 1}`, 0, 0);
    back.fillText(bounds[i][0], 18 - half, 0);
    back.fillText(bounds[i][1], half - 18, 0);
  };
  back.save();
  back.translate(LEFT + PLANE / 2, SIDE - 8);
  axis(right, PLANE / 2);
  back.restore();
  back.save();
  back.translate(14, TOP + PLANE / 2);
  back.rotate(-Math.PI / 2);
  axis(up, PLANE / 2);
  back.restore();
  Object.assign(back, { font: `${15 * zoom}px ui-monospace, monospace`, textAlign: 'left' });
  codes.forEach((point, n) => {
    const [left, top] = [x(point[right]), y(point[up])];
    if (letters) mark(labels[n], left, top, zoom);
    else back.drawImage(thumbnails[n], left - 11, top - 11, 22, (22 * rows) / columns);
  });
}

function mark(label, left, top, zoom) {
  back.fillStyle = colour.point;
  back.beginPath();
  back.arc(left, top, 3, 0, 7);
  back.fill();
  back.fillStyle = colour.ink;
  const room = SIDE - back.measureText(label).width;
  back.fillText(label, Math.min(left + 4, room), top < TOP + 9 ? top + 12 * zoom : top - 3);
}

// ---- one move: the map with its cursor, the decoded image, the nearest one, the words ----
function words({ index, distance }) {
  const name = labels[index];
  if (!letters) {
    const how_far = `at a distance of ${distance.toFixed(3)} (root mean square of a pixel)`;
    return `The nearest of the set is ${name}, ${how_far}.`;
  }
  if (!distance) return `This is the letter ${name}.`;
  const differs = `differs in ${plural(distance, 'pixel')} (cut at 0.5)`;
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

function go(changes) {
  // {dimension: value, ...}
  for (const [i, value] of Object.entries(changes)) code[i] = clamp(value, ...bounds[i]);
  $('images').value = ''; // the code is that of an image no more
  draw();
}

function jump(to) {
  go(to);
  if (d > 2) show(); // the held dimensions have moved too
}

const step = i => width_of(i) / 100;

// ---- mouse and touch, keys, lists and sliders ----
function follow(event) {
  const box = $('map').getBoundingClientRect();
  const across = ((SIDE * (event.clientX - box.left)) / box.width - LEFT) / PLANE;
  const down = ((SIDE * (event.clientY - box.top)) / box.height - TOP) / PLANE;
  const to_right = bounds[right][0] + across * width_of(right);
  go({ [right]: to_right, [up]: bounds[up][1] - down * width_of(up) });
}

function press(event) {
  const ways = { ArrowLeft: [right, -1], ArrowRight: [right, 1], ArrowDown: [up, -1] };
  Object.assign(ways, { ArrowUp: [up, 1], PageDown: [up, -10], PageUp: [up, 10] });
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  if (event.key === 'Home') jump(data.start);
  else if (event.key in ways) {
    const [i, steps] = ways[event.key];
    go({ [i]: code[i] + steps * step(i) * (event.shiftKey ? 10 : 1) });
  } else if (event.key !== 'End') return; // of a slider no key scrolls the page
  event.preventDefault();
}

function held_slider([min, max], i) {
  const text = element('span');
  const input = element('input', { type: 'range', min, max, step: step(i), value: code[i] });
  input.dataset.lmSuppressShortcuts = 'true';
  const say = () => {
    text.textContent = ` z${i + 1} (code, no unit): ${code[i].toFixed(2)}`;
  };
  input.addEventListener('input', () => {
    go({ [i]: input.value * 1 });
    say();
    basins();
  });
  say();
  return element('label', {}, [input, text]);
}

// Everything: at the start, for another plane, and for other values of the dimensions held.
function show() {
  const held = bounds.map(held_slider).filter((_, i) => i !== right && i !== up);
  $('held').replaceChildren(...held);
  basins();
  draw_back();
  draw();
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
  $('images').prepend(new Option('choose', ''));
  $('images').value = '';
  const names = bounds.map((_, i) => `z${i + 1}`);
  for (const [id, value] of Object.entries({ right, up })) {
    fill($(id), names);
    $(id).value = value;
    $(id).addEventListener('change', choose);
  }
  $('plane').hidden = d === 2;
  const [which, grey] = letters
    ? ['letter', 'On grey ground it is not exactly that letter.']
    : ['image', 'The greyer the ground, the further it is (full grey: 0.2 or more).'];
  $('legend').textContent =
    `Lines part the areas where another ${which} is nearest to the decoded one; the area of the ` +
    `cursor's is blue. ${grey} Drag the cursor, or click the map and use the arrow keys (with ` +
    'Shift: ten steps; Home: back).';
  $('map').addEventListener('pointerdown', event => {
    if (event.button) return;
    $('map').setPointerCapture(event.pointerId);
    follow(event);
  });
  $('map').addEventListener('pointermove', event => {
    if ($('map').hasPointerCapture(event.pointerId)) follow(event);
  });
  $('map').addEventListener('keydown', press);
  $('images').addEventListener('change', ({ target }) => {
    const chosen = target.value;
    if (chosen === '') return;
    jump(codes[chosen]);
    target.value = chosen;
  });
}

function redraw() {
  draw_back();
  draw();
}
const ready = live(start, () => (area < 0 ? show() : redraw()));
