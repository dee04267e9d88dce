// The switch between the colours of the system, light and dark; the choice stays in this browser.

const CHOICES = ["system", "light", "dark"];
const SIGNS = { system: "◐", light: "☀", dark: "☾" };

/** Make a button the switch. */
export function startThemeSwitch(button) {
  const show = () => {
    const choice = chosen();
    button.textContent = SIGNS[choice];
    button.title = `Colours: ${choice}`;
    button.setAttribute("aria-label", `Colours: ${choice}. Switch to ${after(choice)}.`);
  };
  button.addEventListener("click", () => {
    choose(after(chosen()));
    show();
  });
  show();
}

function chosen() {
  return document.documentElement.dataset.theme ?? "system";
}

function after(choice) {
  return CHOICES[(CHOICES.indexOf(choice) + 1) % CHOICES.length];
}

function choose(choice) {
  if (choice === "system") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = choice;
  try {
    localStorage.setItem("zreg-theme", choice);
  } catch {
    // Storage is switched off: the choice holds until the page is closed.
  }
}
