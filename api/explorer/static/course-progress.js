// Which exercises of the course have been done, kept in this browser only, and shown where the steps are listed.

const PLACE = "quarry-course";

function read() {
  try {
    return new Set(JSON.parse(localStorage.getItem(PLACE) ?? "[]"));
  } catch {
    return new Set(); // there is no storage, or something else is in it
  }
}

function show(done) {
  for (const link of document.querySelectorAll("[data-lesson]")) {
    if (!done.has(link.dataset.lesson) || link.querySelector(".done")) continue;
    const mark = document.createElement("span");
    mark.className = "done";
    mark.setAttribute("role", "img");
    mark.setAttribute("aria-label", "done");
    mark.textContent = "✓";
    link.append(" ", mark);
  }
}

export function note(step) {
  const done = read().add(step);
  try {
    localStorage.setItem(PLACE, JSON.stringify([...done]));
  } catch {
    // Without storage, the mark holds for this page only.
  }
  show(done);
}

show(read());
