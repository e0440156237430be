/* SPDX-License-Identifier: MIT */
#include <float.h>
#include <math.h>
#include <string.h>

#include "plot.h"
#include "record_page.h"

#define RIGHT_END (PLOT_WIDTH - PLOT_RIGHT)
#define LOWER_END (PLOT_HEIGHT - PLOT_BOTTOM)
#define HEAT_LEVELS 8
#define DROPS_HEIGHT 120.0

double record_scale(const char *unit, const char **shown)
{
	if (strcmp(unit, "ns") == 0)
		return *shown = "\xc2\xb5s", 1e3;
	*shown = strcmp(unit, "1") == 0 ? "value" : unit;
	return 1;
}

static void figure_begin(FILE *out, const char *title, double height)
{
	fprintf(out, "<figure><h3>%s</h3>\n<svg viewBox=\"0 0 %g %g\" role=\"img\">\n", title,
		PLOT_WIDTH, height);
}

static void figure_end(FILE *out, const char *legend)
{
	fprintf(out, "</svg>\n<p class=\"legend\">%s</p></figure>\n", legend);
}

static void x_title(FILE *out, const char *text)
{
	fprintf(out, "<text x=\"%g\" y=\"%g\" text-anchor=\"middle\">", (PLOT_LEFT + RIGHT_END) / 2,
		PLOT_HEIGHT - 8);
	html_text(out, text);
	fputs("</text>\n", out);
}

static void y_title(FILE *out, const char *text)
{
	fprintf(out, "<text transform=\"translate(16 %g) rotate(-90)\" text-anchor=\"middle\">",
		PLOT_HEIGHT / 2);
	html_text(out, text);
	fputs("</text>\n", out);
}

/* ---- distributions ---- */

/* Four bars a power of two. Values of 0 have no place on a logarithmic axis; the legend counts
 * them. */
static double bars_fill(const struct timer *timer, double bars[HEAT_ROWS], uint32_t *low,
			uint32_t *high)
{
	double most = 0;

	memset(bars, 0, HEAT_ROWS * sizeof *bars);
	*low = HEAT_ROWS;
	*high = 0;
	for (uint32_t i = 1; i < BUCKETS; i++) {
		uint32_t bar = (i + 6) / 8;

		if (timer->recorded.buckets[i] == 0)
			continue;
		bars[bar] += (double)timer->recorded.buckets[i];
		most = fmax(most, bars[bar]);
		*low = bar < *low ? bar : *low;
		*high = bar > *high ? bar : *high;
	}
	return most;
}

void record_distribution(FILE *out, const struct timer *timer)
{
	struct axis x = {.from = PLOT_LEFT, .to = RIGHT_END};
	double bars[HEAT_ROWS], most;
	uint32_t low, high;
	char legend[160];
	const char *unit;
	double scale = record_scale(timer->unit, &unit);

	most = bars_fill(timer, bars, &low, &high);
	if (most == 0)
		return;
	axis_cover(&x, exp2((low - 1.0) / 4) / scale, exp2(high / 4.0) / scale);
	figure_begin(out, "Distribution", PLOT_HEIGHT);
	plot_grid_x(out, &x, false);
	fputs("<path class=\"b0\" d=\"", out);
	for (uint32_t i = low; i <= high; i++) {
		double from = axis_at(&x, exp2((i - 1.0) / 4) / scale);
		double to = axis_at(&x, exp2(i / 4.0) / scale);
		double tall = bars[i] / most * (LOWER_END - PLOT_TOP);

		if (bars[i] != 0)
			fprintf(out, "M%.1f %.1fH%.1fV%gH%.1fz", from, LOWER_END - tall, to,
				LOWER_END, from);
	}
	fprintf(out, "\"/>\n<text x=\"%g\" y=\"%g\" text-anchor=\"end\">%.3g %%</text>\n",
		PLOT_LEFT - 8, PLOT_TOP + 4, most / (double)timer->recorded.count * 100);
	x_title(out, unit);
	y_title(out, "samples");
	snprintf(legend, sizeof legend, "%llu samples while recorded, 4 bars for each power of two",
		 (unsigned long long)timer->recorded.count);
	if (timer->recorded.buckets[0] != 0)
		snprintf(legend + strlen(legend), sizeof legend - strlen(legend),
			 "; %llu of them are 0 and not shown",
			 (unsigned long long)timer->recorded.buckets[0]);
	figure_end(out, legend);
}

