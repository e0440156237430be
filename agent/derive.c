/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <string.h>

#include "derive.h"

/* A timer counts with its sum, all else with its value. */
static bool operand(const struct session *session, uint32_t number, double *out)
{
	const struct metric *metric;

	if (number >= session->committed.metric_count)
		return false;
	metric = session->metrics[number];
	if (metric->timer)
		*out = (double)lifetime_sum(&metric->committed.lifetime);
	else if (metric->entry.real)
		memcpy(out, &metric->bits, sizeof *out);
	else
		*out = (double)(int64_t)metric->bits;
	return metric->timer || metric->present;
}

static bool operands_sum(const struct session *session, const uint16_t *numbers, uint32_t count,
			 double *out)
{
	*out = 0;
	for (uint32_t i = 0; i < count; i++) {
		double value;

		if (!operand(session, numbers[i], &value))
			return false;
		*out += value;
	}
	return true;
}

bool derive(const struct session *session, const struct shmbus_derived_entry *entry, double *out)
{
	double numerator, denominator, divisor;

	if (!operands_sum(session, entry->operands, entry->numerator_count, &numerator) ||
	    !operands_sum(session, entry->operands + entry->numerator_count,
			  entry->denominator_count, &denominator))
		return false;
	if (entry->rule == SHMBUS_DERIVE_RATIO) {
		divisor = denominator;
	} else {
		const struct metric *first = session->metrics[entry->operands[0]];

		numerator -= denominator;
		divisor = first->timer ? (double)first->committed.lifetime.count : 1;
	}
	if (divisor == 0)
		return false;
	*out = entry->scale * numerator / divisor;
	return isfinite(*out);
}
