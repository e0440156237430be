/* SPDX-License-Identifier: MIT */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "expose_model.h"
#include "gateway.h"
#include "times.h"

/* ---- which format ---- */

static const struct {
	const char *type, *name; /* of Accept, of ?format= */
	const char *content_type;
} formats[EXPOSE_FORMATS] = {
	[EXPOSE_JSON] = {"application/json", "json", "application/json"},
	[EXPOSE_TEXT] = {"text/plain", "text", "text/plain; version=0.0.4; charset=utf-8"},
	[EXPOSE_OPENMETRICS] = {"application/openmetrics-text", "openmetrics",
				"application/openmetrics-text; version=1.0.0; charset=utf-8"},
	[EXPOSE_PROTOBUF] = {"application/vnd.google.protobuf", "protobuf",
			     "application/vnd.google.protobuf; "
			     "proto=io.prometheus.client.MetricFamily; encoding=delimited"},
};

/* Who asks for all alike gets the first. */
static const enum expose_format order[] = {EXPOSE_TEXT, EXPOSE_JSON, EXPOSE_OPENMETRICS,
					   EXPOSE_PROTOBUF};

/* A media range of an Accept header: RFC 9110, section 12.5.1. */
struct range {
	char type[64];
	char parameters[256]; /* with blanks left out: ";version=1.0.0;q=0.5" */
	double quality;
};

/* The next one, from `*at` on, which it moves behind it. What is too long fits nothing. */
static bool range_next(const char **at, struct range *range)
{
	const char *quality;
	size_t used = 0;
	char *parameters;
	char text[320];

	*at += strspn(*at, ", \t");
	if (**at == '\0')
		return false;
	for (bool quoted = false; **at != '\0' && (quoted || **at != ','); (*at)++) {
		quoted ^= **at == '"';
		if (**at != ' ' && **at != '\t' && **at != '"' && used < sizeof text - 1)
			text[used++] = **at;
	}
	text[used] = '\0';
	parameters = strchr(text, ';');
	*range = (struct range){.quality = 1};
	if (parameters != NULL && strlen(parameters) < sizeof range->parameters)
		strcpy(range->parameters, parameters);
	if (parameters != NULL)
		*parameters = '\0';
	if (strlen(text) < sizeof range->type)
		strcpy(range->type, text);
	quality = strcasestr(range->parameters, ";q=");
	if (quality != NULL)
		range->quality = strtod(quality + 3, NULL);
	if (!(range->quality >= 0 && range->quality <= 1))
		range->quality = 0;
	return true;
}

/* Whether a parameter is not there, or one of two values (NULL: none). */
static bool parameter_is(const struct range *range, const char *name, const char *one,
			 const char *other)
{
	const char *value = strcasestr(range->parameters, name);
	size_t length;

	if (value == NULL)
		return true;
	value += strlen(name);
	length = strcspn(value, ";");
	return (strlen(one) == length && strncasecmp(value, one, length) == 0) ||
	       (other != NULL && strlen(other) == length && strncasecmp(value, other, length) == 0);
}

/* How well a range fits a format: 3: it is named, 2: its kind is, 1: all are; 0: not. */
static int range_fit(const struct range *range, enum expose_format format)
{
	const char *type = formats[format].type;
	size_t major = (size_t)(strchr(type, '/') - type) + 1;

	if (strcmp(range->type, "*/*") == 0)
		return 1;
	if (strncasecmp(range->type, type, major) == 0 && strcmp(range->type + major, "*") == 0)
		return 2;
	if (strcasecmp(range->type, type) != 0)
		return 0;
	if (format == EXPOSE_TEXT)
		return parameter_is(range, ";version=", "0.0.4", NULL) ? 3 : 0;
	if (format == EXPOSE_OPENMETRICS)
		return parameter_is(range, ";version=", "1.0.0", "0.0.1") ? 3 : 0;
	if (format == EXPOSE_PROTOBUF)
		return parameter_is(range, ";proto=", "io.prometheus.client.MetricFamily", NULL) &&
				       parameter_is(range, ";encoding=", "delimited", NULL)
			       ? 3
			       : 0;
	return 3;
}

enum expose_format expose_negotiate(const char *accept)
{
	enum expose_format best = EXPOSE_TEXT;
	double best_quality = 0;
	int best_fit = 0;

	for (size_t i = 0; accept != NULL && i < EXPOSE_FORMATS; i++) {
		const char *at = accept;
		struct range range;
		double quality = 0;
		int fit = 0;

		/* The range that fits a format best says its quality. */
		while (range_next(&at, &range)) {
			int this_fit = range_fit(&range, order[i]);

			if (this_fit > fit ||
			    (this_fit == fit && this_fit != 0 && range.quality > quality)) {
				fit = this_fit;
				quality = range.quality;
			}
		}
		if (quality > best_quality ||
		    (quality == best_quality && quality > 0 && fit > best_fit)) {
			best = order[i];
			best_quality = quality;
			best_fit = fit;
		}
	}
	return best;
}

const char *expose_content_type(enum expose_format format)
{
	return formats[format].content_type;
}

/* ---- what is written ---- */

void expose_exposition(struct body *out, enum expose_format format,
		       const struct exposition *exposition, const struct expose_options *options)
{
	switch (format) {
	case EXPOSE_JSON:
		expose_json(out, exposition, options);
		break;
	case EXPOSE_PROTOBUF:
		expose_protobuf(out, exposition, options);
		break;
	default:
		expose_text(out, format == EXPOSE_OPENMETRICS, exposition, options);
	}
}

