(() => {
  "use strict";
  const group = (n) => String(n).replace(/\B(?=(\d{3})+$)/g, ",");
  for (const button of document.querySelectorAll("button[data-copy]")) {
    const code = document.getElementById(button.dataset.copy);
    if (location.protocol === "https:") {
      code.textContent = code.textContent.replace(/^http:/, "https:");
    }
    button.hidden = false;
    button.addEventListener("click", async () => {
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch {
        // Outside a secure context there is no clipboard: select the text for the keyboard.
        getSelection().selectAllChildren(code);
        button.textContent = "Selected";
      }
      setTimeout(() => { button.textContent = "Copy"; }, 1500);
    });
  }
  const show = (stats) => {
    const both = stats.peersSeederAndLeecher;
    const numbers = {
      torrents: stats.torrents,
      peers: stats.peersAll,
      seeding: stats.peersSeederOnly + both,
      downloading: stats.peersLeecherOnly + both,
      ipv4: stats.peersIPv4,
      ipv6: stats.peersIPv6,
    };
    for (const [name, number] of Object.entries(numbers)) {
      document.getElementById(name).textContent = group(number);
    }
  };
  setInterval(async () => {
    if (document.hidden) return;
    try {
      const answer = await fetch("stats.json", { cache: "no-store" });
      if (answer.ok) show(await answer.json());
    } catch {
      // The tracker is away for a moment; the next round tells.
    }
  }, 10000);
})();
