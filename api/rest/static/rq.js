// What rq-dashboard leaves out: names of its fields for screen readers, and a keyboard's way into wide tables.
{
  for (const field of document.querySelectorAll("[title]:is(input, select)")) field.setAttribute("aria-label", field.title);
  for (const box of document.querySelectorAll(".table-responsive, .table-responsive-md")) {
    box.tabIndex = 0;
    box.setAttribute("role", "region");
    box.setAttribute("aria-label", document.querySelector("h1").textContent);
  }
}
