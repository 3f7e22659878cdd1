// The pictures of an explorer along its main slider. All but the first hold only what differs.
const { name, values, texts, frames, size } = data;
const pen = context($('picture'), ...size);
$('picture').style.width = `${data.width}px`;
let images;

function draw() {
  const at = $('frame').value * 1;
  pen.drawImage(images[0], 0, 0);
  pen.drawImage(images[at], ...frames[at].slice(1));
  const moved = `${name} ${values[at]}`;
  $('amount').textContent = moved;
  $('where').textContent = texts[at];
  $('frame').setAttribute('aria-valuetext', `${moved}. ${texts[at]}`);
  $('picture').setAttribute('aria-label', `The picture at ${moved}. ${texts[at]}`);
}

async function start() {
  images = frames.map(([png]) =>
    Object.assign(new Image(), { src: `data:image/png;base64,${png}` }),
  );
  await Promise.all(images.map(image => image.decode()));
  Object.assign($('frame'), { max: frames.length - 1, value: data.start });
  on('frame', 'input', draw);
}

const ready = live(start, draw);
