import { readFirstRows, readRows } from "./csv.js";

const PAUSE = 250; // milliseconds after the last key press until a prediction is requested
const FAINTEST = 0.001; // smaller effects, below a tenth of a point, are not marked
const STRONGEST = 5; // number of words in the sentence below the text
const FEW = 3; // examples that are shown at first
const MAX_NAMED = 10; // maximum number of labels that are listed; if there are more, some examples
const UNDECIDED = 0.6; // share of the better of two labels below which the model is undecided
const PROBABLE = 0.8; // … and from which on it needs no "probably"
const MAJORITY = 0.5; // probability below which the most probable of many labels is more likely wrong
const SAMPLE = 1 << 18; // number of bytes at the beginning of a file that are read for its columns
const SAMPLE_ROWS = 20;
const DELIMITERS = { ",": "comma", ";": "semicolon", "\t": "tab", "|": "bar" }; // others: auto

const find = (id) => document.getElementById(id);
const review = find("review");
const percent = (share) => `${(100 * share).toFixed(1)}%`;
const points = (share) => `${share > 0 ? "+" : "−"}${(100 * Math.abs(share)).toFixed(1)}`;
const count = (number) => number.toLocaleString("en");
const plural = (number, noun) => `${count(number)} ${noun}${number === 1 ? "" : "s"}`;
const sentence = (clause) => `${clause[0].toUpperCase()}${clause.slice(1)}.`;

/** Marks a label or word that may be written from right to left, for `tell`. */
const isolate = (name) => `\u2068${name}\u2069`; // first strong isolate, pop directional isolate

let model; // as /model describes it

function make(tag, content, className = "") {
  const element = document.createElement(tag);
  element.textContent = content;
  element.className = className;
  return element;
}

/** Shows a sentence whose names keep their places, and the numbers beside them theirs. */
function tell(element, sentence) {
  const parts = sentence.split(/[\u2068\u2069]/);
  element.replaceChildren(...parts.map((part, place) => (place % 2 ? make("bdi", part) : part)));
  return element;
}

async function ask(path, options = {}) {
  const key = sessionStorage.getItem("key");
  const headers = new Headers(options.headers);
  try {
    if (key) headers.set("X-API-Key", key);
  } catch {
    throw askForKey("This API key contains invalid characters.");
  }
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The service is not responding. Is it running?");
  }
  if (response.ok) return response;
  if (response.status === 401) {
    throw askForKey(
      key
        ? "This API key is wrong: enter another one below."
        : "This service needs an API key: enter yours below.",
    );
  }
  if (response.status === 429 || response.status === 503) {
    const seconds = response.headers.get("Retry-After") ?? "1";
    throw new Error(`The service is busy. Try again in ${plural(Number(seconds), "second")}.`);
  }
  const problem = await response.json().catch(() => ({}));
  throw new Error(sentence(String(problem.detail || "the service failed: try again, or check its log")));
}

/** Shows the field for the key, and returns an error that says why. */
function askForKey(reason) {
  if (find("key-form").hidden) {
    find("key-form").hidden = false;
    if (document.activeElement !== review) find("key").focus(); // not while somebody is typing
  }
  return new Error(reason);
}

function hideVerdict() {
  find("verdict").hidden = true;
  say("");
}

function say(verdict) {
  tell(find("said"), verdict);
  find("spoken").textContent = find("said").textContent; // never hidden, so that screen readers notice the change
}

function showProblem(error) {
  find("problem").textContent = error ? error.message : "";
  find("problem").hidden = !error;
}

/** Fills a list with a bar for each [name, share, number]. */
function drawBars(list, rows) {
  list.replaceChildren(
    ...rows.map(([name, share, number]) => {
      const item = document.createElement("li");
      const bar = make("span", "", "bar");
      const filled = make("span", "");
      filled.style.width = percent(share);
      bar.append(filled);
      item.append(make("bdi", name, "name"), bar, make("span", number, "number"));
      return item;
    }),
  );
}

/** Returns [label, value] for each label, in the order of the model. */
function listByLabel(values) {
  // In an object, JavaScript puts labels that are whole numbers first.
  const labels = model?.labels ?? [];
  const entries = Object.entries(values);
  return entries.sort(([one], [other]) => labels.indexOf(one) - labels.indexOf(other));
}

