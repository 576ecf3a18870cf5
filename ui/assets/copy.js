// A browser lets a page write to the clipboard only where it is secure; elsewhere the code is marked, to be copied by hand.
element.addEventListener("click", async (event) => {
  const button = event.target.closest(".snippet button");
  if (!button) return;
  const code = button.parentElement.querySelector("code");
  try {
    await navigator.clipboard.writeText(code.textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(code);
    button.textContent = "Marked: press Ctrl+C";
  }
  setTimeout(() => (button.textContent = "Copy"), 2500);
});
