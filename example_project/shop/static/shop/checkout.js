// One order per click: a slow answer must not tempt anybody to click twice.
const form = document.getElementById("checkout");
const button = form.querySelector("button");
form.addEventListener("submit", () => {
  button.disabled = true;
  button.textContent = "One moment…";
});
window.addEventListener("pageshow", () => {
  button.disabled = false;
  button.textContent = "Order and pay";
});
