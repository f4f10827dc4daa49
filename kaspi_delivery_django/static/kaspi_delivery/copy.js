// Copies the text of a `data-kd-copy` button. The buttons are hidden until this script runs: without it a reader selects the text.
(() => {
  const SHOWN_MS = 2_000;

  // Only pages on https or localhost have a clipboard; elsewhere the browser copies a selection.
  const copySelection = (text) => {
    const field = document.createElement("textarea");
    field.className = "kd-unseen";
    field.value = text;
    document.body.append(field);
    field.select();
    const isCopied = document.execCommand("copy");
    field.remove();
    return isCopied;
  };
  const copy = async (text) => {
    try {
      await navigator.clipboard.writeText(text);
      return true;
    } catch {
      return copySelection(text);
    }
  };

  async function press(button) {
    const isCopied = await copy(button.dataset.kdCopy);
    button.focus();
    if (!isCopied) return;
    button.classList.add("kd-copied");
    const status = button.querySelector("[role=status]");
    status.textContent = button.dataset.kdCopied;
    setTimeout(() => {
      button.classList.remove("kd-copied");
      status.textContent = "";
    }, SHOWN_MS);
  }

  const show = () => document.querySelectorAll("button[data-kd-copy]").forEach((button) => { button.hidden = false; });
  document.addEventListener("click", (event) => {
    const button = event.target.closest("button[data-kd-copy]");
    if (button) press(button);
  });
  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", show);
  else show();
})();
