/* SPDX-License-Identifier: MIT */
/* plot.h - pages without network, with pictures as inline SVG, for light and dark: the report of
 * the benchmark, and of shmbus record. */
#ifndef SHMBUS_READERS_PLOT_H
#define SHMBUS_READERS_PLOT_H

#include <stdbool.h>
#include <stdio.h>

#include <jansson.h>

/* A picture, and the margins of what is plotted in it. */
#define PLOT_WIDTH 760.0
#define PLOT_HEIGHT 340.0
#define PLOT_LEFT 70.0
#define PLOT_RIGHT 44.0
#define PLOT_TOP 14.0
#define PLOT_BOTTOM 46.0

/* All up to <body>, with the colours as classes: .c0 to .c7 for lines, .b0 to .b7 for areas.
 * `style` is added to the style sheet. */
void page_open(FILE *out, const char *title, const char *style);
void page_close(FILE *out);

/* Text with what HTML reserves replaced. */
void html_text(FILE *out, const char *text);

/* A logarithmic axis, in whole powers of ten. */
struct axis {
	double low; /* exponents of ten */
	double high;
	double from; /* where they stand */
	double to;
};

/* Makes an axis reach from one value to another, both above 0. */
void axis_cover(struct axis *axis, double low, double high);
double axis_at(const struct axis *axis, double value);

/* Its lines and numbers: from the left to the right, or from the bottom to the top. With
 * `quantiles` a horizontal axis is of 1/(1-q), labelled with q. */
void plot_grid_x(FILE *out, const struct axis *x, bool quantiles);
void plot_grid_y(FILE *out, const struct axis *y);

/* Lines on logarithmic axes: the curves of one plot, {plot, name, x_unit, y_unit, points[[x, y]]}.
 * With `quantiles` x is 1/(1-q), as in HdrHistogram's plots. Nothing where there are none. */
void plot_lines(FILE *out, const json_t *curves, const char *plot, const char *title,
		bool quantiles);

/* Bars, on a logarithmic axis: the measured figures of a unit whose ids begin so. */
void plot_bars(FILE *out, const json_t *figures, const char *prefix, const char *unit,
	       const char *title);

#endif /* SHMBUS_READERS_PLOT_H */
