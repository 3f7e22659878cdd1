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

// Letters: ink on white paper; other images: light on black.
function paint(canvas, picture) {
  const [rows, columns] = data.shape;
  const rgba = new ImageData(columns, rows);
  picture.forEach((value, p) => {
    const grey = Math.round(255 * (data.letters ? 1 - value : value));
    rgba.data.set([grey, grey, grey, 255], 4 * p);
  });
  context(canvas, columns, rows).putImageData(rgba, 0, 0);
  return canvas;
}

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

// Starts an instrument: `start` makes it, `redraw` draws it, also when the colours change.
async function live(start, redraw) {
  if (!window.DecompressionStream) {
    const newer = 'Chrome 80, Firefox 113, Safari 16.4 or later';
    $('where').textContent = `This needs a newer browser (${newer}).`;
    return;
  }
  try {
    theme();
    await start();
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
function cross(pen, left, top) {
  for (const [strokeStyle, lineWidth] of [
    ['#fff', 5],
    ['#000', 2],
  ]) {
    Object.assign(pen, { strokeStyle, lineWidth });
    pen.beginPath();
    pen.arc(left, top, 8, 0, 7);
    for (const [a, b] of [
      [14, 0],
      [0, 14],
    ]) {
      pen.moveTo(left - a, top - b);
      pen.lineTo(left + a, top + b);
    }
    pen.stroke();
  }
}