function showVerdict({ prediction, explained_label: explained, words, segments }) {
  const { label, probabilities, reason } = prediction;
  say(label === null ? `No prediction: ${reason}.` : name(prediction));
  setText("doubt", label === null ? "" : doubt(prediction));
  const listed = listByLabel(probabilities);
  const shown = listed.length <= MAX_NAMED ? listed : findBest(prediction).slice(0, MAX_NAMED);
  drawBars(
    find("probabilities"),
    shown.map(([name, share]) => [name, share, percent(share)]),
  );
  setText("read", describeReading(words, listed.length > 0));
  find("explained").textContent = explained;
  find("verdict").hidden = false; // what is hidden can't be scrolled
  showWords(segments);
  find("verdict").classList.remove("stale");
}

function setText(id, text) {
  tell(find(id), text);
  find(id).hidden = !text;
}

/** Returns the labels and their probabilities, the most probable one first. */
function findBest({ probabilities }) {
  return listByLabel(probabilities).sort((one, other) => other[1] - one[1]);
}

function name(prediction) {
  const { label, probability } = prediction;
  const [[first, high], [second, low]] = findBest(prediction);
  const share = high / (high + low);
  if (label === first && high < MAJORITY && share >= UNDECIDED) {
    return `Most probable: ${isolate(label)}, ${percent(probability)}`; // of more than two labels
  }
  if (label !== first || share >= PROBABLE) return `${isolate(label)}, ${percent(probability)}`;
  if (share >= UNDECIDED) return `Probably ${isolate(label)}, ${percent(probability)}`;
  return `Undecided: ${isolate(first)} ${percent(high)}, ${isolate(second)} ${percent(low)}`;
}

function doubt(prediction) {
  const { label } = prediction;
  const [[first, high], [second, low]] = findBest(prediction);
  if (label !== first) {
    return `“${isolate(first)}” is more probable, but the decision rule of this model selects “${isolate(label)}”.`;
  }
  if (high / (high + low) < UNDECIDED || high < MAJORITY) {
    const right = high < 0.1 ? "fewer than 1 in 10" : `only about ${Math.round(10 * high)} in 10`;
    return `The service answers “${isolate(label)}”, but ${right} such answers are right. Let a person decide between “${isolate(first)}” and “${isolate(second)}”.`;
  }
  return "";
}

function describeReading({ total, known, read }, isPredicted) {
  const sentences = [];
  if (hasLstm(model) && isPredicted && 2 * known < total) {
    const verb = known === 1 ? "is" : "are";
    const found = known
      ? `Only ${count(known)} of the ${plural(total, "word")} ${verb} in the vocabulary of the LSTM`
      : `The LSTM knows no word of this text`;
    sentences.push(`${found}, so the prediction may well be wrong.`);
  }
  if (read < known && hasLstm(model)) {
    const parts = model?.character_ngram ? " and parts of words" : "";
    const rest = model?.max_ngram ? `; a second part reads short sequences of words${parts} throughout the text` : "";
    const { sequence_length = 1, head_length = 0 } = model ?? {};
    const ends = [head_length > 0 && "beginning", head_length < sequence_length && "end"];
    const where = ends.filter(Boolean).join(" and the ");
    sentences.push(
      `The LSTM has read ${count(read)} of the ${count(known)} words that it knows, from the ${where} of the text${rest}.`,
    );
  }
  return sentences.join(" ");
}

function showWords(segments) {
  const words = segments.filter(({ effect }) => effect !== null);
  const most = Math.max(...words.map(({ effect }) => Math.abs(effect)), FAINTEST);
  let strongestMark;
  find("text").replaceChildren(
    ...segments.map(({ text, effect }) => {
      if (effect === null || Math.abs(effect) < FAINTEST) return document.createTextNode(text);
      const mark = make("mark", text, effect > 0 ? "for" : "against");
      mark.style.setProperty("--strength", (0.6 * Math.abs(effect)) / most);
      mark.title = `${points(effect)} points`;
      if (Math.abs(effect) === most) strongestMark = mark;
      return mark;
    }),
  );
  find("words").hidden = !words.length;
  // A long text opens where its strongest word is.
  if (strongestMark) find("text").scrollTop = strongestMark.offsetTop - find("text").offsetTop;
  const strongest = words
    .filter(({ effect }) => Math.abs(effect) >= FAINTEST)
    .sort((one, other) => Math.abs(other.effect) - Math.abs(one.effect))
    .slice(0, STRONGEST)
    .map(({ text, effect }) => `${isolate(text)} (${points(effect)})`);
  tell(
    find("strongest"),
    strongest.length
      ? `Strongest effects, in percentage points: ${strongest.join(", ")}.`
      : "No single word changes the probability by a tenth of a point.",
  );
}

let timer;
let running;

