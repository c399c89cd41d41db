// The pages work without this. It adds keys, guidelines over the page, and sends nothing twice.
"use strict";
(() => {
  const guidelines = document.getElementById("guidelines");
  const form = document.querySelector("form.judge");

  const open = (link, event) => {
    if (!link.dataset.opens || !guidelines.showModal) return;
    event.preventDefault();
    guidelines.showModal();
  };
  for (const link of document.querySelectorAll("[data-opens]")) link.addEventListener("click", (event) => open(link, event));

  // A digit chooses a level of the criterion that has the focus, else of the first that has none yet.
  const rate = (digit) => {
    const open = [...document.querySelectorAll("form.rating fieldset")];
    const here = document.activeElement?.closest("fieldset");
    const set = here && !here.querySelector(":checked") ? here : open.find((one) => !one.querySelector(":checked")) || here;
    const level = set?.querySelectorAll("input")[Number(digit) - 1];
    if (!level) return false;
    level.checked = true;
    level.focus();
    set.scrollIntoView({ block: "nearest" });
    return true;
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || event.repeat || guidelines?.open) return;
    if (event.target.matches("input:not([type=radio]), textarea, select")) return;
    if (event.key === "Enter" && event.target.matches("input[type=radio]")) {
      event.preventDefault();
      form?.requestSubmit(document.querySelector("[data-send]"));
      return;
    }
    if (/^[1-9]$/.test(event.key) && document.querySelector("form.rating")) {
      if (rate(event.key)) event.preventDefault();
      return;
    }
    // Keyboards of other scripts have their own letters on the keys of s and u.
    const latin = event.code.startsWith("Key") ? event.code.slice(3).toLowerCase() : "";
    const wanted = [event.key.toLowerCase(), latin].filter((key) => /^[12?0su]$/.test(key));
    const found = wanted.map((key) => document.querySelector(`[data-key="${key}"]`)).find(Boolean);
    if (!found) return;
    event.preventDefault();
    found.click();
  });

  let sent = false;
  form?.addEventListener("submit", (event) => {
    if (sent) event.preventDefault();
    sent = true;
  });
  window.addEventListener("pageshow", () => { sent = false; });
})();
