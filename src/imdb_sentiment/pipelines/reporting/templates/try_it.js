// The box in which a reader tries the model. What is typed is only ever shown as text. Labels and words may be written
// from right to left: each is a <bdi>, so that the numbers beside it keep their places.

const PAUSE = 250; // milliseconds after the last key press until a prediction
const SLICE = 30; // milliseconds of computing, after which the browser may do something else
const MIN_EFFECT = 0.01; // in log-odds; as in page.py, words with a smaller effect are not marked,
const MIN_RELATIVE_EFFECT = 0.1; // nor words with a smaller share of the strongest effect
const N_STRONGEST = 5; // number of words that are named below the text
const N_LABELS = 5; // number of labels whose probability is shown, the most probable ones

const find = (id) => document.getElementById(id);
const percent = (share) => `${(100 * share).toFixed(1)}%`;
const signed = (number) => `${number < 0 ? "−" : "+"}${Math.abs(number).toFixed(2)}`;
const clip = (p) => Math.min(Math.max(p, 1e-7), 1 - 1e-7);
const logOdds = (p) => Math.log(clip(p) / (1 - clip(p)));

function make(tag, content, className = "") {
  const element = document.createElement(tag);
  element.textContent = content;
  element.className = className;
  return element;
}

let loading; // promise of the model; loading it takes some tenths of a second

function loadModel() {
  loading ??= Predictor.load(JSON.parse(find("model").textContent));
  return loading;
}

function showPrediction({ label, code, reason, probabilities }, labels) {
  if (label === null) find("said").textContent = `No prediction: ${reason}`;
  else find("said").replaceChildren(make("bdi", label), `, ${percent(probabilities[code])}`);
  const order = (probabilities ?? []).map((_, code) => code);
  order.sort((one, other) => probabilities[other] - probabilities[one]);
  find("chances").replaceChildren(
    ...order.slice(0, N_LABELS).map((code) => {
      const item = document.createElement("li");
      const bar = make("span", "", "bar");
      bar.append(make("span", ""));
      bar.firstChild.style.width = percent(probabilities[code]);
      item.append(make("bdi", labels[code]), bar, make("span", percent(probabilities[code])));
      return item;
    }),
  );
}

function showWords({ cleaned, code, probabilities, effects, n_words }) {
  find("marks").hidden = !n_words;
  const before = logOdds(probabilities?.[code]);
  const changes = effects.map((word) => {
    return { ...word, change: before - logOdds(probabilities[code] - word.effect) };
  });
  const most = Math.max(MIN_EFFECT, ...changes.map(({ change }) => Math.abs(change)));
  const least = Math.max(MIN_EFFECT, MIN_RELATIVE_EFFECT * most);
  const marked = changes.filter(({ change }) => Math.abs(change) >= least);
  const parts = [];
  let end = 0;
  for (const { start, stop, change } of marked) {
    const mark = make("mark", cleaned.slice(start, stop), change > 0 ? "for" : "against");
    mark.style.setProperty("--strength", (Math.abs(change) / most).toFixed(2));
    mark.title = `${signed(change)} log-odds`;
    parts.push(cleaned.slice(end, start), mark);
    end = stop;
  }
  find("read").replaceChildren(...parts, cleaned.slice(end));
  if (effects.length < n_words) {
    find("strongest").textContent = `Measuring the effect of each word: ${effects.length} of ${n_words} …`;
    return;
  }
  const strongest = marked
    .sort((one, other) => Math.abs(other.change) - Math.abs(one.change))
    .slice(0, N_STRONGEST)
    .flatMap(({ start, stop, change }, place) => [
      place ? ", " : "The strongest effects, in log-odds: ",
      make("bdi", cleaned.slice(start, stop)),
      ` (${signed(change)})`,
    ]);
  if (strongest.length) find("strongest").replaceChildren(...strongest, ".");
  else find("strongest").textContent = "No single word changes the prediction much.";
}

let latest = 0; // number of the last text, which ends the work on all earlier ones

async function judge() {
  const number = ++latest;
  const text = find("typed").value;
  find("verdict").hidden = !text.trim();
  if (!text.trim()) return;
  try {
    const model = await loadModel();
    if (number !== latest) return;
    let began = performance.now();
    let isFirst = true;
    for (const prediction of model.explain(text)) {
      if (isFirst) showPrediction(prediction, model.labels);
      const isDone = prediction.effects.length === prediction.n_words;
      if (isFirst || isDone || performance.now() - began > SLICE) {
        showWords(prediction);
        await new Promise((resolve) => setTimeout(resolve));
        if (number !== latest) return;
        began = performance.now();
      }
      isFirst = false;
    }
  } catch (error) {
    find("said").textContent =
      `This browser can't run the model (${error.message}). Use a current version of Chrome, Firefox or ` +
      "Safari, or run imdb-sentiment serve.";
  }
}

let timer;
find("typed").addEventListener("focus", () => loadModel().catch(() => {}), { once: true });
find("typed").addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(judge, PAUSE);
});
