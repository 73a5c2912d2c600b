// The portal's only script of its own. Every page works without it: here are comforts alone.

// After a form came back invalid, the reader lands on the list of errors (on full pages; a fragment never moves the focus).
document.querySelector("[data-error-summary]")?.focus();

// The small-screen menu closes with Escape and when the reader goes elsewhere.
const menu = document.querySelector("[data-menu]");
if (menu) {
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape" && menu.open) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });
  document.addEventListener("click", (event) => {
    if (menu.open && !menu.contains(event.target)) menu.open = false;
  });
}

// "Copia" buttons exist only where the clipboard does.
for (const button of document.querySelectorAll("[data-copies]")) {
  if (!navigator.clipboard) continue;
  button.hidden = false;
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(button.dataset.copies);
    button.textContent = button.dataset.done;
  });
}

// Fields that matter only for one choice: shown at once when the page loads, hidden by script while another choice is taken.
function showChosen(group) {
  const chosen = document.querySelector(`input[name="${group.dataset.shownFor}"]:checked`);
  group.hidden = !chosen || chosen.value !== group.dataset.shownWhen;
}
for (const group of document.querySelectorAll("[data-shown-for]")) {
  showChosen(group);
  for (const input of document.querySelectorAll(`input[name="${group.dataset.shownFor}"]`)) {
    input.addEventListener("change", () => showChosen(group));
  }
}

// A form whose answer takes a while is sent once: its button rests until the next page, or until one comes back to this one.
function rest(form, isResting) {
  for (const button of form.querySelectorAll("button[type=submit]")) button.disabled = isResting;
}
document.addEventListener("submit", (event) => {
  // After the browser has read the form: a disabled button is left out of what is sent.
  if (event.target.matches("[data-once]")) setTimeout(rest, 0, event.target, true);
});
window.addEventListener("pageshow", () => {
  for (const form of document.querySelectorAll("[data-once]")) rest(form, false);
});

// When a fragment cannot be refreshed (network away, server error) the page says so instead of going quietly stale.
function sayStale(event) {
  const note = event.target.closest("[data-stale]")?.querySelector("[data-stale-note]") ?? document.querySelector("[data-stale-note]");
  if (note) note.hidden = false;
}
document.addEventListener("htmx:responseError", sayStale);
document.addEventListener("htmx:sendError", sayStale);
document.addEventListener("htmx:afterSwap", () => {
  const note = document.querySelector("[data-stale-note]");
  if (note) note.hidden = true;
});

// Ticking every row of the page at once, and unticking them; the button exists only where a script can do it.
function offerAll() {
  for (const button of document.querySelectorAll("[data-picks-all]")) button.hidden = false;
}
offerAll();
document.addEventListener("htmx:afterSwap", offerAll);
document.addEventListener("click", (event) => {
  const button = event.target.closest("[data-picks-all]");
  if (!button) return;
  const boxes = [...button.form.querySelectorAll(`input[type="checkbox"][name="${button.dataset.picksAll}"]`)];
  const wanted = boxes.some((box) => !box.checked);
  for (const box of boxes) box.checked = wanted;
});

// A hidden tab asks nothing: a poll due meanwhile is skipped, and the next one comes when the tab is seen again.
document.addEventListener("htmx:beforeRequest", (event) => {
  if (document.hidden && event.target.hasAttribute("data-poll")) event.preventDefault();
});
