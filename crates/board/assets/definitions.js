// What a figure means, one touch away.
import { byId } from "./dom.js";
import { text } from "./preferences.js";

export function start() {
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-definition]");
    if (!button) return;
    byId("definition-name").textContent = text(button.dataset.definition);
    byId("definition-text").textContent = text(`def_${button.dataset.definition}`);
    byId("definition").showModal();
  });
  // A touch beside it closes it, too.
  byId("definition").addEventListener("click", (event) => {
    if (event.target === event.currentTarget) event.currentTarget.close();
  });
}
