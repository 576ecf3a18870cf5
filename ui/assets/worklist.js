// Buttons of the list sort, filter, turn pages or open a row. While the list grows its rows are drawn anew each second,
// so the button that had the focus gets it back.
let held = null;

const key = (button) =>
  button.dataset.place === undefined
    ? `[data-action="${button.dataset.action}"][data-value="${button.dataset.value}"]`
    : `[data-place="${button.dataset.place}"]`;

element.addEventListener("focusin", (event) => {
  const button = event.target.closest("button");
  held = button && key(button);
});

element.addEventListener("focusout", (event) => {
  // A button that is taken out of the page loses the focus to nothing.
  if (event.relatedTarget || event.target.isConnected) held = null;
});

element.addEventListener("click", (event) => {
  const button = event.target.closest("button");
  if (!button) return;
  if (button.dataset.place !== undefined) trigger("click", { place: Number(button.dataset.place) });
  else {
    element.dataset.chosen = `${button.dataset.action}:${button.dataset.value}`;
    trigger("select");
  }
});

watch("value", () => {
  if (held && document.activeElement === document.body) element.querySelector(held)?.focus({ preventScroll: true });
});
