// What does not fit scrolls. A box with a long text opens at the word with the strongest effect.

function findStrongest(text) {
  const marks = [...text.querySelectorAll("mark")];
  const strength = (mark) => Number(mark.style.getPropertyValue("--strength"));
  return marks.sort((one, other) => strength(other) - strength(one))[0];
}

function showEdges(excerpt, text) {
  const end = text.scrollHeight - text.clientHeight;
  excerpt.classList.toggle("above", text.scrollTop > 1);
  excerpt.classList.toggle("below", text.scrollTop < end - 1);
}

// What scrolls can be reached by keyboard, and has a name then.
function makeReachable(element, name) {
  element.tabIndex = 0;
  element.setAttribute("role", "group");
  element.setAttribute("aria-label", name);
}

function nameScroller(box) {
  const title = box.querySelector("caption, summary") ?? box.closest("figure")?.querySelector("h3");
  return title?.textContent.trim() ?? "Settings";
}

// Called again when the width changes, or when a part is opened.
function updateScrollers() {
  for (const box of document.querySelectorAll(".scroll, pre")) {
    if (box.scrollWidth > box.clientWidth) makeReachable(box, nameScroller(box));
    else for (const name of ["tabindex", "role", "aria-label"]) box.removeAttribute(name);
  }
}

addEventListener("resize", updateScrollers);
document.addEventListener("toggle", updateScrollers, { capture: true });
updateScrollers();

for (const excerpt of document.querySelectorAll(".excerpt")) {
  const text = excerpt.querySelector(".text");
  if (text.scrollHeight <= text.clientHeight + 1) continue;
  makeReachable(text, "Text of the review");
  const strongest = findStrongest(text);
  if (strongest) text.scrollTop = strongest.offsetTop - text.clientHeight / 2;
  text.addEventListener("scroll", () => showEdges(excerpt, text));
  showEdges(excerpt, text);

  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Show all";
  button.addEventListener("click", () => {
    const isWhole = excerpt.classList.toggle("whole");
    button.textContent = isWhole ? "Show less" : "Show all";
    showEdges(excerpt, text);
  });
  excerpt.after(button);
}
