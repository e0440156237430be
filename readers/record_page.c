/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "format.h"
#include "plot.h"
#include "record_page.h"

/* The page's size is bounded: with pictures are those timers that recorded most. */
#define PICTURED 12u

static const char style[] =
	"h3{font-size:1em;margin:1em 0 .2em}.wide{overflow-x:auto}section{margin-top:2.5em}\n"
	"svg path.line{stroke-linecap:round;stroke-linejoin:round}\n"
	"path[class^=h]{fill:#e07b00}.h1{fill-opacity:.15}.h2{fill-opacity:.25}"
	".h3{fill-opacity:.37}.h4{fill-opacity:.5}.h5{fill-opacity:.62}.h6{fill-opacity:.75}"
	".h7{fill-opacity:.87}\n"
	"th,td{padding-right:1em;white-space:nowrap}\n"
	"@media(max-width:600px){body{margin:1em auto;font-size:14px}}\n";

/* Under the pointer a course says its slot's numbers; the page is whole without. */
static const char script[] =
	"const data=JSON.parse(document.getElementById('data').textContent);\n"
	"for(const svg of document.querySelectorAll('svg[data-timer]'))"
	"svg.addEventListener('pointermove',event=>{\n"
	"const timer=data.timers[svg.dataset.timer],box=svg.getBoundingClientRect(),"
	"all=data.end_unix_ns-data.begin_unix_ns;\n"
	"const at=((event.clientX-box.left)/box.width*760-70)/646*all/1e9;let best=null;\n"
	"for(const slot of timer.slots)"
	"if(!best||Math.abs(slot[0]-at)<Math.abs(best[0]-at))best=slot;\n"
	"if(best)svg.parentNode.querySelector('output').textContent="
	"`${best[0].toFixed(1)} s: ${best[1]} samples`+(best[1]?`, p50 ${best[2].toPrecision(4)}, "
	"p99 ${best[3].toPrecision(4)}, maximum ${best[4].toPrecision(4)} ${timer.unit}`:'');});\n";

/* ---- cells ---- */

static void text_cell_html(FILE *out, const char *text)
{
	fputs("<td>", out);
	html_text(out, text);
	fputs("</td>", out);
}

static void value_cell(FILE *out, double value, const char *unit)
{
	char shown[FORMAT_SIZE];

	fprintf(out, "<td class=\"n\">");
	html_text(out, format_value(shown, value, unit));
	fputs("</td>", out);
}

static void count_cell(FILE *out, uint64_t count)
{
	fprintf(out, "<td class=\"n\">%llu</td>", (unsigned long long)count);
}

static const char *time_text(char out[64], uint64_t time_unix_ns)
{
	time_t seconds = (time_t)(time_unix_ns / 1000000000u);
	struct tm parts;
	size_t length;

	if (gmtime_r(&seconds, &parts) == NULL)
		return strcpy(out, "?");
	length = strftime(out, 40, "%Y-%m-%d %H:%M:%S", &parts);
	snprintf(out + length, 64 - length, ".%03u UTC",
		 (unsigned)(time_unix_ns / 1000000u % 1000u));
	return out;
}

/* ---- head ---- */

static uint64_t unseen(const struct recording *recording)
{
	uint64_t all = 0;

	for (uint32_t i = 0; i < recording->slots; i++)
		all += recording->ticks[i].gap;
	return all;
}

static void head_write(FILE *out, const struct recording *recording,
		       const struct document *document, const char *bus)
{
	char title[96], begin[64], end[64], version[40];
	double seconds = (double)(recording->end_unix_ns - recording->begin_unix_ns) / 1e9;

	snprintf(title, sizeof title, "shmbus %s, recorded", bus);
	page_open(out, title, style);
	fputs("<h1>Bus ", out);
	html_text(out, bus);
	fprintf(out, ", %.1f s</h1>\n<p>%s to %s. ", seconds,
		time_text(begin, recording->begin_unix_ns), time_text(end, recording->end_unix_ns));
	if (recording->pattern != NULL) {
		fputs("Sessions: ", out);
		html_text(out, recording->pattern);
		fputs(". ", out);
	}
	fprintf(out,
		"Snapshots: %u, and %llu between them not looked at. Agent: ", recording->slots + 1,
		(unsigned long long)unseen(recording));
	html_text(out, member_text(member(&document->root, "agent"), "version", version,
				   sizeof version));
	fputs(".</p>\n", out);
}

/* ---- tables ---- */

static void distribution_cells(FILE *out, const struct distribution *distribution, const char *unit)
{
	static const double quantiles[] = {0.5, 0.95, 0.99, 0.999};

	count_cell(out, distribution->count);
	value_cell(out,
		   distribution->count == 0 ? NAN : distribution->sum / (double)distribution->count,
		   unit);
	for (size_t i = 0; i < 4; i++)
		value_cell(out, distribution_quantile(distribution, quantiles[i]), unit);
	value_cell(out, distribution->count == 0 ? NAN : distribution->max, unit);
}

