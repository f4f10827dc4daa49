// Names the columns of a list inside its cells, for phones, where a row is a card. Without it the values stand alone.
// The cells of our tables inside a page have their names already. Cells that show nothing are left out there.
document.addEventListener("DOMContentLoaded", () => {
  const headers = [...document.querySelectorAll("#result_list thead th")].map((header) => header.textContent.trim());
  const isEmpty = (cell) => ["", "-", "—"].includes(cell.textContent.trim()) && !cell.querySelector("img, svg");
  for (const row of document.querySelectorAll("#result_list tbody tr, .kd-table tbody tr")) {
    [...row.cells].forEach((cell, place) => {
      if (cell.matches(".action-checkbox, .original")) return;
      cell.classList.toggle("kd-nothing", isEmpty(cell));
      if (!cell.dataset.kdColumn && !cell.querySelector(".kd-name")) cell.dataset.kdColumn = headers[place];
    });
  }
});
