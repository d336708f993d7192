// book.js: what a reader with a keyboard, a screen reader or a phone misses in the built pages.
document.addEventListener("DOMContentLoaded", () => {
    // docutils calls the bibliography a list, but gives it no list items.
    document.querySelectorAll(".citation-list[role=list]").forEach((list) => list.removeAttribute("role"));
    // A table or figure that scrolls can be reached with the tabulator, and scrolled with the arrows.
    const watched = new ResizeObserver((entries) => {
        for (const { target } of entries) {
            if (target.scrollWidth > target.clientWidth) target.setAttribute("tabindex", "0");
            else target.removeAttribute("tabindex");
        }
    });
    document.querySelectorAll(".bd-article :is(table, figure)").forEach((box) => watched.observe(box));
});
