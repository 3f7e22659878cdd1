// What all instruments share: elements, pictures, light or dark, the frame around them.
const $ = id => document.getElementById(id);
const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
const scale = Math.min(2, Math.ceil(devicePixelRatio));
let colour; // of the theme, by name

function context(canvas, width, height) {
  Object.assign(canvas, { width, height });
  return canvas.getContext('2d');
}

// A context in which a unit is a pixel of the page, also on a screen of finer ones.
function sharp(canvas, width, height) {
  const pen = context(canvas, width * scale, height * scale);
  pen.scale(scale, scale);
  return pen;
}

function element(name, properties = {}, children = []) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

function fill(select, names) {
  select.replaceChildren(...names.map((name, i) => new Option(name, i)));
}

// With data.ink 1 is black ink on white paper, else light on black.
function paint(canvas, picture) {
  const [rows, columns] = data.shape;
  const rgba = new ImageData(columns, rows);
  picture.forEach((value, p) => {
    const grey = Math.round(255 * (data.ink ? 1 - value : value));
    rgba.data.set([grey, grey, grey, 255], 4 * p);
  });
  context(canvas, columns, rows).putImageData(rgba, 0, 0);
  return canvas;
}

// A canvas that says what it shows.
function labelled(label, width, properties = {}) {
  const canvas = element('canvas', properties);
  canvas.setAttribute('role', 'img');
  canvas.setAttribute('aria-label', label);
  canvas.style.width = `${width}px`;
  return canvas;
}

// Mouse or finger: `down` where it is pressed, `drag` while it is held; with shares of the canvas.
function on_pointer(canvas, down, drag) {
  const place = event => {
    const box = canvas.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  };
  canvas.addEventListener('pointerdown', event => {
    if (event.button) return;
    canvas.setPointerCapture(event.pointerId);
    down(place(event));
  });
  canvas.addEventListener('pointermove', event => {
    if (canvas.hasPointerCapture(event.pointerId)) drag(place(event));
  });
}

const on = (id, type, listener) => $(id).addEventListener(type, listener);
const plural = (count, noun) => `${count} ${noun}${count === 1 ? '' : 's'}`;

// ---- light or dark: as JupyterLab or VS Code say, else as the system says ----
const system = matchMedia('(prefers-color-scheme: dark)');
let host = null;
try {
  host = parent.document.body;
} catch {
  // another origin: it does not tell
}
function theme() {
  const said = host?.dataset.jpThemeLight;
  const code = host?.matches('.vscode-dark, .vscode-high-contrast');
  const dark = said ? said === 'false' : code || system.matches;
  document.documentElement.dataset.theme = dark ? 'dark' : 'light';
  const style = getComputedStyle(document.documentElement);
  const names = ['ink', 'paper', 'far', 'line', 'point', 'focus'];
  colour = Object.fromEntries(
    names.map(name => [name, style.getPropertyValue(`--${name}`).trim()]),
  );
}

// A view can be shared: the address of a web page says which of its instruments, and its state.
// In JupyterLab the address is not ours.
function share({ state, restore }) {
  if (!frameElement || host.dataset.jpThemeLight) return;
  const view = `#view-${[...host.querySelectorAll('iframe')].indexOf(frameElement)}=`;
  $('share').hidden = false;
  on('link', 'click', () => {
    parent.location.hash = view + state();
    $('shared').textContent = 'The address of this page now opens this view.';
  });
  if (!parent.location.hash.startsWith(view)) return;
  restore(parent.location.hash.slice(view.length));
  frameElement.scrollIntoView();
}

// Starts an instrument: `start` makes it, `redraw` draws it, also when the colours change.
async function live(start, redraw, shared = null) {
  if (!window.DecompressionStream) {
    $('where').textContent = 'This needs a newer browser: Chrome 80, Firefox 113, Safari 16.4.';
    return;
  }
  try {
    theme();
    document.body.classList.add(data.letters ? 'of-letters' : 'of-others');
    await start();
    if (shared) share(shared);
    redraw();
  } catch (error) {
    $('where').textContent = `This has failed: ${error}`;
    throw error;
  }
  const retheme = () => {
    theme();
    redraw();
  };
  system.addEventListener('change', retheme);
  const watched = { attributes: true, attributeFilter: ['class', 'data-jp-theme-light'] };
  if (host) new MutationObserver(retheme).observe(host, watched);
  if (!frameElement) return; // no access: the frame keeps its height, the still picture stays
  frameElement.closest('.instrument')?.classList.add('alive');
  new ResizeObserver(() => {
    frameElement.style.height = `${document.documentElement.offsetHeight + 4}px`;
  }).observe(document.querySelector('main'));
}

// A cursor: black with a white edge, seen on any ground.
const CROSS = new Path2D('M-14 0H14M0-14V14M8 0A8 8 0 1 1-8 0A8 8 0 1 1 8 0');
function cross(pen, left, top) {
  pen.save();
  pen.translate(left, top);
  Object.assign(pen, { strokeStyle: '#fff', lineWidth: 5 });
  pen.stroke(CROSS);
  Object.assign(pen, { strokeStyle: '#000', lineWidth: 2 });
  pen.stroke(CROSS);
  pen.restore();
}

// Labels, or small pictures, at their places [left, top].
function scatter(pen, places, thumbnails, size = 12) {
  const [rows, columns] = data.shape;
  Object.assign(pen, { fillStyle: colour.ink, font: `${size}px ui-monospace, monospace` });
  Object.assign(pen, { textAlign: 'center', textBaseline: 'middle' });
  const high = (20 * rows) / columns;
  for (const [n, [left, top]] of places.entries())
    if (data.letters) pen.fillText(data.labels[n], left, top);
    else pen.drawImage(thumbnails[n], left - 10, top - high / 2, 20, high);
  Object.assign(pen, { textAlign: 'start', textBaseline: 'alphabetic' });
}

// An empty picture, with a frame.
function wipe(pen, width, height = width) {
  Object.assign(pen, { fillStyle: colour.paper, strokeStyle: colour.line, lineWidth: 1 });
  pen.fillRect(0, 0, width, height);
  pen.strokeRect(0, 0, width, height);
  Object.assign(pen, { fillStyle: colour.ink, font: '12px system-ui, sans-serif' });
}
