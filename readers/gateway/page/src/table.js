// SPDX-License-Identifier: MIT
// The table of sessions. Only rows that can be seen have elements, and of those only what has
// changed is written: a thousand sessions cost as much as a screenful.
import { attribute, byId, h, hide, once, style, text } from "./dom.js";
import { COLUMNS, STATES, glyph, order } from "./columns.js";
import { counts } from "./model.js";

const SPARE = 4; // rows above and below what is seen
const ROW = 46; // px, until the style sheet has said

export class Table {
	// open(key) is called for the session that is to be shown.
	constructor(open) {
		this.open = open;
		this.grid = byId("sessions");
		this.records = new Map();
		this.rows = []; // records, as sorted and filtered
		this.filter = "";
		this.hidden = new Set(); // states
		this.column = COLUMNS[1];
		this.down = false;
		this.selected = null; // key
		this.opened = null;
		this.pool = [];
		this.now = 0;
		this.height = ROW;
		this.draw = once(() => this.render());
		this.heading();
		this.states();
		this.sorting();
		this.body = h("div.rows", { role: "rowgroup" });
		this.grid.append(this.body);
		this.listen();
	}

	heading() {
		this.heads = COLUMNS.map((column, i) => h(`button.head.c-${column.key}`, {
			type: "button", role: "columnheader", tabindex: "-1", title: column.hint, "aria-colindex": i + 1,
			disabled: column.value === null, onclick: () => this.sort(column),
		}, h("span", {}, column.title)));
		this.grid.append(h("div.heads", { role: "rowgroup" }, h("div.row.headrow", { role: "row" }, ...this.heads)));
	}

	states() {
		this.toggles = STATES.map((state) => h("button.toggle", {
			type: "button", "data-state": state, "aria-pressed": "true", onclick: () => this.toggle(state),
		}, h("span.glyph", { "aria-hidden": "true" }, glyph(state)), h("span.n"), ` ${state}`));
		byId("states").append(...this.toggles);
	}

	// Where there are no headings to click on.
	sorting() {
		this.select = byId("sort");
		this.select.append(...COLUMNS.filter((c) => c.value !== null)
			.map((c) => h("option", { value: c.key }, c.title)));
		this.select.addEventListener("change", () => this.sort(COLUMNS.find((c) => c.key === this.select.value)));
		this.select.value = this.column.key;
	}

	listen() {
		byId("filter").addEventListener("input", (event) => {
			this.filter = event.target.value.trim().toLowerCase();
			this.arrange();
		});
		this.body.addEventListener("click", (event) => {
			const record = event.target.closest(".row")?.record;
			if (record !== undefined) {
				this.choose(record.key);
				this.open(record.key);
			}
		});
		document.addEventListener("scroll", this.draw, { capture: true, passive: true });
		// How high a row is depends on how wide the page is.
		new ResizeObserver(() => {
			this.height = parseFloat(getComputedStyle(this.grid).getPropertyValue("--row")) || ROW;
			this.draw();
		}).observe(this.grid);
	}

	sort(column) {
		this.down = this.column === column ? !this.down : column.rising !== true;
		this.column = column;
		this.select.value = column.key;
		this.arrange();
	}

	toggle(state) {
		if (!this.hidden.delete(state))
			this.hidden.add(state);
		this.arrange();
	}

	update(model) {
		this.records = model.records;
		this.now = model.frame.time_unix_ns;
		this.arrange();
	}

	arrange() {
		const words = this.filter.split(/\s+/);
		this.rows = [...this.records.values()].filter((record) =>
			!this.hidden.has(record.state) && words.every((word) => record.words.includes(word)));
		this.rows.sort(order(this.column, this.down, this.now));
		this.draw();
	}

	// ---- selection ----

	index() {
		return this.rows.findIndex((record) => record.key === this.selected);
	}

	move(step) {
		if (this.rows.length === 0)
			return;
		const at = this.index();
		const to = at < 0 ? 0 : Math.min(this.rows.length - 1, Math.max(0, at + step));
		this.choose(this.rows[to].key);
		this.reveal(to);
	}

