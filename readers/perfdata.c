/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "perfdata.h"

const char *perf_number(char out[PERF_NUMBER_SIZE], double value, enum dimension dimension)
{
	size_t length;

	value = dimension == DIMENSION_TIME    ? value / 1e9
		: dimension == DIMENSION_RATIO ? value * 100
					       : value;
	if (!(fabs(value) < 1e24))
		return strcpy(out, "U");
	snprintf(out, PERF_NUMBER_SIZE, "%.9f", value);
	length = strlen(out);
	while (out[length - 1] == '0')
		out[--length] = '\0';
	if (out[length - 1] == '.')
		out[length - 1] = '\0';
	if (strcmp(out, "-0") == 0)
		strcpy(out, "0");
	return out;
}

const char *perf_range(char out[PERF_RANGE_SIZE], enum rule_op op, double limit,
		       enum dimension dimension, bool negative)
{
	char number[PERF_NUMBER_SIZE];

	perf_number(number, limit, dimension);
	switch (op) {
	case OP_GT: /* "10" is 0 to 10, the same where nothing is below 0 */
		snprintf(out, PERF_RANGE_SIZE, "%s%s", negative || limit < 0 ? "~:" : "", number);
		break;
	case OP_GE:
		snprintf(out, PERF_RANGE_SIZE, "@%s:", number);
		break;
	case OP_LT:
		snprintf(out, PERF_RANGE_SIZE, "%s:", number);
		break;
	case OP_LE:
		snprintf(out, PERF_RANGE_SIZE, "@~:%s", number);
		break;
	case OP_EQ:
		snprintf(out, PERF_RANGE_SIZE, "@%s:%s", number, number);
		break;
	default:
		snprintf(out, PERF_RANGE_SIZE, "%s:%s", number, number);
	}
	return out;
}

static const char *unit_of(const struct measured *measured)
{
	switch (measured->dimension) {
	case DIMENSION_TIME:
		return "s";
	case DIMENSION_BYTES:
		return "B";
	case DIMENSION_RATIO:
		return "%";
	default:
		return measured->grows ? "c" : "";
	}
}

const char *perf_item(char out[PERF_ITEM_SIZE], const struct measured *measured,
		      const char *warning, const char *critical)
{
	char label[2 * MEASURE_LABEL_SIZE], number[PERF_NUMBER_SIZE];
	size_t used = 0;

	for (const char *from = measured->label; *from != '\0'; from++) {
		if (*from == '\'')
			label[used++] = '\'';
		label[used++] = strchr("=|\n\r", *from) != NULL ? '_' : *from;
	}
	label[used] = '\0';
	perf_number(number, measured->value, measured->dimension);
	snprintf(out, PERF_ITEM_SIZE, "'%s'=%s%s;%s;%s;%s;", label, number,
		 number[0] == 'U' ? "" : unit_of(measured), warning, critical,
		 measured->negative ? "" : "0");
	return out;
}

void perf_text(char *text)
{
	for (; *text != '\0'; text++)
		if (*text == '|' || *text == '\n' || *text == '\r')
			*text = '/';
}
