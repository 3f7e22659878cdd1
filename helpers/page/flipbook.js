// The pictures of an explorer along its main slider: one sheet, one below the other.
const { name, values, texts, size } = data;
const pen = context($('picture'), ...size);
$('picture').style.width = `${data.width}px`;
const sheet = Object.assign(new Image(), { src: `data:image/webp;base64,${data.sheet}` });

function draw() {
  const at = $('frame').value * 1;
  pen.drawImage(sheet, 0, at * size[1], ...size, 0, 0, ...size);
  const moved = `${name} ${values[at]}`;
  $('amount').textContent = moved;
  $('where').textContent = texts[at];
  $('frame').setAttribute('aria-valuetext', `${moved}. ${texts[at]}`);
  $('picture').setAttribute('aria-label', `The picture at ${moved}. ${texts[at]}`);
}

async function start() {
  await sheet.decode();
  Object.assign($('frame'), { max: values.length - 1, value: data.start });
  on('frame', 'input', draw);
}

const ready = live(start, draw);
