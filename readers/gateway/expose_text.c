/* SPDX-License-Identifier: MIT */
/*
 * expose_text.c - the text formats of Prometheus.
 *
 * 0.0.4: https://prometheus.io/docs/instrumenting/exposition_formats/
 * OpenMetrics 1.0: https://github.com/OpenObservability/OpenMetrics, specification/OpenMetrics.md
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "expose_model.h"
#include "expose_unit.h"

#define BOUNDS_MAX 64
#define BOUND_SIZE 32

struct text_writer {
	struct writer base;
	bool openmetrics;
	const struct family *family;
	/* Of the family before with other bounds: it is often the same. */
	double factor;
	struct bounds bounds;
	char texts[BOUNDS_MAX][BOUND_SIZE];
	struct body labels; /* of the point, as they stand between the braces */
};

/* ---- numbers and texts ---- */

/* A bound as Go writes it, in which OpenMetrics' examples and Prometheus itself have it: digits
 * behind a point, an exponent from 1e+06 and below 1e-04. */
static void bound_text(double value, char out[BOUND_SIZE])
{
	int digits = 0, exponent;

	do
		snprintf(out, BOUND_SIZE, "%.*e", digits, value);
	while (strtod(out, NULL) != value && ++digits < 17);
	exponent = atoi(strchr(out, 'e') + 1);
	if (exponent < -4 || exponent >= 6)
		return;
	snprintf(out, BOUND_SIZE, "%.*f", digits > exponent ? digits - exponent : 1, value);
}

static void bounds_text(struct text_writer *writer, const struct family *family)
{
	size_t count = bounds_count(&family->bounds);

	if (family->factor == writer->factor &&
	    memcmp(&family->bounds, &writer->bounds, sizeof family->bounds) == 0)
		return;
	writer->factor = family->factor;
	writer->bounds = family->bounds;
	for (size_t i = 0; i < count && i < BOUNDS_MAX; i++) {
		int power = family->bounds.first + (int)i * family->bounds.step;

		bound_text(unit_scale(ldexp(1, power), family->factor), writer->texts[i]);
	}
}

/* Backslashes, line feeds and, where they would end it, quotes are escaped. */
static void escaped(struct body *out, const char *text, bool quotes)
{
	while (*text != '\0') {
		size_t plain = strcspn(text, quotes ? "\\\n\"" : "\\\n");

		body_bytes(out, text, plain);
		text += plain;
		if (*text == '\0')
			break;
		body_bytes(out, (const char[]){'\\', *text == '\n' ? 'n' : *text}, 2);
		text++;
	}
}

/* ---- families ---- */

static const char *type_of(const struct text_writer *writer, enum family_kind kind)
{
	static const char *const types[] = {"counter", "gauge", "histogram", "stateset", "info"};

	return kind > FAMILY_HISTOGRAM && !writer->openmetrics ? "gauge" : types[kind];
}

/* What the samples of a family that is no histogram have behind its name. */
static const char *suffix_of(enum family_kind kind)
{
	return kind == FAMILY_COUNTER ? "_total" : kind == FAMILY_INFO ? "_info" : "";
}

static void text_family(struct writer *base, const struct family *family)
{
	struct text_writer *writer = (struct text_writer *)base;
	const char *suffix = writer->openmetrics ? "" : suffix_of(family->kind);
	struct body *out = base->out;

	writer->family = family;
	if (family->kind == FAMILY_HISTOGRAM)
		bounds_text(writer, family);
	body_text(out, "# HELP ");
	body_text(out, family->name);
	body_text(out, suffix);
	body_text(out, " ");
	escaped(out, family->help, writer->openmetrics);
	body_text(out, "\n# TYPE ");
	body_text(out, family->name);
	body_text(out, suffix);
	body_text(out, " ");
	body_text(out, type_of(writer, family->kind));
	body_text(out, "\n");
	if (writer->openmetrics && family->unit[0] != '\0') {
		body_text(out, "# UNIT ");
		body_text(out, family->name);
		body_text(out, " ");
		body_text(out, family->unit);
		body_text(out, "\n");
	}
}

/* ---- points ---- */

