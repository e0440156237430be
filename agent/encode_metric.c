/* SPDX-License-Identifier: MIT */
#include "encode_metric.h"

static const char *const kind_names[] = {
	"", "timer", "counter", "updown", "gauge", "stateset", "info",
};

static void encode_quantiles(msgpack_packer *packer, const struct series *series)
{
	static const double wanted[] = {0.5, 0.9, 0.95, 0.99, 0.999};
	static const char *const names[] = {"p50", "p90", "p95", "p99", "p99_9"};
	double found[5];

	histogram_quantiles(&series->histogram, series->lifetime.min, series->lifetime.max, wanted,
			    found, 5);
	pack_text(packer, "quantiles");
	msgpack_pack_map(packer, 5);
	for (size_t i = 0; i < 5; i++)
		pack_real(packer, names[i], found[i]);
}

static void encode_window(msgpack_packer *packer, const struct window *window,
			  const struct window_summary *summary)
{
	pack_text(packer, "window");
	msgpack_pack_map(packer, 10);
	pack_u64(packer, "size", window->size);
	pack_u64(packer, "count", summary->count);
	pack_real(packer, "mean", summary->mean);
	pack_real(packer, "std", summary->std);
	pack_u64(packer, "min", summary->min);
	pack_u64(packer, "max", summary->max);
	pack_real(packer, "p50", summary->p50);
	pack_real(packer, "p95", summary->p95);
	pack_real(packer, "p99", summary->p99);
	pack_u64(packer, "last", summary->last);
}

static void encode_time_window(msgpack_packer *packer, const struct slices_summary *summary)
{
	msgpack_pack_map(packer, summary->count == 0 ? 3 : summary->has_quantiles ? 8 : 5);
	pack_u64(packer, "span_ns", summary->span_ns);
	pack_u64(packer, "count", summary->count);
	pack_real(packer, "rate", summary->rate);
	if (summary->count == 0)
		return;
	pack_real(packer, "mean", summary->mean);
	pack_u64(packer, "max", summary->max);
	if (!summary->has_quantiles)
		return;
	pack_real(packer, "p50", summary->p50);
	pack_real(packer, "p95", summary->p95);
	pack_real(packer, "p99", summary->p99);
}

static void encode_time_windows(msgpack_packer *packer, const struct slices *slices)
{
	static const char *const names[SLICES_WINDOWS] = {"10s", "1m", "5m", "15m"};
	struct slices_summary summary;

	pack_text(packer, "windows");
	msgpack_pack_map(packer, SLICES_WINDOWS);
	for (int i = 0; i < SLICES_WINDOWS; i++) {
		slices_window(slices, (enum slices_window)i, &summary);
		pack_text(packer, names[i]);
		encode_time_window(packer, &summary);
	}
}

static void encode_histogram(msgpack_packer *packer, const struct histogram *histogram)
{
	uint32_t first = 0, length = 0;

	histogram_trim_range(histogram, &first, &length);
	pack_text(packer, "histogram");
	msgpack_pack_map(packer, 5);
	pack_u64(packer, "schema", HISTOGRAM_SCHEMA);
	pack_u64(packer, "zero_threshold", 0);
	pack_u64(packer, "zero_count", histogram->zero_count);
	pack_u64(packer, "offset", first);
	pack_text(packer, "buckets");
	msgpack_pack_array(packer, length);
	for (uint32_t i = 0; i < length; i++)
		msgpack_pack_uint64(packer, histogram->buckets[first - histogram->first + i]);
}

static void encode_worst(msgpack_packer *packer, const struct worst *worst)
{
	pack_text(packer, "worst");
	msgpack_pack_map(packer, worst->correlation_id != 0 ? 3 : 2);
	pack_u64(packer, "value", worst->value);
	pack_u64(packer, "time_unix_ns", worst->time_unix_ns);
	if (worst->correlation_id != 0)
		pack_u64(packer, "correlation_id", worst->correlation_id);
}

static void encode_target(msgpack_packer *packer, const struct shmbus_metric_entry *entry,
			  const struct series *series)
{
	uint64_t count = series->lifetime.count;

	pack_text(packer, "target");
	msgpack_pack_map(packer, count != 0 ? 6 : 3);
	pack_u64(packer, "value", entry->target);
	pack_real(packer, "quantile", entry->target_quantile_ppm / 1e6);
	pack_u64(packer, "violations", series->violations);
	if (count == 0)
		return;
	pack_bool(packer, "met", series_target_met(series, entry));
	pack_real(packer, "violation_ratio", (double)series->violations / (double)count);
	encode_worst(packer, &series->worst);
}

static void encode_period(msgpack_packer *packer, const struct metric_view *view,
			  const struct window_summary *busy, struct window_scratch *scratch)
{
	const struct deadline *deadline = &view->series->deadline;
	uint64_t count = view->series->lifetime.count;
	struct window_summary wait = {0};
	bool cycle = view->quantum != 0;
	bool one = view->period_ns != 0; /* of the bus it may be many */

	if (one && view->wait != NULL)
		window_summarise(view->wait->window, scratch, &wait);
	pack_text(packer, "period");
	msgpack_pack_map(packer, 2 + one + (cycle ? 2 : 0) + (view->has_xruns ? 1 : 0) +
					 (count != 0 ? 2 + one : 0) + (wait.count != 0 ? 1 : 0));
	if (one)
		pack_u64(packer, "period_ns", view->period_ns);
	if (cycle) {
		pack_u64(packer, "quantum", view->quantum);
		pack_u64(packer, "rate_hz", view->entry->rate_hz);
	}
	if (wait.count != 0)
		pack_real(packer, "wait_ratio", wait.mean / (double)view->period_ns);
	if (one && count != 0)
		pack_real(packer, "busy_ratio", busy->mean / (double)view->period_ns);
	pack_u64(packer, "misses", deadline->misses);
	if (count != 0)
		pack_real(packer, "miss_ratio", (double)deadline->misses / (double)count);
	pack_u64(packer, "miss_run_max", deadline->run_max);
	if (view->has_xruns)
		pack_u64(packer, "xruns", view->xruns);
	if (count != 0)
		encode_worst(packer, &deadline->worst);
}

