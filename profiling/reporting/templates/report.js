"use strict";

// Light or dark: as the reader's system says, until the button is pressed; on paper always light.
const root = document.documentElement;
const system = matchMedia("(prefers-color-scheme: dark)");
let dark = system.matches;
const paint = () => root.classList.toggle("dark", dark);
paint();
system.addEventListener("change", (event) => { dark = event.matches; paint(); });
document.getElementById("theme").addEventListener("click", () => { dark = !dark; paint(); });
addEventListener("beforeprint", () => root.classList.remove("dark"));
addEventListener("afterprint", paint);

// Tables: a click on a heading sorts by it, a second one the other way; what has no number comes last.
function sortable(table) {
  table.querySelectorAll("th").forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.title = "sort";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const down = heading.getAttribute("aria-sort") === "ascending";
      table.querySelectorAll("th").forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", down ? "descending" : "ascending");
      const body = table.tBodies[0];
      const value = (row) => parseFloat(row.cells[column].textContent.replace(/[^-+.\d]*/, ""));
      const text = (row) => row.cells[column].textContent;
      const order = (one, other) => {
        const [a, b] = [value(one), value(other)];
        if (isNaN(a) || isNaN(b)) return isNaN(a) - isNaN(b) || text(one).localeCompare(text(other));
        return down ? b - a : a - b;
      };
      body.append(...[...body.rows].sort(order));
    });
  });
}
document.querySelectorAll("table").forEach(sortable);

// Figures: the view of an SVG is a rectangle within its first one.
function zoomable(figure) {
  const svg = figure.querySelector("svg");
  const whole = svg.getAttribute("viewBox").split(/\s+/).map(Number);
  let view = [...whole];
  const show = (x, y, width) => {
    const scale = Math.min(1, Math.max(1 / 40, width / whole[2]));
    const [w, h] = [whole[2] * scale, whole[3] * scale];
    const within = (value, low, high) => Math.min(high, Math.max(low, value));
    view = [within(x, whole[0], whole[0] + whole[2] - w), within(y, whole[1], whole[1] + whole[3] - h), w, h];
    svg.setAttribute("viewBox", view.join(" "));
    svg.classList.toggle("zoomed", scale < 1);
  };
  const zoom = (factor, at = [view[0] + view[2] / 2, view[1] + view[3] / 2]) =>
    show(at[0] - (at[0] - view[0]) * factor, at[1] - (at[1] - view[1]) * factor, view[2] * factor);
  const place = (event) => {
    const box = svg.getBoundingClientRect();
    return [view[0] + ((event.clientX - box.left) / box.width) * view[2],
            view[1] + ((event.clientY - box.top) / box.height) * view[3]];
  };
  const moves = {
    "+": () => zoom(1 / 1.5), "-": () => zoom(1.5), "0": () => show(...whole),
    ArrowLeft: () => show(view[0] - view[2] / 8, view[1], view[2]),
    ArrowRight: () => show(view[0] + view[2] / 8, view[1], view[2]),
    ArrowUp: () => show(view[0], view[1] - view[3] / 8, view[2]),
    ArrowDown: () => show(view[0], view[1] + view[3] / 8, view[2]),
  };
  figure.querySelectorAll("[data-zoom]").forEach((button) =>
    button.addEventListener("click", moves[button.dataset.zoom]));
  svg.addEventListener("keydown", (event) => {
    const move = moves[event.key];
    if (!move || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    move();
  });
  svg.addEventListener("wheel", (event) => {
    if (!event.ctrlKey && !event.metaKey) return; // the wheel alone turns the page
    event.preventDefault();
    zoom(event.deltaY < 0 ? 1 / 1.25 : 1.25, place(event));
  }, { passive: false });
  svg.addEventListener("dblclick", (event) => { event.preventDefault(); moves["0"](); });
  svg.addEventListener("pointerdown", (event) => {
    if (view[2] >= whole[2] || event.button) return;
    svg.setPointerCapture(event.pointerId);
    const held = place(event);
    const drag = (moved) => {
      const at = place(moved);
      show(view[0] + held[0] - at[0], view[1] + held[1] - at[1], view[2]);
    };
    svg.addEventListener("pointermove", drag);
    for (const end of ["pointerup", "pointercancel"])
      svg.addEventListener(end, () => svg.removeEventListener("pointermove", drag), { once: true });
  });
}
document.querySelectorAll("figure").forEach(zoomable);

// The numbers, as a file.
const link = document.getElementById("json");
const numbers = document.getElementById("document").textContent;
link.href = URL.createObjectURL(new Blob([numbers], { type: "application/json" }));