	choose(key) {
		this.selected = key;
		this.draw();
	}

	openSelected() {
		if (this.index() >= 0)
			this.open(this.selected);
	}

	setOpened(key) {
		this.opened = key;
		this.selected = key ?? this.selected;
		this.draw();
	}

	// Scrolls whatever scrolls, so that a row is seen whole, below the headings.
	reveal(index) {
		const box = this.body.getBoundingClientRect();
		const [top, bottom] = this.view();
		const at = box.top + index * this.height;
		const by = at < top ? at - top : Math.max(0, at + this.height - bottom);
		const scroller = this.scrolls() ? this.grid : window;
		scroller.scrollBy({ top: by });
	}

	scrolls() {
		return this.grid.scrollHeight > this.grid.clientHeight + 1;
	}

	// The part of the window where rows are seen.
	view() {
		const grid = this.grid.getBoundingClientRect();
		const head = this.grid.firstElementChild.getBoundingClientRect();
		return [Math.max(0, grid.top + head.height), Math.min(window.innerHeight, grid.bottom)];
	}

	// ---- drawing ----

	render() {
		// All that is measured comes first, so that the page is laid out once.
		const box = this.body.getBoundingClientRect();
		const [top, bottom] = this.view();
		const first = Math.max(0, Math.floor((top - box.top) / this.height) - SPARE);
		const last = Math.min(this.rows.length, Math.ceil((bottom - box.top) / this.height) + SPARE);
		const size = Math.max(0, last - first);

		while (this.pool.length < size)
			this.pool.push(this.row());
		// A row keeps its element while it is seen: scrolling fills only what comes into view.
		const used = new Set();
		for (let i = first; i < last; i++)
			used.add(this.fill(this.pool[i % this.pool.length], i));
		for (const row of this.pool)
			hide(row, !used.has(row));
		style(this.body, "height", `${this.rows.length * this.height}px`);
		this.chrome();
	}

	row() {
		const row = h("div.row", { role: "row" });
		row.insides = COLUMNS.map((column, i) => {
			const inner = column.make();
			row.append(h(`div.cell.c-${column.key}`, { role: "gridcell", "data-title": column.title, "aria-colindex": i + 1 }, inner));
			return inner;
		});
		row.id = `row-${this.pool.length}`;
		this.body.append(row);
		return row;
	}

	fill(row, i) {
		const record = this.rows[i];
		row.record = record;
		style(row, "transform", `translateY(${i * this.height}px)`);
		attribute(row, "aria-rowindex", i + 2);
		attribute(row, "data-id", record.id);
		attribute(row, "data-state", record.state);
		attribute(row, "aria-selected", record.key === this.selected ? "true" : "false");
		attribute(row, "data-open", record.key === this.opened ? "" : null);
		COLUMNS.forEach((column, c) => column.fill(row.insides[c], record, this.now));
		return row;
	}

	chrome() {
		const all = counts(this.records);
		const at = this.index();
		attribute(this.grid, "aria-rowcount", this.rows.length + 1);
		attribute(this.grid, "aria-activedescendant", at < 0 ? null
			: this.pool.find((row) => !row.hidden && row.record === this.rows[at])?.id ?? null);
		COLUMNS.forEach((column, i) => attribute(this.heads[i], "aria-sort",
			column !== this.column ? null : this.down ? "descending" : "ascending"));
		STATES.forEach((state, i) => {
			text(this.toggles[i].children[1], String(all[state]));
			attribute(this.toggles[i], "aria-pressed", String(!this.hidden.has(state)));
		});
		const some = this.rows.length !== this.records.size;
		text(byId("shown"), some ? `${this.rows.length} of ${this.records.size}` : "");
		hide(byId("empty"), this.rows.length > 0);
		text(byId("empty"), this.records.size > 0 ? "No session fits the filter."
			: "No session on this bus yet. A program that records is here within a second.");
	}
}