async function judge() {
  running?.abort();
  const text = review.value;
  if (!text.trim()) {
    hideVerdict();
    showProblem(null);
    return;
  }
  running = new AbortController();
  find("verdict").classList.add("stale");
  try {
    const response = await ask("explain", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ text: text.toWellFormed?.() ?? text }),
      signal: running.signal,
    });
    showVerdict(await response.json());
    showProblem(null);
    if (!model) introduce().catch(showProblem); // the service was busy when the page was opened
  } catch (error) {
    if (error.name === "AbortError") return;
    hideVerdict();
    showProblem(error);
  }
}

review.addEventListener("input", () => {
  clearTimeout(timer);
  timer = setTimeout(judge, PAUSE);
});

find("key-form").addEventListener("submit", (event) => {
  event.preventDefault();
  sessionStorage.setItem("key", find("key").value.trim());
  find("key-form").hidden = true;
  showProblem(null);
  introduce().catch(showProblem);
  judge();
});

/** Offers the columns of a file, the likely one first: known by its name, or by its long texts. */
async function offerColumns() {
  const [file] = find("file").files;
  const column = find("column");
  find("counts").hidden = true;
  find("upload-said").textContent = "";
  column.disabled = true;
  column.replaceChildren(new Option("Choose a file first", ""));
  if (!file) return;
  const { rows, delimiter } = await readFirstRows(file.slice(0, SAMPLE), SAMPLE_ROWS);
  if (find("file").files[0] !== file) return; // another one was chosen meanwhile
  const header = (rows.shift() ?? []).map((name, place) => name.trim() || `unnamed_${place}`);
  if (!header.length) {
    find("upload-said").textContent = "The file is empty: it must begin with a header.";
    return;
  }
  column.dataset.delimiter = delimiter;
  const lengths = header.map((_, place) =>
    rows.reduce((sum, row) => sum + (row[place] ?? "").length, 0),
  );
  const named = [model?.facts.text_column, "review", "text"].find((name) => header.includes(name));
  const likely = named ?? header[lengths.indexOf(Math.max(...lengths))];
  column.replaceChildren(
    ...header.map((name) => new Option(name, name, name === likely, name === likely)),
  );
  column.disabled = false;
}

find("file").addEventListener("change", () => {
  offerColumns().catch((error) => {
    find("upload-said").textContent = `The file can't be read: ${error.message}.`;
  });
});

find("upload").addEventListener("submit", async (event) => {
  event.preventDefault();
  const [file] = find("file").files;
  const button = event.submitter;
  const said = find("upload-said");
  button.disabled = true;
  find("counts").hidden = true;
  said.textContent = `Scoring ${file.name} …`;
  try {
    const { value, dataset: { delimiter } } = find("column"); // another file may be chosen later
    const query = new URLSearchParams({
      text_column: value,
      delimiter: DELIMITERS[delimiter] ?? "auto",
    });
    const response = await ask(`score?${query}`, {
      method: "POST",
      headers: { "Content-Type": "text/csv" },
      body: file,
    });
    const scored = await response.blob();
    const link = document.createElement("a");
    link.href = URL.createObjectURL(scored);
    link.download = file.name.replace(/(\.csv)?$/i, "_scored.csv");
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    said.textContent = `Downloaded as ${link.download}.`;
    if (find("file").files[0] === file) await showCounts(scored, delimiter);
  } catch (error) {
    said.textContent = error.message;
  } finally {
    button.disabled = false;
  }
});

async function showCounts(scored, delimiter) {
  const counts = new Map(model?.labels.map((label) => [label, 0]));
  let place = -1;
  let total = 0;
  for await (const row of readRows(scored, delimiter)) {
    if (place < 0) {
      place = row.indexOf("predicted_sentiment");
      continue;
    }
    const label = row[place] || "(no prediction)";
    counts.set(label, (counts.get(label) ?? 0) + 1);
    total += 1;
  }
  if (!total) return;
  drawBars(
    find("counts").querySelector("ul"),
    [...counts].map(([label, number]) => [
      label,
      number / total,
      `${count(number)} (${percent(number / total)})`,
    ]),
  );
  find("counts").hidden = false;
}

/** Says which model this is, how good it is and what it can't do, and offers examples. */
async function introduce() {
  model = await (await ask("model")).json();
  find("about").textContent = describeModel(model);
  find("limits").replaceChildren(...describeLimits(model).map((limit) => tell(make("li", ""), limit)));
  find("model").hidden = false;
  offerExamples(model.examples);
}

