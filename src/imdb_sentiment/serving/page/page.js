const PAUSE = 250; // milliseconds after the last key press until a prediction is requested
const FAINTEST = 0.001; // smaller effects, below a tenth of a point, are not marked
const STRONGEST = 5; // number of words in the sentence below the text

const find = (id) => document.getElementById(id);
const review = find("review");
const percent = (share) => `${(100 * share).toFixed(1)}%`;
const points = (share) => `${share > 0 ? "+" : "−"}${(100 * Math.abs(share)).toFixed(1)}`;

function make(tag, content, className = "") {
  const element = document.createElement(tag);
  element.textContent = content;
  element.className = className;
  return element;
}

async function ask(path, options = {}) {
  const key = sessionStorage.getItem("key");
  const headers = { ...options.headers, ...(key && { "X-API-Key": key }) };
  let response;
  try {
    response = await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Error("The service does not respond. Is it running?");
  }
  if (response.ok) return response;
  if (response.status === 401) {
    find("key-form").hidden = false;
    find("key").focus();
  }
  const problem = await response.json().catch(() => ({}));
  throw new Error(`Error from the service: ${problem.detail ?? response.statusText}.`);
}

function hideVerdict() {
  find("verdict").hidden = true;
  find("said").textContent = "";
}

function showProblem(error) {
  find("problem").textContent = error ? error.message : "";
  find("problem").hidden = !error;
}

function showVerdict({ prediction, explained_label: explained, segments }) {
  const { label, probability, probabilities, reason } = prediction;
  find("said").textContent =
    label === null ? `No prediction: ${reason}.` : `${label}, ${percent(probability)}`;
  find("probabilities").replaceChildren(
    ...Object.entries(probabilities).map(([name, share]) => {
      const item = document.createElement("li");
      const bar = make("span", "", "bar");
      const filled = make("span", "");
      filled.style.width = percent(share);
      bar.append(filled);
      item.append(make("span", name, "name"), bar, make("span", percent(share), "number"));
      return item;
    }),
  );
  find("explained").textContent = explained;
  showWords(segments);
  find("verdict").hidden = false;
  find("verdict").classList.remove("stale");
}

function showWords(segments) {
  const words = segments.filter(({ effect }) => effect !== null);
  const most = Math.max(...words.map(({ effect }) => Math.abs(effect)), FAINTEST);
  find("text").replaceChildren(
    ...segments.map(({ text, effect }) => {
      if (effect === null || Math.abs(effect) < FAINTEST) return document.createTextNode(text);
      const mark = make("mark", text, effect > 0 ? "for" : "against");
      mark.style.setProperty("--strength", (0.6 * Math.abs(effect)) / most);
      mark.title = `${points(effect)} points`;
      return mark;
    }),
  );
  const strongest = words
    .filter(({ effect }) => Math.abs(effect) >= FAINTEST)
    .sort((one, other) => Math.abs(other.effect) - Math.abs(one.effect))
    .slice(0, STRONGEST)
    .map(({ text, effect }) => `${text} (${points(effect)})`);
  find("strongest").textContent = strongest.length
    ? `Strongest effects, in percentage points: ${strongest.join(", ")}.`
    : "No single word changes the probability by a tenth of a point.";
  find("words").hidden = !words.length;
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
  sessionStorage.setItem("key", find("key").value);
  find("key-form").hidden = true;
  showProblem(null);
  offerExamples().catch(showProblem);
  judge();
});

find("upload").addEventListener("submit", async (event) => {
  event.preventDefault();
  const [file] = find("file").files;
  const button = event.submitter;
  const said = find("upload-said");
  button.disabled = true;
  said.textContent = `Scoring ${file.name} …`;
  try {
    const column = encodeURIComponent(find("column").value);
    const response = await ask(`score?text_column=${column}`, {
      method: "POST",
      headers: { "Content-Type": "text/csv" },
      body: file,
    });
    const link = document.createElement("a");
    link.href = URL.createObjectURL(await response.blob());
    link.download = file.name.replace(/(\.csv)?$/i, "_scored.csv");
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
    said.textContent = `Downloaded as ${link.download}.`;
  } catch (error) {
    said.textContent = error.message;
  } finally {
    button.disabled = false;
  }
});

async function offerExamples() {
  const { examples } = await (await ask("model")).json();
  find("examples")
    .querySelector("ul")
    .replaceChildren(
      ...examples.map((text) => {
        const item = document.createElement("li");
        const button = make("button", text);
        button.type = "button";
        button.addEventListener("click", () => {
          review.value = text;
          scrollTo({ top: 0 });
          judge();
        });
        item.append(button);
        return item;
      }),
    );
  find("examples").hidden = !examples.length;
}

offerExamples().catch(showProblem);
