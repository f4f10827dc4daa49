// One order per click: a slow answer must not book twice.
const form = document.getElementById("checkout");
const button = form.querySelector("button");
const label = button.textContent;
form.addEventListener("submit", () => {
  button.disabled = true;
  button.textContent = button.dataset.wait;
});
window.addEventListener("pageshow", () => {
  button.disabled = false;
  button.textContent = label;
});