function describeModel({ test, facts }) {
  const file = facts.reviews_file ?? "an unknown file";
  const made = facts.made ? `, ${facts.made}` : "";
  if (!test) {
    return `A model trained on ${file}${made}. Its accuracy is unknown: the record of its evaluation was not found.`;
  }
  const interval = `95% confidence interval: ${percent(test.accuracy_low)} to ${percent(test.accuracy_high)}`;
  const reviews = `${plural(test.reviews, "review")} that it was not trained on`;
  const { coverage = null, accuracy_answered = null } = test;
  const answered =
    accuracy_answered === null ? "" : `, and ${percent(accuracy_answered)} of these answers are right`;
  const right =
    coverage === null
      ? `It is right for ${percent(test.accuracy)} of ${reviews} (${interval})`
      : `It gives an answer for ${percent(coverage)} of ${reviews}${answered}. ` +
        `If it always answered, it would be right for ${percent(test.accuracy)} (${interval})`;
  return (
    `A model trained on ${file}${made}. ${right}; always giving ` +
    `the same answer would be right for ${percent(test.majority_accuracy)}.` +
    (test.is_unseen
      ? ""
      : " But these reviews were also used to choose its settings, so this accuracy is too optimistic.")
  );
}

function describeLabels(labels) {
  const names = labels.map(isolate);
  if (names.length <= MAX_NAMED) return `one of these labels: ${names.join(", ")}`;
  return `one of ${count(names.length)} labels, such as ${names.slice(0, 2).join(", ")} and ${names[2]}`;
}

/** Says how many reviews of each label are found, from their names and shares. */
function describeRecall(found) {
  if (found.length <= MAX_NAMED) {
    const shares = found.map(([label, share]) => `${isolate(label)} ${percent(share)}`);
    return `it finds: ${shares.join(", ")}`;
  }
  const sorted = [...found].sort(([, one], [, other]) => one - other);
  const [[worst, least], [best, most]] = [sorted[0], sorted.at(-1)];
  return `it finds between ${percent(least)} (${isolate(worst)}) and ${percent(most)} (${isolate(best)})`;
}

/** Returns whether the model is not one of n-grams alone. */
function hasLstm(model) {
  return JSON.parse(model?.facts.calibration ?? "{}").ngram_share !== 1;
}

function describeLimits(model) {
  const { labels, test, facts, vocabulary_size, sequence_length, head_length } = model;
  const { max_ngram, character_ngram } = model;
  const { min_confidence = 0 } = JSON.parse(facts.training ?? "{}");
  const who = min_confidence ? "a text" : "every text";
  const none = min_confidence ? `, or none if its confidence is below ${min_confidence}` : "";
  const ends = [
    head_length > 0 && `the first ${count(head_length)}`,
    sequence_length > head_length && `the last ${count(sequence_length - head_length)}`,
  ].filter(Boolean);
  const inside = character_ngram ? `, and of ${character_ngram} characters within words` : "";
  const limits = [
    `It gives ${who} ${describeLabels(labels)}${none}. It does not recognise irony or off-topic texts.`,
    `It was trained only on ${facts.reviews_file ?? "one file"}. On other kinds of text, other subjects or other languages, it is less accurate than on its test reviews, or no better than chance.`,
  ];
  const sequences = `sequences of up to ${max_ngram} words and punctuation marks${inside}`;
  if (hasLstm(model)) {
    limits.push(
      `It knows ${plural(vocabulary_size, "word")}. Its LSTM reads at most ${count(sequence_length)} of them in a text (${ends.join(" and ")} of a longer one)` +
        (max_ngram ? `, and a second part reads the whole text, as ${sequences}.` : "."),
    );
  } else {
    limits.push(`It reads ${sequences}, wherever they are in the text.`);
  }
  const found = listByLabel(test?.recall ?? {}).filter(([, share]) => share !== null);
  if (found.length) {
    limits.push(`Of the test reviews of each label, ${describeRecall(found)}.`);
  }
  return limits;
}

function offerExamples(examples) {
  const list = find("examples").querySelector("ul");
  list.replaceChildren(
    ...examples.map((text, place) => {
      const item = document.createElement("li");
      const button = make("button", text);
      button.dir = "auto";
      button.type = "button";
      button.addEventListener("click", () => {
        review.value = text;
        judge();
      });
      item.hidden = place >= FEW;
      item.append(button);
      return item;
    }),
  );
  find("more-examples").hidden = examples.length <= FEW;
  find("examples").hidden = !examples.length;
}

find("more-examples").addEventListener("click", ({ target }) => {
  for (const item of find("examples").querySelectorAll("li")) item.hidden = false;
  target.hidden = true;
});

introduce().catch(showProblem);
