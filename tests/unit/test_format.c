/* SPDX-License-Identifier: MIT */
#include <math.h>
#include <string.h>

#include <criterion/criterion.h>

#include "format.h"

#define IS(call, wanted)                                                                           \
	do {                                                                                       \
		char f[FORMAT_SIZE];                                                               \
		cr_assert_str_eq(call, wanted);                                                    \
	} while (0)

Test(format, durations)
{
	IS(format_duration(f, 0), "0ns");
	IS(format_duration(f, 999), "999ns");
	IS(format_duration(f, 999.6), "1.00us");
	IS(format_duration(f, 12345), "12.3us");
	IS(format_duration(f, 123.4e6), "123ms");
	IS(format_duration(f, 119e9), "119s");
	IS(format_duration(f, 600e9), "10.0m");
	IS(format_duration(f, 86400e9), "24.0h");
	IS(format_duration(f, NAN), "-");
}

Test(format, counts)
{
	IS(format_count(f, 0), "0");
	IS(format_count(f, 99999), "99999");
	IS(format_count(f, 100000), "100k");
	IS(format_count(f, -3), "-3");
	IS(format_count(f, 0.5), "0.50");
	IS(format_count(f, 12.34), "12.3");
	IS(format_count(f, 25502.4), "25502");
	IS(format_count(f, 99999.7), "100k");
	IS(format_count(f, 1.8446744073709552e19), "18.4E");
	IS(format_count(f, NAN), "-");
}

Test(format, bytes)
{
	IS(format_bytes(f, 0), "0B");
	IS(format_bytes(f, 999), "999B");
	IS(format_bytes(f, 1023), "1.00KiB");
	IS(format_bytes(f, 1536 * 1024), "1.50MiB");
	IS(format_bytes(f, NAN), "-");
}

Test(format, percents)
{
	IS(format_percent(f, 0), "0.0%");
	IS(format_percent(f, 1), "100.0%");
	IS(format_percent(f, 16), "1600%");
	IS(format_percent(f, 1e6), "100M%");
	IS(format_percent(f, NAN), "-");
}

Test(format, units)
{
	char unit[16];

	IS(format_value(f, 1500, "ns"), "1.50us");
	IS(format_value(f, 1500, "us"), "1.50ms");
	IS(format_value(f, 1.5, "s"), "1.50s");
	IS(format_value(f, 2048, "By"), "2.00KiB");
	IS(format_value(f, 2048, "1"), "2048");
	IS(format_value(f, 2048, "Hz"), "2048");
	cr_assert_str_eq(format_unit(unit, "ns"), "");
	cr_assert_str_eq(format_unit(unit, "By"), "");
	cr_assert_str_eq(format_unit(unit, "1"), "");
	cr_assert_str_eq(format_unit(unit, ""), "");
	cr_assert_str_eq(format_unit(unit, "{frame}"), "frame");
	cr_assert_str_eq(format_unit(unit, "{}"), "{}");
	cr_assert_str_eq(format_unit(unit, "Hz"), "Hz");
}

/* Nothing that a snapshot can hold leaves the buffer, and columns of 8 hold what is usual. */
Test(format, sizes)
{
	static const double values[] = {1e300, -1e300, INFINITY, -INFINITY, 1.8e19, 9.99e18};
	char f[FORMAT_SIZE];

	for (size_t i = 0; i < sizeof values / sizeof values[0]; i++) {
		cr_assert_lt(strlen(format_duration(f, values[i])), sizeof f);
		cr_assert_lt(strlen(format_bytes(f, values[i])), sizeof f);
		cr_assert_lt(strlen(format_count(f, values[i])), sizeof f);
		cr_assert_lt(strlen(format_percent(f, values[i])), sizeof f);
	}
	for (int i = 0; i < 640; i++) {
		double value = pow(1.07, i); /* up to 6e18, as large as 63 bits */

		cr_assert_leq(strlen(format_duration(f, value)), 8, "%g", value);
		cr_assert_leq(strlen(format_bytes(f, value)), 8, "%g", value);
		cr_assert_leq(strlen(format_count(f, value)), 8, "%g", value);
	}
}
