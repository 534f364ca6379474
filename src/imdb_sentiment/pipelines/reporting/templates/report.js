const dark = matchMedia("(prefers-color-scheme: dark)");
const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

// The page shows a figure's title itself, and follows the reader's colour scheme.
function dress(layout) {
  const { title, ...rest } = layout;
  const dressed = structuredClone(rest);
  const base = ((dressed.template ??= {}).layout ??= {});
  const ink = colour("--text");
  dressed.font = { ...dressed.font, color: ink, family: "system-ui, sans-serif" };
  for (const axis of Object.keys(dressed).filter((key) => /^[xy]axis/.test(key)).concat("xaxis", "yaxis")) {
    dressed[axis] = { ...dressed[axis], gridcolor: colour("--line"), linecolor: colour("--faint") };
  }
  if (!dressed.margin) base.margin = { ...base.margin, t: 20 };
  dressed.autosize = true;
  return dressed;
}

function draw(place) {
  const { data, layout } = JSON.parse(place.querySelector("script").textContent);
  const canvas = place.querySelector("div");
  const options = { responsive: true, displaylogo: false, displayModeBar: false };
  return Plotly.react(canvas, data, dress(layout), options);
}

const places = [...document.querySelectorAll(".figure")];

async function drawAll() {
  for (const place of places) {
    await draw(place);
    await new Promise((resolve) => setTimeout(resolve)); // lets the reader scroll between two figures
  }
  updateScrollers();
  document.documentElement.dataset.drawn = "all";
}

dark.addEventListener("change", drawAll);
drawAll();
