/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "format.h"
#include "hist_draw.h"

#define BAR_MIN 8
#define LABEL_SIZE 32

/* ---- bins ---- */

/* The smallest 1, 2 or 5 times a power of ten that is no less. */
static double round_step(double step)
{
	double power = pow(10, floor(log10(step)));
	static const double steps[] = {1, 2, 5, 10};

	for (size_t i = 0; i < 4; i++)
		if (steps[i] * power >= step * (1 - 1e-9))
			return steps[i] * power;
	return 20 * power;
}

static void make_linear(struct bins *bins, double low, double top, double max, int rows,
			double base)
{
	double narrowest = fmax(1, top * (1 - 1 / base)), begin;

	bins->step = round_step(fmax((top - low) / rows, narrowest));
	begin = floor(low / bins->step) * bins->step;
	bins->edges[0] = begin;
	do {
		bins->count++;
		bins->edges[bins->count] = begin + (double)bins->count * bins->step;
	} while (bins->edges[bins->count] < top && bins->count < BINS_MAX - 1);
	bins->more = bins->edges[bins->count] < max;
	if (bins->more)
		bins->edges[++bins->count] = max;
}

/* Edges are powers of 2^(each / 2^schema), so that a bucket lies in one bin. */
static void make_log(struct bins *bins, double low, double max, bool zeros, int rows, int schema)
{
	double first = ceil(ldexp(log2(fmax(low, 1)), schema) - 1e-9) - 1;
	double last = ceil(ldexp(log2(fmax(max, 1)), schema) - 1e-9), each = 1;

	while ((last - first) / each > rows)
		each *= 2;
	first = floor(first / each) * each;
	if (zeros)
		bins->edges[bins->count++] = 0;
	bins->edges[bins->count] = exp2(ldexp(first, -schema));
	while (first < last && bins->count < BINS_MAX) {
		first += each;
		bins->edges[++bins->count] = exp2(ldexp(first, -schema));
	}
}

/* The smallest sample above 0. */
static double above_zero(const struct buckets *buckets)
{
	return buckets->min > 0 ? buckets->min : buckets_bound(buckets, buckets->first);
}

void bins_make(struct bins *bins, const struct buckets *first, const struct buckets *second,
	       int rows, bool log)
{
	double low = first->min, max = first->max, top = buckets_quantile(first, 0.999);
	double lowest = above_zero(first);
	int schema = first->schema;
	bool zeros = first->zeros > 0;

	if (second != NULL) {
		low = fmin(low, second->min);
		lowest = fmin(lowest, above_zero(second));
		max = fmax(max, second->max);
		top = fmax(top, buckets_quantile(second, 0.999));
		schema = schema < second->schema ? schema : second->schema;
		zeros |= second->zeros > 0;
	}
	bins->count = 0;
	bins->log = log;
	bins->more = false;
	bins->step = 0;
	if (log)
		make_log(bins, lowest, max, zeros, rows, schema);
	else
		make_linear(bins, low, top, max, rows, exp2(ldexp(1, -schema)));
}

size_t bins_find(const struct bins *bins, double value)
{
	size_t i = 0;

	while (i + 1 < bins->count && value > bins->edges[i + 1])
		i++;
	return i;
}

void bins_fill(const struct bins *bins, const struct buckets *buckets, uint64_t *counts)
{
	memset(counts, 0, bins->count * sizeof *counts);
	counts[0] += buckets->zeros;
	for (size_t i = 0; i < buckets->length; i++) {
		double middle = buckets_middle(buckets, buckets->first + (int64_t)i);

		middle = fmin(fmax(middle, buckets->min), buckets->max);
		counts[bins_find(bins, middle)] += buckets->counts[i];
	}
}

/* ---- labels and bars ---- */

struct axis {
	double scale;
	int decimals;
	const char *suffix;
};

