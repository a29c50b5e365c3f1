{
  // The tooltip of a mark: its name, then a line for each fact.
  const tip = document.getElementById("tip");
  const hide = () => { tip.hidden = true; };
  const show = (mark) => {
    const [name, ...facts] = (mark.dataset.told ?? mark.getAttribute("aria-label")).split("\n");
    const title = document.createElement("b");
    title.textContent = name;
    tip.replaceChildren(title, ...facts.map((fact) => {
      const line = document.createElement("div");
      const [what, ...rest] = fact.split(": ");
      const key = document.createElement("span");
      key.textContent = what + " ";
      line.append(key, rest.join(": "));
      return line;
    }));
    tip.hidden = false;
    const at = mark.getBoundingClientRect(), box = tip.getBoundingClientRect();
    const left = Math.min(at.left + at.width / 2 + 10, innerWidth - box.width - 8);
    const over = at.top - box.height - 2;
    tip.style.left = Math.max(left, 8) + "px";
    tip.style.top = (over > 8 ? over : at.bottom + 2) + "px";
  };
  for (const type of ["pointerover", "focusin"]) {
    document.addEventListener(type, (event) => {
      const mark = event.target.closest?.(".chart [role=graphics-symbol][aria-label], [data-told]");
      mark && !mark.closest(".role-axis") ? show(mark) : hide();
    });
  }
  document.addEventListener("scroll", hide, {passive: true, capture: true});
  document.addEventListener("keydown", (event) => event.key === "Escape" && hide());
}