static uint32_t timer_keys(const struct metric_view *view)
{
	uint32_t keys = 1; /* count */

	if (view->series->lifetime.count != 0)
		keys += 8; /* sum, min, max, mean, std, quantiles, window, histogram */
	keys += view->slices != NULL;
	keys += view->entry->target != 0;
	keys += view->deadline;
	return keys;
}

static void encode_timer(msgpack_packer *packer, const struct metric_view *view,
			 struct window_scratch *scratch)
{
	const struct lifetime *lifetime = &view->series->lifetime;
	uint128 sum = lifetime_sum(lifetime);
	struct window_summary summary = {0};

	pack_u64(packer, "count", lifetime->count);
	if (lifetime->count != 0) {
		window_summarise(view->series->window, scratch, &summary);
		if (sum >> 64 == 0)
			pack_u64(packer, "sum", (uint64_t)sum);
		else
			pack_real(packer, "sum", (double)sum);
		pack_u64(packer, "min", lifetime->min);
		pack_u64(packer, "max", lifetime->max);
		pack_real(packer, "mean", lifetime_mean(lifetime));
		pack_real(packer, "std", lifetime_std(lifetime));
		encode_quantiles(packer, view->series);
		encode_window(packer, view->series->window, &summary);
		encode_histogram(packer, &view->series->histogram);
	}
	if (view->slices != NULL)
		encode_time_windows(packer, view->slices);
	if (view->entry->target != 0)
		encode_target(packer, view->entry, view->series);
	if (view->deadline)
		encode_period(packer, view, &summary, scratch);
}

/* The names of a state set, which stand in one text with bars between them. */
static uint32_t states_split(const char *text, const char *names[], size_t lengths[])
{
	uint32_t count = 0;

	while (count < SHMBUS_STATES_MAX) {
		lengths[count] = strcspn(text, "|");
		names[count++] = text;
		if (text[lengths[count - 1]] == '\0')
			break;
		text += lengths[count - 1] + 1;
	}
	return count;
}

static void pack_span(msgpack_packer *packer, const char *text, size_t length)
{
	msgpack_pack_str(packer, length);
	msgpack_pack_str_body(packer, text, length);
}

static void encode_states(msgpack_packer *packer, const struct metric_view *view)
{
	const char *names[SHMBUS_STATES_MAX];
	size_t lengths[SHMBUS_STATES_MAX];
	uint32_t count = states_split(view->entry->text, names, lengths);

	if (view->states != NULL) { /* of the bus: sessions in each state */
		pack_text(packer, "states");
		msgpack_pack_map(packer, count);
		for (uint32_t i = 0; i < count; i++) {
			pack_span(packer, names[i], lengths[i]);
			msgpack_pack_uint64(packer, view->states[i]);
		}
		return;
	}
	pack_text(packer, "states");
	msgpack_pack_array(packer, count);
	for (uint32_t i = 0; i < count; i++)
		pack_span(packer, names[i], lengths[i]);
	if (!view->present)
		return;
	pack_text(packer, "value");
	if (view->integer >= 0 && view->integer < (int64_t)count)
		pack_span(packer, names[view->integer], lengths[view->integer]);
	else
		pack_text(packer, "?");
}

static void encode_value(msgpack_packer *packer, const struct metric_view *view)
{
	pack_text(packer, "value");
	if (view->entry->kind == SHMBUS_INFO)
		pack_text(packer, view->entry->text);
	else if (view->real)
		msgpack_pack_double(packer, view->number);
	else if (view->entry->kind == SHMBUS_COUNTER)
		msgpack_pack_uint64(packer, (uint64_t)view->integer);
	else
		msgpack_pack_int64(packer, view->integer);
}

static uint32_t value_keys(const struct metric_view *view)
{
	if (view->entry->kind == SHMBUS_STATESET)
		return view->states == NULL && view->present ? 2 : 1;
	if (view->entry->kind == SHMBUS_INFO)
		return 1;
	return view->present ? 1 : 0;
}

void encode_metric(msgpack_packer *packer, const struct metric_view *view,
		   struct window_scratch *scratch)
{
	const struct shmbus_metric_entry *entry = view->entry;
	bool timer = entry->kind == SHMBUS_TIMER;
	uint32_t keys =
		3 + (entry->stage[0] != '\0') + (entry->help[0] != '\0') + (view->sessions != 0);

	msgpack_pack_map(packer, keys + (timer ? timer_keys(view) : value_keys(view)));
	pack_string(packer, "name", entry->name);
	pack_string(packer, "kind", kind_names[entry->kind]);
	pack_string(packer, "unit", entry->unit);
	if (entry->stage[0] != '\0')
		pack_string(packer, "stage", entry->stage);
	if (entry->help[0] != '\0')
		pack_string(packer, "help", entry->help);
	if (view->sessions != 0)
		pack_u64(packer, "sessions", view->sessions);
	if (timer)
		encode_timer(packer, view, scratch);
	else if (entry->kind == SHMBUS_STATESET)
		encode_states(packer, view);
	else if (value_keys(view) != 0)
		encode_value(packer, view);
}
