/* SPDX-License-Identifier: MIT */

#include "encode_metric.h"
#include "put.h"

static const char *const kind_names[] = {
	"", "timer", "counter", "updown", "gauge", "stateset", "info",
};

static void encode_quantiles(struct put *put, const struct series *series)
{
	static const double wanted[] = {0.5, 0.9, 0.95, 0.99, 0.999};
	double found[5];

	histogram_quantiles(&series->histogram, series->lifetime.min, series->lifetime.max, wanted,
			    found, 5);
	put_text(put, "quantiles");
	put_map(put, 5);
	put_real(put, "p50", found[0]);
	put_real(put, "p90", found[1]);
	put_real(put, "p95", found[2]);
	put_real(put, "p99", found[3]);
	put_real(put, "p99_9", found[4]);
}

static void encode_window(struct put *put, const struct window *window,
			  const struct window_summary *summary)
{
	put_text(put, "window");
	put_map(put, 10);
	put_u64(put, "size", window->size);
	put_u64(put, "count", summary->count);
	put_real(put, "mean", summary->mean);
	put_real(put, "std", summary->std);
	put_u64(put, "min", summary->min);
	put_u64(put, "max", summary->max);
	put_real(put, "p50", summary->p50);
	put_real(put, "p95", summary->p95);
	put_real(put, "p99", summary->p99);
	put_u64(put, "last", summary->last);
}

static void encode_time_window(struct put *put, const struct slices_summary *summary)
{
	put_map(put, summary->count == 0 ? 3 : summary->has_quantiles ? 8 : 5);
	put_u64(put, "span_ns", summary->span_ns);
	put_u64(put, "count", summary->count);
	put_real(put, "rate", summary->rate);
	if (summary->count == 0)
		return;
	put_real(put, "mean", summary->mean);
	put_u64(put, "max", summary->max);
	if (!summary->has_quantiles)
		return;
	put_real(put, "p50", summary->p50);
	put_real(put, "p95", summary->p95);
	put_real(put, "p99", summary->p99);
}

static void encode_time_windows(struct put *put, const struct slices *slices)
{
	static const char *const names[SLICES_WINDOWS] = {"10s", "1m", "5m", "15m"};
	struct slices_summary summaries[SLICES_WINDOWS];

	slices_windows(slices, summaries);
	put_text(put, "windows");
	put_map(put, SLICES_WINDOWS);
	for (int i = 0; i < SLICES_WINDOWS; i++) {
		put_text(put, names[i]);
		encode_time_window(put, &summaries[i]);
	}
}

static void encode_histogram(struct put *put, const struct histogram *histogram)
{
	uint32_t first = 0, length = 0;

	histogram_trim_range(histogram, &first, &length);
	put_text(put, "histogram");
	put_map(put, 5);
	put_u64(put, "schema", HISTOGRAM_SCHEMA);
	put_u64(put, "zero_threshold", 0);
	put_u64(put, "zero_count", histogram->zero_count);
	put_u64(put, "offset", first);
	put_text(put, "buckets");
	put_array(put, length);
	for (uint32_t i = 0; i < length; i++)
		put_number(put, histogram->buckets[first - histogram->first + i]);
}

static void encode_worst(struct put *put, const struct worst *worst)
{
	put_text(put, "worst");
	put_map(put, worst->correlation_id != 0 ? 3 : 2);
	put_u64(put, "value", worst->value);
	put_u64(put, "time_unix_ns", worst->time_unix_ns);
	if (worst->correlation_id != 0)
		put_u64(put, "correlation_id", worst->correlation_id);
}

static void encode_target(struct put *put, const struct shmbus_metric_entry *entry,
			  const struct series *series)
{
	uint64_t count = series->lifetime.count;

	put_text(put, "target");
	put_map(put, count != 0 ? 6 : 3);
	put_u64(put, "value", entry->target);
	put_real(put, "quantile", entry->target_quantile_ppm / 1e6);
	put_u64(put, "violations", series->violations);
	if (count == 0)
		return;
	put_bool(put, "met", series_target_met(series, entry));
	put_real(put, "violation_ratio", (double)series->violations / (double)count);
	encode_worst(put, &series->worst);
}

static void encode_period(struct put *put, const struct metric_view *view,
			  const struct window_summary *busy, struct window_scratch *scratch)
{
	const struct deadline *deadline = &view->series->deadline;
	uint64_t count = view->series->lifetime.count;
	struct window_summary wait = {0};
	bool cycle = view->quantum != 0;
	bool one = view->period_ns != 0; /* of the bus it may be many */

	if (one && view->wait != NULL)
		window_summarise(view->wait->window, &view->wait->near, scratch, &wait);
	put_text(put, "period");
	put_map(put, 2 + one + (cycle ? 2 : 0) + (view->has_xruns ? 1 : 0) +
			     (count != 0 ? 2 + one : 0) + (wait.count != 0 ? 1 : 0));
	if (one)
		put_u64(put, "period_ns", view->period_ns);
	if (cycle) {
		put_u64(put, "quantum", view->quantum);
		put_u64(put, "rate_hz", view->entry->rate_hz);
	}
	if (wait.count != 0)
		put_real(put, "wait_ratio", wait.mean / (double)view->period_ns);
	if (one && count != 0)
		put_real(put, "busy_ratio", busy->mean / (double)view->period_ns);
	put_u64(put, "misses", deadline->misses);
	if (count != 0)
		put_real(put, "miss_ratio", (double)deadline->misses / (double)count);
	put_u64(put, "miss_run_max", deadline->run_max);
	if (view->has_xruns)
		put_u64(put, "xruns", view->xruns);
	if (count != 0)
		encode_worst(put, &deadline->worst);
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

/* Bytes that a timer takes at most, without its buckets. */
#define TIMER_SIZE_MAX 2048u

static void encode_timer(msgpack_packer *packer, const struct metric_view *view,
			 struct window_scratch *scratch)
{
	const struct lifetime *lifetime = &view->series->lifetime;
	uint128 sum = lifetime_sum(lifetime);
	struct window_summary summary = {0};
	struct put_buffer *buffer = packer->data;
	struct put area, *put = &area;

	if (!put_begin(put, buffer,
		       TIMER_SIZE_MAX + view->series->histogram.length * PUT_NUMBER_MAX))
		return;
	put_u64(put, "count", lifetime->count);
	if (lifetime->count != 0) {
		window_summarise(view->series->window, &view->series->near, scratch, &summary);
		if (sum >> 64 == 0)
			put_u64(put, "sum", (uint64_t)sum);
		else
			put_real(put, "sum", (double)sum);
		put_u64(put, "min", lifetime->min);
		put_u64(put, "max", lifetime->max);
		put_real(put, "mean", lifetime_mean(lifetime));
		put_real(put, "std", lifetime_std(lifetime));
		encode_quantiles(put, view->series);
		encode_window(put, view->series->window, &summary);
		encode_histogram(put, &view->series->histogram);
	}
	if (view->slices != NULL)
		encode_time_windows(put, view->slices);
	if (view->entry->target != 0)
		encode_target(put, view->entry, view->series);
	if (view->deadline)
		encode_period(put, view, &summary, scratch);
	put_end(put, buffer);
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