/* On a linear axis all labels have one unit and as many decimals as tell neighbours apart. */
static struct axis axis_make(const struct bins *bins, const char *unit)
{
	static const struct axis times[] = {
		{1, 0, "ns"}, {1e3, 0, "us"}, {1e6, 0, "ms"}, {1e9, 0, "s"}};
	static const struct axis counts[] = {
		{1, 0, ""}, {1e3, 0, "k"}, {1e6, 0, "M"}, {1e9, 0, "G"}};
	double ns = format_unit_ns(unit), factor = ns != 0 ? ns : 1;
	double largest = bins->edges[bins->count] * factor;
	struct axis axis;
	size_t i = 0;

	while (i < 3 && largest >= 2 * (ns != 0 ? times : counts)[i + 1].scale)
		i++;
	axis = (ns != 0 ? times : counts)[i];
	axis.scale /= factor;
	axis.decimals = (int)fmin(9, fmax(0, ceil(-log10(bins->step / axis.scale) - 1e-9)));
	return axis;
}

static const char *label(char out[LABEL_SIZE], const struct bins *bins, const struct axis *axis,
			 double value, const char *unit)
{
	if (bins->log)
		return format_value(out, value, unit);
	snprintf(out, LABEL_SIZE, "%.*f%s", axis->decimals, value / axis->scale, axis->suffix);
	return out;
}

const char *bar_make(char *out, double part, int columns, bool ascii)
{
	static const char parts[][4] = {"",       "\u258f", "\u258e", "\u258d",
					"\u258c", "\u258b", "\u258a", "\u2589"};
	int eighths = (int)lround(part * columns * 8);
	size_t used = 0;

	if (eighths == 0 && part > 0)
		eighths = 1;
	out[0] = '\0';
	if (ascii)
		eighths = (eighths + 7) / 8 * 8;
	for (; eighths >= 8; eighths -= 8)
		used += (size_t)sprintf(out + used, "%s", ascii ? "#" : "\u2588");
	strcpy(out + used, parts[eighths]);
	return out;
}

/* How long a bar of `count` is beside that of `largest`. */
static double bar_part(double count, double largest, bool log_counts)
{
	if (!(largest > 0))
		return 0;
	return log_counts ? log1p(count) / log1p(largest) : count / largest;
}

/* ---- one ---- */

static const struct {
	const char *key, *mark;
} marks[] = {{"p50", "p50"}, {"p90", "p90"}, {"p95", "p95"}, {"p99", "p99"}, {"p99_9", "p99.9"}};

#define MARKS (sizeof marks / sizeof marks[0])
#define MARKS_SIZE 32

static void marks_of(const struct bins *bins, size_t row, const msgpack_object *metric,
		     char out[MARKS_SIZE])
{
	size_t used = 0;

	out[0] = '\0';
	for (size_t i = 0; i < MARKS; i++) {
		double value = member_real(member(metric, "quantiles"), marks[i].key, NAN);

		if (!isnan(value) && bins_find(bins, value) == row)
			used += (size_t)snprintf(out + used, MARKS_SIZE - used, "%s%s",
						 used > 0 ? " " : "", marks[i].mark);
	}
}

struct widths {
	int label, count, mark;
};

static struct widths measure(const struct bins *bins, const struct axis *axis,
			     const struct drawing *drawing, const uint64_t *counts,
			     const msgpack_object *metric)
{
	struct widths widths = {.count = 5};
	char text[LABEL_SIZE], all[MARKS_SIZE];

	for (size_t i = 0; i <= bins->count; i++) {
		int columns = (int)strlen(label(text, bins, axis, bins->edges[i], drawing->unit));

		widths.label = columns > widths.label ? columns : widths.label;
	}
	for (size_t i = 0; i < bins->count && metric != NULL; i++) {
		int columns = snprintf(text, sizeof text, "%llu", (unsigned long long)counts[i]);

		widths.count = columns > widths.count ? columns : widths.count;
		marks_of(bins, i, metric, all);
		columns = (int)strlen(all);
		widths.mark = columns > widths.mark ? columns : widths.mark;
	}
	return widths;
}

static void print_range(const struct bins *bins, const struct axis *axis,
			const struct drawing *drawing, size_t row, int width)
{
	char text[LABEL_SIZE];

	printf("%*s", width, label(text, bins, axis, bins->edges[row], drawing->unit));
	printf(" %*s", width, label(text, bins, axis, bins->edges[row + 1], drawing->unit));
}

