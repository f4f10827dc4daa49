// Names the columns of a list inside its cells, for phones, where a row is a card. Without it the values stand alone.
document.addEventListener("DOMContentLoaded", () => {
  const headers = [...document.querySelectorAll("#result_list thead th")].map((header) => header.textContent.trim());
  for (const row of document.querySelectorAll("#result_list tbody tr")) {
    [...row.cells].forEach((cell, place) => {
      if (cell.matches(".action-checkbox")) return;
      cell.classList.toggle("kd-nothing", ["", "-"].includes(cell.textContent.trim()));
      if (!cell.querySelector(".kd-name")) cell.dataset.kdColumn = headers[place];
    });
  }
});