/* Points of even distance on the axis of 1/(1-q), up to what the samples can tell. */
static json_t *curve_of(const struct distribution *distribution, const char *name, double scale,
			const char *unit)
{
	json_t *points = json_array();
	double end = log10(fmin(fmax((double)distribution->count, 1), 1e7));

	for (int i = 0; i <= 80 && distribution->count != 0; i++) {
		double x = pow(10, end * i / 80);
		double value = i == 80 ? distribution->max
				       : distribution_quantile(distribution, 1 - 1 / x);

		json_array_append_new(points, json_pack("[f, f]", x, value / scale));
	}
	return json_pack("{s:s, s:s, s:s, s:s, s:o}", "plot", "p", "name", name, "x_unit", "",
			 "y_unit", unit, "points", points);
}

void record_percentiles(FILE *out, const struct timer *timer)
{
	const char *unit;
	double scale = record_scale(timer->unit, &unit);
	json_t *curves =
		json_pack("[o, o]", curve_of(&timer->recorded, "while recorded", scale, unit),
			  curve_of(&timer->lifetime, "of all that the sessions had", scale, unit));

	plot_lines(out, curves, "p", "Percentiles", true);
	json_decref(curves);
}

/* ---- time ---- */

static double time_at(const struct recording *recording, uint64_t time_unix_ns)
{
	double all = (double)(recording->end_unix_ns - recording->begin_unix_ns);
	double part = (double)(time_unix_ns - recording->begin_unix_ns) / fmax(all, 1);

	return PLOT_LEFT + part * (RIGHT_END - PLOT_LEFT);
}

static double slot_from(const struct recording *recording, uint32_t slot)
{
	return time_at(recording, slot == 0 ? recording->begin_unix_ns
					    : recording->ticks[slot - 1].time_unix_ns);
}

static double slot_to(const struct recording *recording, uint32_t slot)
{
	return time_at(recording, recording->ticks[slot].time_unix_ns);
}

static void time_axis(FILE *out, const struct recording *recording, double lower)
{
	double all = (double)(recording->end_unix_ns - recording->begin_unix_ns) / 1e9;

	for (int i = 0; i <= 4; i++) {
		double at = PLOT_LEFT + (RIGHT_END - PLOT_LEFT) * i / 4;

		fprintf(out,
			"<line class=\"grid\" x1=\"%.1f\" y1=\"%g\" x2=\"%.1f\" y2=\"%g\"/>"
			"<text x=\"%.1f\" y=\"%g\" text-anchor=\"middle\">%.3g s</text>\n",
			at, PLOT_TOP, at, lower, at, lower + 18, all * i / 4);
	}
}

/* What of a slot is drawn. */
static double slot_value(const struct slot *slot, int which)
{
	return which == 0 ? slot->p50 : which == 1 ? slot->p99 : slot->max;
}

static bool course_cover(const struct recording *recording, const struct timer *timer, double scale,
			 struct axis *y)
{
	double low = DBL_MAX, high = 0;

	for (uint32_t i = 0; i < recording->slots; i++) {
		if (timer->slots[i].count == 0 || timer->slots[i].max <= 0)
			continue;
		low = fmin(low, fmax(timer->slots[i].p50, timer->slots[i].max / 1e6));
		high = fmax(high, timer->slots[i].max);
	}
	if (high > 0)
		axis_cover(y, low / scale, high / scale);
	return high > 0;
}

/* A slot without samples is a hole in the line. */
static void course_line(FILE *out, const struct recording *recording, const struct timer *timer,
			double scale, const struct axis *y, int which)
{
	bool hole = true;

	fprintf(out, "<path class=\"line c%d\" d=\"", which);
	for (uint32_t i = 0; i < recording->slots; i++) {
		double value = slot_value(&timer->slots[i], which) / scale;

		if (timer->slots[i].count == 0) {
			hole = true;
			continue;
		}
		value = fmax(value, pow(10, y->low));
		fprintf(out, "%c%.1f %.1f%s", hole ? 'M' : 'L', slot_to(recording, i),
			axis_at(y, value), hole ? "h.1" : "");
		hole = false;
	}
	fputs("\"/>\n", out);
}

void record_course(FILE *out, const struct recording *recording, const struct timer *timer,
		   uint32_t place)
{
	struct axis y = {.from = LOWER_END, .to = PLOT_TOP};
	const char *unit;
	double scale = record_scale(timer->unit, &unit);

	if (!course_cover(recording, timer, scale, &y))
		return;
	fprintf(out,
		"<figure><h3>Course</h3>\n"
		"<svg viewBox=\"0 0 %g %g\" role=\"img\" data-timer=\"%u\">\n",
		PLOT_WIDTH, PLOT_HEIGHT, place);
	time_axis(out, recording, LOWER_END);
	plot_grid_y(out, &y);
	for (int which = 2; which >= 0; which--)
		course_line(out, recording, timer, scale, &y, which);
	y_title(out, unit);
	figure_end(out, "<span><i class=\"b0\"></i>p50</span> <span><i class=\"b1\"></i>p99</span> "
			"<span><i class=\"b2\"></i>maximum</span> <output></output>");
}

