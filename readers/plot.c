/* SPDX-License-Identifier: MIT */
#include <float.h>
#include <math.h>
#include <string.h>

#include "plot.h"

#define COLOURS 8u
#define BAR_LEFT 290.0
#define BAR_STEP 24.0

static const char head[] =
	"<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
	"<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>";

static const char style_sheet[] =
	":root{color-scheme:light dark;--bg:#fff;--fg:#1c2024;--dim:#60646c;--line:#d9dce1;"
	"--good:#1a7f37;--bad:#c62828}\n"
	"@media(prefers-color-scheme:dark){:root{--bg:#111316;--fg:#e6e8eb;--dim:#9ba1a9;"
	"--line:#33383f;--good:#4cc26b;--bad:#ff7b72}}\n"
	"body{background:var(--bg);color:var(--fg);font:15px/1.5 system-ui,sans-serif;"
	"max-width:960px;margin:2em auto;padding:0 1em}\n"
	"h1{font-size:1.5em}h2{font-size:1.1em;margin:1.6em 0 .4em}\n"
	"table{border-collapse:collapse;width:100%;font-variant-numeric:tabular-nums}\n"
	"th,td{text-align:left;padding:.25em .7em .25em 0;border-bottom:1px solid var(--line);"
	"vertical-align:top}\n"
	"th{color:var(--dim);font-weight:600}.n{text-align:right;white-space:nowrap}\n"
	".good{color:var(--good)}.bad{color:var(--bad)}.dim,.legend{color:var(--dim)}\n"
	"figure{margin:0;overflow-x:auto}svg{width:100%;min-width:560px;height:auto}\n"
	"svg text{fill:var(--fg);font-size:12px}.grid{stroke:var(--line)}\n"
	".line{fill:none;stroke-width:2}.legend span{margin-right:1.2em;white-space:nowrap}\n"
	".legend i{display:inline-block;width:.8em;height:.8em;margin-right:.4em}\n";

static const char *const colours[COLOURS] = {"#2f6fde", "#e07b00", "#2a9d4a", "#c2389a",
					     "#7a4fd0", "#00939c", "#b08a00", "#8a9099"};

void html_text(FILE *out, const char *text)
{
	for (; *text; text++) {
		if (*text == '&')
			fputs("&amp;", out);
		else if (*text == '<')
			fputs("&lt;", out);
		else if (*text == '>')
			fputs("&gt;", out);
		else if (*text == '"')
			fputs("&quot;", out);
		else
			fputc(*text, out);
	}
}

void page_open(FILE *out, const char *title, const char *style)
{
	fputs(head, out);
	html_text(out, title);
	fputs("</title>\n<style>\n", out);
	fputs(style_sheet, out);
	for (size_t i = 0; i < COLOURS; i++)
		fprintf(out, ".c%zu{stroke:%s}.b%zu{fill:%s;background:%s}\n", i, colours[i], i,
			colours[i], colours[i]);
	fprintf(out, "%s</style></head><body>\n", style);
}

void page_close(FILE *out)
{
	fputs("</body></html>\n", out);
}

/* ---- axes ---- */

double axis_at(const struct axis *axis, double value)
{
	double part = (log10(value) - axis->low) / (axis->high - axis->low);

	return axis->from + part * (axis->to - axis->from);
}

void axis_cover(struct axis *axis, double low, double high)
{
	axis->low = floor(log10(low) + 1e-9);
	axis->high = ceil(log10(high) - 1e-9);
	if (axis->high <= axis->low)
		axis->high = axis->low + 1;
}