static void labels_text(struct text_writer *writer, const struct labels *labels)
{
	struct body *out = &writer->labels;

	out->size = 0;
	for (size_t i = 0; i < labels->count; i++) {
		if (i != 0)
			body_text(out, ",");
		body_text(out, labels->list[i].name);
		body_text(out, "=\"");
		escaped(out, labels->list[i].value, true);
		body_text(out, "\"");
	}
	writer->base.out->failed |= out->failed;
}

/* The name of a sample with its labels, those of the point and a bound. */
static void sample_name(struct text_writer *writer, const char *suffix, const char *bound)
{
	const struct body *labels = &writer->labels;
	struct body *out = writer->base.out;

	body_text(out, writer->family->name);
	body_text(out, suffix);
	if (labels->size != 0 || bound != NULL) {
		body_bytes(out, "{", 1);
		body_bytes(out, labels->data, labels->size);
		if (bound != NULL) {
			body_text(out, labels->size != 0 ? ",le=\"" : "le=\"");
			body_text(out, bound);
			body_bytes(out, "\"", 1);
		}
		body_bytes(out, "}", 1);
	}
	body_bytes(out, " ", 1);
}

static void exemplar_text(struct text_writer *writer, const struct exemplar *exemplar)
{
	struct body *out = writer->base.out;

	body_printf(out, " # {correlation_id=\"%s\"} ", exemplar->correlation_id);
	body_real(out, unit_scale((double)exemplar->value, writer->family->factor));
	body_printf(out, " %" PRIu64 ".%03u", exemplar->time_unix_ns / 1000000000u,
		    (unsigned int)(exemplar->time_unix_ns % 1000000000u / 1000000u));
}

static void bucket_text(struct text_writer *writer, const char *bound, uint64_t count,
			const struct exemplar *exemplar)
{
	sample_name(writer, "_bucket", bound);
	body_u64(writer->base.out, count);
	if (exemplar != NULL)
		exemplar_text(writer, exemplar);
	body_bytes(writer->base.out, "\n", 1);
}

static void histogram_text(struct text_writer *writer, const struct histogram_point *point)
{
	const struct exemplar *exemplar =
		writer->openmetrics && point->exemplar.correlation_id[0] != '\0' ? &point->exemplar
										 : NULL;
	const struct bounds *bounds = &writer->family->bounds;
	size_t count = bounds_count(bounds);
	struct classic classic;

	classic_begin(&classic, &point->buckets);
	for (size_t i = 0; i < count && i < BOUNDS_MAX; i++) {
		int power = bounds->first + (int)i * bounds->step;
		bool here = exemplar != NULL && (double)exemplar->value <= ldexp(1, power);

		bucket_text(writer, writer->texts[i], classic_up_to(&classic, power),
			    here ? exemplar : NULL);
		exemplar = here ? NULL : exemplar;
	}
	bucket_text(writer, "+Inf", point->buckets.total, exemplar);
	sample_name(writer, "_sum", NULL);
	body_real(writer->base.out, point->sum);
	body_bytes(writer->base.out, "\n", 1);
	sample_name(writer, "_count", NULL);
	body_u64(writer->base.out, point->buckets.total);
	body_bytes(writer->base.out, "\n", 1);
}

static void text_point(struct writer *base, const struct point *point)
{
	struct text_writer *writer = (struct text_writer *)base;

	labels_text(writer, point->labels);
	if (point->histogram != NULL) {
		histogram_text(writer, point->histogram);
		return;
	}
	sample_name(writer, suffix_of(writer->family->kind), NULL);
	if (point->whole)
		body_u64(base->out, point->number);
	else
		body_real(base->out, point->value);
	body_bytes(base->out, "\n", 1);
}

void expose_text(struct body *out, bool openmetrics, const struct exposition *exposition,
		 const struct expose_options *options)
{
	struct text_writer writer = {
		.base = {text_family, text_point, out, .classic = true},
		.openmetrics = openmetrics,
		.labels = BODY_EMPTY,
	};

	expose_walk(exposition, options, &writer.base);
	if (openmetrics)
		body_text(out, "# EOF\n");
	body_free(&writer.labels);
}