void expose_write(struct body *out, enum expose_format format, const struct feed *feed,
		  const struct expose_options *options)
{
	const struct exposition exposition = {
		.bus = feed_bus(feed),
		.state = feed_state(feed),
		.document = feed_document(feed),
	};

	expose_exposition(out, format, &exposition, options);
}

/* ---- renderings ---- */

/* Who asks less often than this is no reason to make or to keep a rendering. */
#define RECENT_NS UINT64_C(60000000000)
/* A rendering is made before it is asked for where that takes less than this part of the time
 * between two snapshots: then it may be made in vain. */
#define EAGER_PART 100u

#define OPTION_SETS 4u /* sessions or not, classic buckets or not */

struct kept {
	struct rendering *rendering;
	uint64_t version;  /* of the feed, at which it was made */
	uint64_t asked_ns; /* 0: never */
	uint64_t made_ns;  /* what making it took */
};

struct exposer {
	struct gateway *gateway;
	struct kept kept[EXPOSE_FORMATS][OPTION_SETS];
};

static void kept_make(struct exposer *exposer, enum expose_format format, unsigned int set)
{
	struct kept *kept = &exposer->kept[format][set];
	const struct expose_options options = {
		.sessions = (set & 1) != 0,
		.classic = (set & 2) != 0,
		.series_max = exposer->gateway->options->series_max,
	};
	uint64_t start_ns = monotonic_ns();
	struct body body = BODY_EMPTY;

	rendering_free(kept->rendering);
	expose_write(&body, format, exposer->gateway->feed, &options);
	kept->rendering = rendering_new(formats[format].content_type, &body);
	kept->version = feed_version(exposer->gateway->feed);
	kept->made_ns = monotonic_ns() - start_ns;
	body_free(&body);
}

static void on_snapshot(struct feed *feed, void *data)
{
	struct exposer *exposer = data;
	const struct document *document = feed_document(feed);
	uint64_t interval_ns = document != NULL ? member_u64(&document->root, "interval_ns", 0) : 0;
	uint64_t now = monotonic_ns();

	for (int format = 0; format < EXPOSE_FORMATS; format++)
		for (unsigned int set = 0; set < OPTION_SETS; set++) {
			struct kept *kept = &exposer->kept[format][set];
			bool recent = kept->asked_ns != 0 && now - kept->asked_ns < RECENT_NS;

			if (recent && kept->made_ns < interval_ns / EAGER_PART) {
				kept_make(exposer, (enum expose_format)format, set);
			} else if (!recent && kept->rendering != NULL) {
				rendering_free(kept->rendering);
				*kept = (struct kept){.asked_ns = 0};
			}
		}
}

int exposer_new(struct gateway *gateway, struct exposer **out)
{
	struct exposer *exposer = calloc(1, sizeof *exposer);

	if (exposer == NULL)
		return -ENOMEM;
	exposer->gateway = gateway;
	feed_listen(gateway->feed, on_snapshot, exposer);
	*out = exposer;
	return 0;
}

void exposer_free(struct exposer *exposer)
{
	if (exposer == NULL)
		return;
	for (int format = 0; format < EXPOSE_FORMATS; format++)
		for (unsigned int set = 0; set < OPTION_SETS; set++)
			rendering_free(exposer->kept[format][set].rendering);
	free(exposer);
}

/* ---- requests ---- */

/* ?sessions, ?sessions=1, ?sessions=0; absent: as the options have it. -1: neither. */
static int truth(const struct request *request, const char *name, bool absent)
{
	const char *text = request_argument(request, name);

	if (text == NULL)
		return absent;
	if (text[0] == '\0' || strcmp(text, "1") == 0 || strcmp(text, "true") == 0)
		return 1;
	return strcmp(text, "0") == 0 || strcmp(text, "false") == 0 ? 0 : -1;
}

/* EXPOSE_FORMATS: there is none of that name. */
static enum expose_format format_of(const struct request *request)
{
	const char *name = request_argument(request, "format");
	int format = 0;

	if (name == NULL)
		return expose_negotiate(request_header(request, "Accept"));
	while (format < EXPOSE_FORMATS && strcmp(name, formats[format].name) != 0)
		format++;
	return (enum expose_format)format;
}

enum MHD_Result handle_metrics(struct request *request)
{
	struct exposer *exposer = request->gateway->exposer;
	const struct gateway_options *options = request->gateway->options;
	enum expose_format format = format_of(request);
	int sessions = truth(request, "sessions", options->sessions || format == EXPOSE_JSON);
	int classic = truth(request, "classic", options->classic);
	struct kept *kept;
	unsigned int set;

	if (format == EXPOSE_FORMATS)
		return answer_error(request, MHD_HTTP_BAD_REQUEST,
				    "format is json, text, openmetrics or protobuf");
	if (sessions < 0 || classic < 0)
		return answer_error(request, MHD_HTTP_BAD_REQUEST, "%s is 0 or 1",
				    sessions < 0 ? "sessions" : "classic");
	/* Only protobuf has a choice. */
	set = (unsigned int)sessions | (format == EXPOSE_PROTOBUF ? (unsigned int)classic << 1 : 0);
	kept = &exposer->kept[format][set];
	kept->asked_ns = monotonic_ns();
	if (kept->rendering == NULL || kept->version != feed_version(request->gateway->feed))
		kept_make(exposer, format, set);
	if (kept->rendering == NULL)
		return answer_error(request, MHD_HTTP_INTERNAL_SERVER_ERROR, "out of memory");
	return answer_rendering(request, MHD_HTTP_OK, kept->rendering);
}