/* ---- heat ---- */

struct heat {
	uint32_t low, high; /* rows */
	uint32_t most;
};

static struct heat heat_find(const struct recording *recording, const struct timer *timer)
{
	struct heat heat = {.low = HEAT_ROWS};

	for (uint32_t slot = 0; slot < recording->slots; slot++) {
		for (uint32_t row = 1; row < HEAT_ROWS; row++) {
			uint32_t count = timer->heat[slot][row];

			if (count == 0)
				continue;
			heat.low = row < heat.low ? row : heat.low;
			heat.high = row > heat.high ? row : heat.high;
			heat.most = count > heat.most ? count : heat.most;
		}
	}
	return heat;
}

/* 1 to HEAT_LEVELS, by the logarithm: the rare ones are those that one looks for. */
static int heat_level(uint32_t count, uint32_t most)
{
	return 1 + (int)(log2(count) / fmax(log2(most), 1) * (HEAT_LEVELS - 1));
}

static void heat_cells(FILE *out, const struct recording *recording, const struct timer *timer,
		       const struct heat *heat, const struct axis *y, int level, double scale)
{
	fprintf(out, "<path class=\"h%d\" d=\"", level);
	for (uint32_t slot = 0; slot < recording->slots; slot++) {
		double from = slot_from(recording, slot), to = slot_to(recording, slot);

		for (uint32_t row = heat->low; row <= heat->high; row++) {
			uint32_t count = timer->heat[slot][row];

			/* Row 1 + j has the values in (2^((j-1)/4), 2^(j/4)]. */
			if (count != 0 && heat_level(count, heat->most) == level)
				fprintf(out, "M%.1f %.1fH%.1fV%.1fH%.1fz", from,
					axis_at(y, exp2((row - 1.0) / 4) / scale), to,
					axis_at(y, exp2((row - 2.0) / 4) / scale), from);
		}
	}
	fputs("\"/>\n", out);
}

void record_heat(FILE *out, const struct recording *recording, const struct timer *timer)
{
	struct axis y = {.from = LOWER_END, .to = PLOT_TOP};
	struct heat heat = {0};
	char legend[112];
	const char *unit;
	double scale = record_scale(timer->unit, &unit);

	if (timer->heat != NULL)
		heat = heat_find(recording, timer);
	if (heat.most == 0)
		return;
	axis_cover(&y, exp2((heat.low - 2.0) / 4) / scale, exp2((heat.high - 1.0) / 4) / scale);
	figure_begin(out, "Heat map", PLOT_HEIGHT);
	time_axis(out, recording, LOWER_END);
	plot_grid_y(out, &y);
	for (int level = 1; level <= HEAT_LEVELS; level++)
		heat_cells(out, recording, timer, &heat, &y, level, scale);
	y_title(out, unit);
	snprintf(legend, sizeof legend,
		 "the strongest shade: %u samples; each fainter one: fewer by the same factor",
		 heat.most);
	figure_end(out, legend);
}

/* ---- drops ---- */

void record_drops(FILE *out, const struct recording *recording)
{
	double lower = DROPS_HEIGHT - 26;
	uint64_t most = 0, all = 0;
	char legend[64];

	for (uint32_t i = 0; i < recording->slots; i++) {
		all += recording->ticks[i].dropped;
		if (recording->ticks[i].dropped > most)
			most = recording->ticks[i].dropped;
	}
	if (most == 0) {
		fputs("<h2>Drops</h2>\n<p>None while recorded.</p>\n", out);
		return;
	}
	fprintf(out, "<figure><h2>Drops</h2>\n<svg viewBox=\"0 0 %g %g\" role=\"img\">\n",
		PLOT_WIDTH, DROPS_HEIGHT);
	time_axis(out, recording, lower);
	fprintf(out,
		"<text x=\"%g\" y=\"%g\" text-anchor=\"end\">%llu</text>\n<path class=\"b1\" d=\"",
		PLOT_LEFT - 8, PLOT_TOP + 8, (unsigned long long)most);
	for (uint32_t i = 0; i < recording->slots; i++) {
		double tall = (double)recording->ticks[i].dropped / (double)most;

		if (tall > 0)
			fprintf(out, "M%.1f %.1fH%.1fV%gH%.1fz", slot_from(recording, i),
				lower - tall * (lower - PLOT_TOP), slot_to(recording, i), lower,
				slot_from(recording, i));
	}
	fputs("\"/>\n", out);
	snprintf(legend, sizeof legend, "%llu samples were refused because a ring was full",
		 (unsigned long long)all);
	figure_end(out, legend);
}