static uint64_t largest_of(const uint64_t *counts, size_t count)
{
	uint64_t largest = 0;

	for (size_t i = 0; i < count; i++)
		largest = counts[i] > largest ? counts[i] : largest;
	return largest;
}

void draw_one(const struct drawing *drawing, const struct buckets *buckets,
	      const msgpack_object *metric)
{
	uint64_t counts[BINS_MAX], largest;
	char bar[1300], all[MARKS_SIZE];
	struct bins bins;
	struct axis axis = {0};
	struct widths widths;
	int room;

	bins_make(&bins, buckets, NULL, drawing->rows, drawing->log);
	bins_fill(&bins, buckets, counts);
	if (!bins.log)
		axis = axis_make(&bins, drawing->unit);
	largest = largest_of(counts, bins.count);
	widths = measure(&bins, &axis, drawing, counts, metric);
	room = drawing->columns - 2 * widths.label - widths.count - 10;
	if (room - widths.mark - 1 < BAR_MIN) /* a bar says more: the marks stand above too */
		widths.mark = 0;
	room -= widths.mark > 0 ? widths.mark + 1 : 0;
	room = room < BAR_MIN ? BAR_MIN : room;
	printf("%*s %*s %*s      %%\n", widths.label, "above", widths.label, "up to", widths.count,
	       "COUNT");
	for (size_t i = 0; i < bins.count; i++) {
		double part = bar_part((double)counts[i], (double)largest, drawing->log_counts);

		marks_of(&bins, i, metric, all);
		print_range(&bins, &axis, drawing, i, widths.label);
		printf(" %*llu %6.2f", widths.count, (unsigned long long)counts[i],
		       100 * (double)counts[i] / (double)buckets->total);
		if (widths.mark > 0)
			printf(" %-*s", widths.mark, all);
		bar_make(bar, part, room, drawing->ascii);
		printf("%s%s\n", bar[0] != '\0' ? " " : "", bar);
	}
	if (bins.more)
		puts("The last row is all beyond p99.9, up to the largest sample.");
}

/* ---- two ---- */

void draw_two(const struct drawing *drawing, const struct buckets *a, const struct buckets *b)
{
	uint64_t counts[2][BINS_MAX];
	double largest;
	char bar[1300];
	struct bins bins;
	struct axis axis = {0};
	int label_width, room;

	bins_make(&bins, a, b, drawing->rows, drawing->log);
	bins_fill(&bins, a, counts[0]);
	bins_fill(&bins, b, counts[1]);
	if (!bins.log)
		axis = axis_make(&bins, drawing->unit);
	label_width = measure(&bins, &axis, drawing, counts[0], NULL).label;
	room = (drawing->columns - 2 * label_width - 18) / 2;
	room = room < BAR_MIN ? BAR_MIN : room;
	/* Parts of each one's samples: so many as there are of one, the bars compare. */
	largest = fmax((double)largest_of(counts[0], bins.count) / (double)a->total,
		       (double)largest_of(counts[1], bins.count) / (double)b->total);
	printf("%*s %*s     A %%    B %% %-*s B\n", label_width, "above", label_width, "up to",
	       room, "A");
	for (size_t i = 0; i < bins.count; i++) {
		double part_a = (double)counts[0][i] / (double)a->total;
		double part_b = (double)counts[1][i] / (double)b->total;
		int width;

		print_range(&bins, &axis, drawing, i, label_width);
		bar_make(bar, bar_part(part_a, largest, drawing->log_counts), room, drawing->ascii);
		width = (int)(drawing->ascii ? strlen(bar) : strlen(bar) / 3);
		printf(" %7.2f %6.2f %s", 100 * part_a, 100 * part_b, bar);
		bar_make(bar, bar_part(part_b, largest, drawing->log_counts), room, drawing->ascii);
		if (bar[0] != '\0')
			printf("%*s%s", room - width + 1, "", bar);
		putchar('\n');
	}
	if (bins.more)
		puts("The last row is all beyond p99.9, up to the largest sample.");
}
