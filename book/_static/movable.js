// movable.js: the figures that a reader moves. They need no server and no network, and work by keyboard.
//
// A page holds <div class="movable" data-movable="KIND"> with a still picture, which is all there is without script,
// and the data of the figure as JSON. The still gives way to sliders or lists, which the browser brings, and to a
// drawing in the colours of the page. `bu_book/movable.py` writes both; the kinds are the functions of KINDS.
(() => {
    const SVG = "http://www.w3.org/2000/svg";
    const FRAME_MS = 500; // how long a frame stays while a figure plays
    const SIDE = 255; // a square is as wide as a coordinate of its points has values

    const element = (name, attributes = {}, ...inside) => {
        const made = document.createElement(name);
        Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value));
        made.append(...inside);
        return made;
    };
    const drawn = (name, attributes = {}) => {
        const made = document.createElementNS(SVG, name);
        Object.entries(attributes).forEach(([key, value]) => made.setAttribute(key, value));
        return made;
    };
    const percent = (value) => `${value.toFixed(1)} %`;

    // A slider over named values; `moved(place)` gets the number of the value. Returns a function that sets it.
    function slider(controls, { label, values, start }, moved) {
        const input = element("input", { type: "range", min: 0, max: values.length - 1, step: 1, value: start });
        const shown = element("span", { class: "movable-value", "aria-hidden": "true" }); // the input says it, too
        const tell = () => {
            shown.textContent = values[input.value];
            input.setAttribute("aria-valuetext", values[input.value]);
        };
        input.addEventListener("input", () => { tell(); moved(Number(input.value)); });
        tell();
        controls.append(element("label", {}, element("span", {}, label), input, shown));
        return (place) => { input.value = place; tell(); };
    }

    // A list to choose from; `moved(place)` is called with the number of the entry.
    function list(controls, { label, values, start }, moved) {
        const select = element("select", {}, ...values.map((text, place) => element("option", { value: place }, text)));
        select.value = start;
        select.addEventListener("change", () => moved(Number(select.value)));
        controls.append(element("label", {}, element("span", {}, label), select));
    }

    // --- a square: the regions of a network in two dimensions, one frame for each place of the sliders ------------

    // A row as [class, from, to] of each run; a run is written as a digit, the class, and two, its end to base 16.
    function runs(row) {
        let from = 0;
        return [...row.matchAll(/(\d)([0-9a-f]{2})?/g)].map(([, label, end]) => {
            const to = end === undefined ? SIDE : parseInt(end, 16);
            const run = [Number(label), from, to];
            from = to;
            return run;
        });
    }

    // The outlines of the regions, by class, and the borders between, as paths; an empty row is the one before again.
    function outlines(frame, classes) {
        let last = "";
        const rows = frame.split(",").map((row) => runs(last = row || last));
        const areas = Array.from({ length: classes }, () => ""), height = SIDE / rows.length;
        const alike = (one, two) => two && one.length === two.length && one.every((run, at) => run[0] === two[at][0]);
        let border = "";
        for (let first = 0; first < rows.length;) {
            let end = first + 1; // rows with the same classes in the same order share their outlines
            while (alike(rows[first], rows[end])) end += 1;
            const block = rows.slice(first, end);
            const middles = block.map((_, at) => SIDE - (first + at + 0.5) * height);
            const [low, high] = [SIDE - first * height, SIDE - end * height];
            rows[first].forEach(([label], at) => {
                const side = (which) => [
                    [block[0][at][which], low], ...block.map((row, place) => [row[at][which], middles[place]]),
                    [block[block.length - 1][at][which], high],
                ];
                const [left, right] = [side(1), side(2)];
                areas[label] += `M${[...left, ...right.slice().reverse()].map((point) => point.join(" ")).join("L")}Z`;
                if (right[0][0] < SIDE) border += `M${right.map((point) => point.join(" ")).join("L")}`;
            });
            first = end;
        }
        return { areas, border };
    }

    const MARKS = [ // the shapes of the classes, so that colour is not all that tells them apart
        (x, y) => `M${x - 3} ${y}a3 3 0 1 0 6 0a3 3 0 1 0-6 0`,
        (x, y) => `M${x - 2.6} ${y - 2.6}h5.2v5.2h-5.2z`,
        (x, y) => `M${x} ${y - 3.6}l3.4 6h-6.8z`,
        (x, y) => `M${x} ${y - 3.6}l3.6 3.6l-3.6 3.6l-3.6-3.6z`,
        (x, y) => `M${x} ${y + 3.6}l3.4-6h-6.8z`,
    ];

    function square(box, data) {
        const picture = drawn("svg", { viewBox: `0 0 ${SIDE} ${SIDE}`, role: "img", class: "movable-square" });
        const areas = data.colours.map((colour) => drawn("path", { fill: colour, "fill-opacity": 0.4 }));
        const border = drawn("path", { fill: "none", stroke: "currentColor", "stroke-width": 0.8 });
        const marks = data.colours.map((colour, label) => drawn("path", {
            class: "movable-mark", fill: colour,
            d: data.points.filter((point) => point[2] === label).map(([x, y]) => MARKS[label](x, SIDE - y)).join(""),
        }));
        picture.append(...areas, border, ...marks);
        const told = element("p", { role: "status" }), controls = element("div", { class: "movable-controls" });
        const at = data.sliders.map((each) => each.start);
        const show = () => {
            const number = data.sliders.reduce((sum, each, place) => sum * each.values.length + at[place], 0);
            const made = outlines(data.frames[number], data.colours.length);
            areas.forEach((area, label) => area.setAttribute("d", made.areas[label]));
            border.setAttribute("d", made.border);
            told.textContent = data.told[number];
            picture.setAttribute("aria-label", `${data.label}: ${data.told[number]}`);
        };
        let timer = null;
        const button = element("button", { type: "button" }, "play");
        const stop = () => { clearInterval(timer); timer = null; button.textContent = "play"; };
        const set = data.sliders.map((each, place) => slider(controls, each, (value) => {
            stop();
            at[place] = value;
            show();
        }));
        if (data.sliders.length === 1) { // one slider is time, and can run by itself once it is asked to
            const last = data.sliders[0].values.length - 1;
            const go = (place) => { at[0] = place; set[0](place); show(); };
            button.addEventListener("click", () => {
                if (timer) return stop();
                if (at[0] === last) go(0);
                button.textContent = "stop";
                timer = setInterval(() => (at[0] === last ? stop() : go(at[0] + 1)), FRAME_MS);
            });
            controls.append(button);
        }
        box.append(controls, picture, told);
        show();
    }

    // --- answers: which classes a model gives the forgetting images, the more remaining images it was shown -------

    function answers(box, data) {
        const controls = element("div", { class: "movable-controls" }), told = element("p", { role: "status" });
        const bars = element("table", { class: "movable-bars" });
        let model = data.start, count = 0;
        const row = (name, value, own) => {
            const bar = element("div", { class: own ? "movable-bar movable-own" : "movable-bar" });
            bar.style.width = `${value}%`;
            const head = element("th", { scope: "row" }, name);
            return element("tr", {}, head, element("td", {}, bar), element("td", {}, percent(value)));
        };
        const show = () => {
            const { name, shown } = data.models[model], state = shown[count];
            const given = state.shares
                ? state.shares.map((share, label) => [data.classes[label], share, label === data.forgotten])
                : [[data.classes[data.forgotten], state.recognised, true], ["any other class", 100 - state.recognised]];
            bars.replaceChildren(element("caption", {}, `What it takes the images of ${data.of} for`),
                element("tbody", {}, ...given.map((each) => row(...each))));
            const when = count === 0 ? "as it was left" : `after ${data.counts[count]} remaining images`;
            const others = state.others === null ? "" : `, and ${percent(state.others)} of unseen images of the others`;
            told.textContent = `${name}, ${when}: ${percent(state.recognised)} of ${data.of} recognised${others}.`;
        };
        list(controls, { label: "Model", values: data.models.map((each) => each.name), start: model }, (place) => {
            model = place;
            show();
        });
        slider(controls, { label: "Remaining images shown", values: data.counts, start: 0 }, (place) => {
            count = place;
            show();
        });
        box.append(controls, bars, told);
        show();
    }

    // --- points: where the models put the same images -------------------------------------------------------------

    function points(box, data) {
        const picture = drawn("svg", { viewBox: "-15 -15 1030 1030", role: "img", class: "movable-points" });
        const first = data.models[data.start];
        const dots = data.labels.map((label) => drawn("circle", { r: 4, fill: data.colours[label] }));
        const rings = first.answers.map(() => drawn("circle", { r: 7, fill: "none", "stroke-width": 2.5 }));
        const names = data.classes.map((name) => {
            const text = drawn("text", { "text-anchor": "middle" });
            text.textContent = name;
            return text;
        });
        picture.append(...dots, ...rings, ...names);
        const told = element("p", { role: "status" }), controls = element("div", { class: "movable-controls" });
        const place = (mark, [x, y]) => { mark.style.transform = `translate(${x}px, ${1000 - y}px)`; };
        const middle = (of) => [0, 1].map((axis) => of.map((each) => each[axis]).sort((a, b) => a - b)[of.length >> 1]);
        const show = (number) => {
            const model = data.models[number];
            dots.forEach((dot, at) => place(dot, model.remain[at]));
            rings.forEach((ring, at) => {
                place(ring, model.forget[at]);
                ring.setAttribute("stroke", data.colours[model.answers[at]]);
            });
            names.forEach((text, label) => {
                const of = data.forgotten.includes(label)
                    ? model.forget.filter((_, at) => data.own[at] === label) : model.remain.filter((_, at) => data.labels[at] === label);
                text.toggleAttribute("hidden", of.length === 0);
                if (of.length) place(text, middle(of));
            });
            told.textContent = model.told;
            picture.setAttribute("aria-label", `${data.label}, ${model.told}`);
        };
        const values = data.models.map((each) => each.name);
        slider(controls, { label: "Model", values, start: data.start }, show);
        box.append(controls, picture, told);
        show(data.start);
    }

    const KINDS = { square, answers, points };
    const start = () => document.querySelectorAll("[data-movable]").forEach((box) => {
        KINDS[box.dataset.movable](box, JSON.parse(box.querySelector("script").textContent));
        box.classList.add("movable-live"); // the still stays for paper, see movable.css
    });
    if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
    else start();
})();