static void timers_write(FILE *out, const struct recording *recording)
{
	fputs("<h2>Timers</h2>\n<div class=\"wide\"><table><tr><th>timer</th><th></th>"
	      "<th class=\"n\">samples</th><th class=\"n\">mean</th><th class=\"n\">p50</th>"
	      "<th class=\"n\">p95</th><th class=\"n\">p99</th><th class=\"n\">p99.9</th>"
	      "<th class=\"n\">max</th></tr>\n",
	      out);
	for (uint32_t i = 0; i < recording->timer_count; i++) {
		const struct timer *timer = recording->timers[i];

		fputs("<tr>", out);
		text_cell_html(out, timer->name);
		text_cell_html(out, "recorded");
		distribution_cells(out, &timer->recorded, timer->unit);
		fputs("</tr>\n<tr class=\"dim\"><td></td>", out);
		text_cell_html(out, "ever");
		distribution_cells(out, &timer->lifetime, timer->unit);
		fputs("</tr>\n", out);
	}
	fputs("</table></div>\n<p class=\"dim\">Recorded: what came between the first snapshot and "
	      "the last. Ever: all that the sessions of the last snapshot had. Percentiles are "
	      "from histograms, within 2.2 %; counts and means are exact.</p>\n",
	      out);
	if (recording->left_out != 0)
		fprintf(out, "<p>Left out: timers of more than %u names.</p>\n", RECORDING_TIMERS);
}

static int by_value(const void *left, const void *right)
{
	const struct worst *a = left, *b = right;
	int name = strcmp(a->timer, b->timer);

	if (a->before != b->before)
		return a->before ? 1 : -1;
	return name != 0 ? name : a->value < b->value ? 1 : a->value > b->value ? -1 : 0;
}

static void worst_write(FILE *out, const struct recording *recording)
{
	struct worst sorted[RECORDING_WORST];
	char when[64], until[80], name[96];

	fputs("<h2>Worst samples</h2>\n", out);
	if (recording->worst_count == 0) {
		fputs("<p>No timer with samples has a target or a period.</p>\n", out);
		return;
	}
	memcpy(sorted, recording->worst, recording->worst_count * sizeof *sorted);
	qsort(sorted, recording->worst_count, sizeof *sorted, by_value);
	fputs("<div class=\"wide\"><table><tr><th>timer</th><th class=\"n\">value</th>"
	      "<th>when</th><th>session</th><th class=\"n\">correlation id</th></tr>\n",
	      out);
	for (uint32_t i = 0; i < recording->worst_count; i++) {
		fputs(sorted[i].before ? "<tr class=\"dim\">" : "<tr>", out);
		snprintf(name, sizeof name, "%.63s%s", sorted[i].timer,
			 sorted[i].response ? ", signal to finish" : "");
		text_cell_html(out, name);
		value_cell(out, sorted[i].value, sorted[i].unit);
		snprintf(until, sizeof until, "%s%s", sorted[i].rough ? "until " : "",
			 time_text(when, sorted[i].time_unix_ns));
		text_cell_html(out, until);
		text_cell_html(out, sorted[i].session);
		if (sorted[i].correlation_id != 0)
			count_cell(out, sorted[i].correlation_id);
		else
			fputs("<td class=\"n dim\">\xe2\x80\x93</td>", out);
		fputs("</tr>\n", out);
	}
	fputs("</table></div>\n<p class=\"dim\">Of timers with a target or a period. A snapshot "
	      "has "
	      "the largest one that a timer ever had. Smaller ones that came meanwhile are known "
	      "by "
	      "the histogram alone, with the time of the snapshot (until) and without an id. Dim: "
	      "from before the recording.</p>\n",
	      out);
}

static void sessions_write(FILE *out, const struct recording *recording,
			   const struct document *document)
{
	static const char *const keys[] = {"id", "service", "state"};
	const msgpack_object *sessions = NULL;
	size_t count = member_array(&document->root, "sessions", &sessions);
	uint32_t shown = 0;
	char text[128];

	fputs("<h2>Sessions</h2>\n<div class=\"wide\"><table><tr><th>id</th><th>service</th>"
	      "<th>state</th><th>attempt</th><th class=\"n\">samples</th>"
	      "<th class=\"n\">drops</th></tr>\n",
	      out);
	for (size_t i = 0; i < count; i++) {
		if (!recording_wants(recording, &sessions[i]) || shown++ >= RECORDING_SESSIONS)
			continue;
		fputs("<tr>", out);
		for (size_t k = 0; k < 3; k++)
			text_cell_html(out, member_text(&sessions[i], keys[k], text, sizeof text));
		text_cell_html(out, member_text(member(&sessions[i], "labels"), "attempt_id", text,
						sizeof text));
		count_cell(out, member_u64(&sessions[i], "aggregated_total", 0));
		count_cell(out, member_u64(&sessions[i], "dropped_total", 0));
		fputs("</tr>\n", out);
	}
	fputs("</table></div>\n", out);
	if (shown > RECORDING_SESSIONS)
		fprintf(out, "<p>And %u more.</p>\n", shown - RECORDING_SESSIONS);
}

