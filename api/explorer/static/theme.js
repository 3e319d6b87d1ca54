// Before the first paint: the colour scheme that the reader chose here earlier, if any.
{
  let chosen = null;
  try {
    chosen = localStorage.getItem("quarry-theme");
  } catch {
    // Storage may be switched off; then the system decides.
  }
  if (chosen === "light" || chosen === "dark") document.documentElement.dataset.theme = chosen;
}