static const char *member_string(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static bool of_plot(const json_t *curve, const char *plot)
{
	return strcmp(member_string(curve, "plot"), plot) == 0 &&
	       json_array_size(json_object_get(curve, "points")) > 0;
}

static double coordinate(const json_t *point, size_t which)
{
	double value = json_number_value(json_array_get(point, which));

	return value > 0 ? value : DBL_MIN;
}

struct range {
	double low;
	double high;
};

static void range_add(struct range *range, double value)
{
	/* A time that rounds to nothing has no place on a logarithmic axis. */
	if (value < 1e-6)
		return;
	range->low = value < range->low ? value : range->low;
	range->high = value > range->high ? value : range->high;
}

static size_t ranges_find(const json_t *curves, const char *plot, struct range ranges[2])
{
	const json_t *curve, *point;
	size_t i, k, found = 0;

	ranges[0] = ranges[1] = (struct range){DBL_MAX, 0};
	json_array_foreach(curves, i, curve)
	{
		if (!of_plot(curve, plot))
			continue;
		found++;
		json_array_foreach(json_object_get(curve, "points"), k, point)
		{
			range_add(&ranges[0], coordinate(point, 0));
			range_add(&ranges[1], coordinate(point, 1));
		}
	}
	return ranges[0].high > 0 && ranges[1].high > 0 ? found : 0;
}

/* 1/(1-q) as q: "0 %", "90 %", "99.9 %". */
static void quantile_label(FILE *out, int exponent)
{
	if (exponent == 0)
		fprintf(out, "0 %%");
	else if (exponent < 3)
		fprintf(out, "%.0f %%", 100 - pow(10, 2 - exponent));
	else
		fprintf(out, "%.*f %%", exponent - 2, 100 - pow(10, 2 - exponent));
}

void plot_grid_x(FILE *out, const struct axis *x, bool quantiles)
{
	for (int e = (int)x->low; e <= (int)x->high; e++) {
		double at = axis_at(x, pow(10, e));

		fprintf(out,
			"<line class=\"grid\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>"
			"<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"middle\">",
			at, PLOT_TOP, at, PLOT_HEIGHT - PLOT_BOTTOM, at,
			PLOT_HEIGHT - PLOT_BOTTOM + 18);
		if (quantiles)
			quantile_label(out, e);
		else
			fprintf(out, "%g", pow(10, e));
		fputs("</text>\n", out);
	}
}

void plot_grid_y(FILE *out, const struct axis *y)
{
	for (int e = (int)y->low; e <= (int)y->high; e++) {
		double at = axis_at(y, pow(10, e));

		fprintf(out,
			"<line class=\"grid\" x1=\"%.1f\" y1=\"%.1f\" x2=\"%.1f\" y2=\"%.1f\"/>"
			"<text x=\"%.1f\" y=\"%.1f\" text-anchor=\"end\">%g</text>\n",
			PLOT_LEFT, at, PLOT_WIDTH - PLOT_RIGHT, at, PLOT_LEFT - 8, at + 4,
			pow(10, e));
	}
}

static void curve_write(FILE *out, const json_t *curve, const struct axis *x, const struct axis *y,
			size_t colour)
{
	const json_t *point;
	size_t i;

	fprintf(out, "<polyline class=\"line c%zu\" points=\"", colour % COLOURS);
	json_array_foreach(json_object_get(curve, "points"), i, point)
	{
		if (coordinate(point, 1) < 1e-6)
			continue;
		fprintf(out, "%.1f,%.1f ", axis_at(x, coordinate(point, 0)),
			axis_at(y, coordinate(point, 1)));
	}
	fputs("\"/>\n", out);
}

static void legend_write(FILE *out, const json_t *curves, const char *plot)
{
	const json_t *curve;
	size_t i, colour = 0;

	fputs("<p class=\"legend\">", out);
	json_array_foreach(curves, i, curve)
	{
		if (!of_plot(curve, plot))
			continue;
		fprintf(out, "<span><i class=\"b%zu\"></i>", colour++ % COLOURS);
		html_text(out, member_string(curve, "name"));
		fputs("</span> ", out);
	}
	fputs("</p>\n", out);
}

void plot_lines(FILE *out, const json_t *curves, const char *plot, const char *title,
		bool quantiles)
{
	struct axis x = {.from = PLOT_LEFT, .to = PLOT_WIDTH - PLOT_RIGHT};
	struct axis y = {.from = PLOT_HEIGHT - PLOT_BOTTOM, .to = PLOT_TOP};
	struct range ranges[2];
	const json_t *curve, *first = NULL;
	size_t i, colour = 0;

	if (ranges_find(curves, plot, ranges) == 0)
		return;
	axis_cover(&x, ranges[0].low, ranges[0].high);
	axis_cover(&y, ranges[1].low, ranges[1].high);
	fprintf(out, "<figure><h2>%s</h2>\n<svg viewBox=\"0 0 %g %g\" role=\"img\">\n", title,
		PLOT_WIDTH, PLOT_HEIGHT);
	plot_grid_x(out, &x, quantiles);
	plot_grid_y(out, &y);
	json_array_foreach(curves, i, curve)
	{
		if (!of_plot(curve, plot))
			continue;
		first = first ? first : curve;
		curve_write(out, curve, &x, &y, colour++);
	}
	fprintf(out, "<text x=\"%g\" y=\"%g\" text-anchor=\"middle\">",
		(PLOT_LEFT + PLOT_WIDTH) / 2, PLOT_HEIGHT - 8);
	html_text(out, quantiles ? "quantile" : member_string(first, "x_unit"));
	fprintf(out,
		"</text>\n<text transform=\"translate(16 %g) rotate(-90)\" "
		"text-anchor=\"middle\">",
		PLOT_HEIGHT / 2);
	html_text(out, member_string(first, "y_unit"));
	fputs("</text>\n</svg>\n", out);
	legend_write(out, curves, plot);
	fputs("</figure>\n", out);
}

/* ---- bars ---- */

static bool of_bars(const json_t *figure, const char *prefix, const char *unit)
{
	return strncmp(member_string(figure, "id"), prefix, strlen(prefix)) == 0 &&
	       strcmp(member_string(figure, "unit"), unit) == 0 &&
	       json_number_value(json_object_get(figure, "value")) > 0;
}

static void bar_write(FILE *out, const json_t *figure, const struct axis *x, double y)
{
	double value = json_number_value(json_object_get(figure, "value"));
	double end = axis_at(x, value);
	bool own = strstr(member_string(figure, "what"), "shmbus") != NULL;

	fprintf(out, "<text x=\"%g\" y=\"%g\" text-anchor=\"end\">", BAR_LEFT - 8, y + 15);
	html_text(out, member_string(figure, "what"));
	fprintf(out,
		"</text><rect class=\"%s\" x=\"%g\" y=\"%g\" width=\"%.1f\" height=\"%g\"/>"
		"<text x=\"%.1f\" y=\"%g\">%.*f</text>\n",
		own ? "b0" : "b7", BAR_LEFT, y + 2, end - BAR_LEFT, BAR_STEP - 6, end + 6, y + 15,
		value < 10    ? 2
		: value < 100 ? 1
			      : 0,
		value);
}

void plot_bars(FILE *out, const json_t *figures, const char *prefix, const char *unit,
	       const char *title)
{
	struct axis x = {.from = BAR_LEFT, .to = PLOT_WIDTH - 60};
	struct range range = {DBL_MAX, 0};
	const json_t *figure;
	size_t i, count = 0;

	json_array_foreach(figures, i, figure)
	{
		if (!of_bars(figure, prefix, unit))
			continue;
		range_add(&range, json_number_value(json_object_get(figure, "value")));
		count++;
	}
	if (count == 0 || range.high == 0)
		return;
	axis_cover(&x, range.low * 0.9, range.high);
	fprintf(out, "<figure><h2>%s</h2>\n<svg viewBox=\"0 0 %g %g\" role=\"img\">\n", title,
		PLOT_WIDTH, (double)count * BAR_STEP + 4);
	count = 0;
	json_array_foreach(figures, i, figure)
	{
		if (of_bars(figure, prefix, unit))
			bar_write(out, figure, &x, (double)count++ * BAR_STEP);
	}
	fputs("</svg>\n<p class=\"legend\">logarithmic, ", out);
	html_text(out, unit);
	fputs("</p></figure>\n", out);
}