/* ---- data ---- */

/* [seconds since the begin, count, p50, p99, max] */
static json_t *slots_json(const struct recording *recording, const struct timer *timer)
{
	json_t *slots = json_array();

	for (uint32_t i = 0; i < recording->slots; i++) {
		const struct slot *slot = &timer->slots[i];
		double at = (double)(recording->ticks[i].time_unix_ns - recording->begin_unix_ns);
		json_t *row = json_pack("[f, I]", at / 1e9, (json_int_t)slot->count);

		if (slot->count != 0) {
			json_array_append_new(row, json_real(slot->p50));
			json_array_append_new(row, json_real(slot->p99));
			json_array_append_new(row, json_real(slot->max));
		}
		json_array_append_new(slots, row);
	}
	return slots;
}

static json_t *distribution_json(const struct distribution *distribution)
{
	static const struct {
		const char *key;
		double quantile;
	} quantiles[] = {
		{"p50", 0.5}, {"p90", 0.9}, {"p95", 0.95}, {"p99", 0.99}, {"p99_9", 0.999}};
	json_t *object = json_pack("{s:I}", "count", (json_int_t)distribution->count);

	if (distribution->count == 0)
		return object;
	json_object_set_new(object, "mean",
			    json_real(distribution->sum / (double)distribution->count));
	for (size_t i = 0; i < sizeof quantiles / sizeof quantiles[0]; i++)
		json_object_set_new(
			object, quantiles[i].key,
			json_real(distribution_quantile(distribution, quantiles[i].quantile)));
	json_object_set_new(object, "max", json_real(distribution->max));
	return object;
}

static json_t *data_json(const struct recording *recording, struct timer *const *timers)
{
	json_t *array = json_array();

	for (uint32_t i = 0; i < recording->timer_count; i++)
		json_array_append_new(
			array,
			json_pack("{s:s, s:s, s:o, s:o, s:o}", "name", timers[i]->name, "unit",
				  timers[i]->unit, "recorded",
				  distribution_json(&timers[i]->recorded), "ever",
				  distribution_json(&timers[i]->lifetime), "slots",
				  i < PICTURED ? slots_json(recording, timers[i]) : json_array()));
	return json_pack("{s:I, s:I, s:I, s:o}", "begin_unix_ns",
			 (json_int_t)recording->begin_unix_ns, "end_unix_ns",
			 (json_int_t)recording->end_unix_ns, "unseen",
			 (json_int_t)unseen(recording), "timers", array);
}

/* No name ends the script: '<' is written otherwise. */
static void data_write(FILE *out, const struct recording *recording, struct timer *const *timers)
{
	json_t *data = data_json(recording, timers);
	char *text = json_dumps(data, JSON_COMPACT | JSON_REAL_PRECISION(9));

	fputs("<script type=\"application/json\" id=\"data\">", out);
	for (const char *c = text != NULL ? text : "{\"timers\":[]}"; *c != '\0'; c++) {
		if (*c == '<')
			fputs("\\u003c", out);
		else
			fputc(*c, out);
	}
	fprintf(out, "</script>\n<script>\n%s</script>\n", script);
	free(text);
	json_decref(data);
}

/* ---- the page ---- */

static void timer_write(FILE *out, const struct recording *recording, const struct timer *timer,
			uint32_t place)
{
	fputs("<section><h2>", out);
	html_text(out, timer->name);
	fputs("</h2>\n", out);
	if (timer->recorded.count == 0)
		fputs("<p>No samples while recorded.</p>\n", out);
	record_distribution(out, timer);
	record_percentiles(out, timer);
	record_course(out, recording, timer, place);
	record_heat(out, recording, timer);
	fputs("</section>\n", out);
}

static int by_samples(const void *left, const void *right)
{
	const struct timer *a = *(struct timer *const *)left, *b = *(struct timer *const *)right;

	if (a->recorded.count != b->recorded.count)
		return a->recorded.count < b->recorded.count ? 1 : -1;
	if (a->lifetime.count != b->lifetime.count)
		return a->lifetime.count < b->lifetime.count ? 1 : -1;
	return strcmp(a->name, b->name);
}

void record_page(FILE *out, const struct recording *recording, const struct document *document,
		 const char *bus)
{
	struct timer *timers[RECORDING_TIMERS];

	memcpy(timers, recording->timers, sizeof timers);
	if (recording->timer_count != 0)
		qsort(timers, recording->timer_count, sizeof *timers, by_samples);
	head_write(out, recording, document, bus);
	timers_write(out, recording);
	record_drops(out, recording);
	worst_write(out, recording);
	sessions_write(out, recording, document);
	for (uint32_t i = 0; i < recording->timer_count && i < PICTURED; i++)
		timer_write(out, recording, timers[i], i);
	data_write(out, recording, timers);
	page_close(out);
}
