// book.js: docutils calls the bibliography a list, but gives it no list items; a screen reader is told so no longer.
document.addEventListener("DOMContentLoaded", () => {
    document.querySelectorAll(".citation-list[role=list]").forEach((list) => list.removeAttribute("role"));
});
