// Applies the colour scheme that the reader chose earlier, before the page is first drawn.
{
  let chosen = null;
  try {
    chosen = localStorage.getItem("quarry-theme");
  } catch {
    // Storage may be disabled; then the system's scheme applies.
  }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
}
