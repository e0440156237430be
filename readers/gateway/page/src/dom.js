// SPDX-License-Identifier: MIT
// Elements, made and changed with as little work as possible. All text goes in as text: what
// comes from the bus is never markup.

// h("td.name", {title: "…"}, child, …): an element with classes, attributes and children.
export function h(what, attributes, ...children) {
	const [tag, ...classes] = what.split(".");
	const node = document.createElement(tag || "div");
	if (classes.length > 0)
		node.className = classes.join(" ");
	for (const [name, value] of Object.entries(attributes ?? {})) {
		if (name.startsWith("on"))
			node.addEventListener(name.slice(2), value);
		else if (value !== undefined && value !== false)
			node.setAttribute(name, value === true ? "" : value);
	}
	node.append(...children);
	return node;
}

export const byId = (id) => document.getElementById(id);

// What an element shows is remembered beside it: reading it back from the page would cost more.
const shown = new WeakMap();

function changed(node, key, value) {
	let known = shown.get(node);
	if (known === undefined)
		shown.set(node, (known = Object.create(null)));
	if (known[key] === value)
		return false;
	known[key] = value;
	return true;
}

export function text(node, value) {
	if (changed(node, "text", value))
		node.textContent = value;
}

export function attribute(node, name, value) {
	if (!changed(node, `@${name}`, value))
		return;
	if (value === null || value === undefined || value === false)
		node.removeAttribute(name);
	else
		node.setAttribute(name, value);
}

export function style(node, name, value) {
	if (changed(node, `$${name}`, value))
		node.style.setProperty(name, value);
}

export function hide(node, hidden) {
	if (changed(node, "hidden", hidden))
		node.hidden = hidden;
}

// One element for each item of a list, kept while the list changes: make() once, fill() each time.
export function list(parent, items, make, fill) {
	while (parent.children.length > items.length)
		parent.lastElementChild.remove();
	items.forEach((item, i) => {
		let node = parent.children[i];
		if (node === undefined)
			parent.append((node = make()));
		fill(node, item, i);
	});
}

// Runs a function once in the next frame, however often it is asked for.
export function once(draw) {
	let asked = 0;
	return () => {
		asked ||= requestAnimationFrame(() => {
			asked = 0;
			draw();
		});
	};
}

// A colour of the style sheet as canvases take it, for the theme that is shown now.
const colours = new Map();
let probe;

export function colour(name) {
	if (!colours.has(name)) {
		probe ??= document.body.appendChild(h("i", { hidden: true }));
		probe.style.color = `var(--${name})`;
		colours.set(name, getComputedStyle(probe).color);
	}
	return colours.get(name);
}

export const forgetColours = () => colours.clear();

// A canvas of the size that it is shown at, sharp on any screen; null while it is not shown.
export function sharp(canvas, width, height) {
	const ratio = window.devicePixelRatio || 1;
	const w = Math.round(width * ratio);
	const hh = Math.round(height * ratio);
	if (w <= 0 || hh <= 0)
		return null;
	if (canvas.width !== w || canvas.height !== hh) {
		canvas.width = w;
		canvas.height = hh;
	}
	const context = canvas.getContext("2d");
	context.setTransform(ratio, 0, 0, ratio, 0, 0);
	context.clearRect(0, 0, width, height);
	return context;
}
