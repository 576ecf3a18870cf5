// Any numbered button inside this element chooses that entry; the first one counts as chosen when entries appear. Where no
// button has that number the marks stay as they were drawn. The choice stands in `data-chosen` for whoever asks later.
// The buttons are drawn anew with every value: one that had the keyboard gets it back.
let chosen = 0;
let focused = null;

const mark = () => {
  const buttons = element.querySelectorAll("button[data-index]");
  if (buttons.length === 0) chosen = 0;
  if (!element.querySelector(`button[data-index="${chosen}"]`)) return;
  for (const button of buttons) {
    const row = button.closest("tr");
    if (!row) continue;
    const current = Number(button.dataset.index) === chosen;
    row.classList.toggle("chosen", current);
    if (current) button.setAttribute("aria-current", "true");
    else button.removeAttribute("aria-current");
  }
};

element.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-index]");
  if (!button) return;
  chosen = Number(button.dataset.index);
  element.dataset.chosen = chosen;
  mark();
  trigger("select", { index: chosen });
});

document.addEventListener("focusin", ({ target }) => {
  focused = element.contains(target) ? target.closest("button[data-index]")?.dataset.index ?? null : null;
});

document.addEventListener("pointerdown", ({ target }) => { if (!element.contains(target)) focused = null; });

watch("value", () => {
  mark();
  const lost = focused !== null && document.activeElement === document.body;
  if (lost) element.querySelector(`button[data-index="${focused}"]`)?.focus({ preventScroll: true });
});
