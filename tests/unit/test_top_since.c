/* SPDX-License-Identifier: MIT */
#include <math.h>

#include <criterion/criterion.h>

#include "json_document.h"
#include "top_since.h"

/* A timer with 100 samples in bucket 320 (up to 1024), as `more` in bucket 352 (up to 2048). */
#define TIMER                                                                                      \
	"{'name':'t','count':%d,'sum':%d,'mean':7,'max':%d,'quantiles':{'p50':1.5,'p99':2.5},"     \
	"'histogram':{'schema':5,'zero_count':%d,'offset':320,'buckets':[100,"                     \
	"0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,0,%d]},"                      \
	"'target':{'value':1500,'quantile':0.9,'violations':%d,'met':%s}}"

static void timer(struct json_document *out, int more, int zeros, bool met)
{
	int count = 100 + more + zeros;

	json_document_make(out, TIMER, count, 100 * 1000 + more * 2000, more > 0 ? 2040 : 1000,
			   zeros, more, more, met ? "true" : "false");
}

static void expect_near(double value, double wanted, double part)
{
	cr_assert(fabs(value - wanted) <= part * wanted, "%g, not %g", value, wanted);
}

Test(top_since, without_a_baseline)
{
	struct json_document now;
	struct top_figures figures;

	timer(&now, 20, 0, false);
	top_figures_read(&figures, &now.document.root, NULL);
	cr_assert_eq(figures.count, 120);
	cr_assert_eq(figures.mean, 7); /* as it is in the document, and the quantiles too */
	cr_assert_eq(figures.p50, 1.5);
	cr_assert_eq(figures.p99, 2.5);
	cr_assert_eq(figures.max, 2040);
	cr_assert_eq(figures.met, 0);
	json_document_free(&now);
}

Test(top_since, only_the_new_samples_count)
{
	struct json_document now, from;
	struct top_figures figures;

	timer(&from, 0, 0, true);
	timer(&now, 20, 0, false);
	top_figures_read(&figures, &now.document.root, &from.document.root);
	cr_assert_eq(figures.count, 20);
	cr_assert_eq(figures.mean, 2000);
	expect_near(figures.p50, 2048, 0.011 * 2);
	expect_near(figures.p99, 2048, 0.011 * 2);
	cr_assert_eq(figures.max, 2040); /* none was as large before */
	cr_assert_eq(figures.met, 0);
	json_document_free(&now);
	json_document_free(&from);
}

Test(top_since, what_is_no_new_maximum)
{
	struct json_document now, from;
	struct top_figures figures;

	timer(&from, 20, 0, false);
	timer(&now, 20, 7, false);
	top_figures_read(&figures, &now.document.root, &from.document.root);
	cr_assert_eq(figures.count, 7);
	cr_assert_eq(figures.mean, 0);
	cr_assert_eq(figures.p50, 0);
	cr_assert_eq(figures.max, 0);
	cr_assert_eq(figures.met, 1); /* the old violations are forgotten */
	json_document_free(&now);
	json_document_free(&from);
}

Test(top_since, nothing_new)
{
	struct json_document now;
	struct top_figures figures;

	timer(&now, 20, 0, false);
	top_figures_read(&figures, &now.document.root, &now.document.root);
	cr_assert_eq(figures.count, 0);
	cr_assert(isnan(figures.mean) && isnan(figures.p50) && isnan(figures.p99) &&
		  isnan(figures.max));
	cr_assert_eq(figures.met, -1);
	json_document_free(&now);
}

/* An agent without its checkpoint counts from 0: then there is no baseline any more. */
Test(top_since, counts_that_went_back)
{
	struct json_document now, from;
	struct top_figures figures;

	timer(&from, 20, 0, false);
	timer(&now, 0, 0, true);
	top_figures_read(&figures, &now.document.root, &from.document.root);
	cr_assert_eq(figures.count, 100);
	cr_assert_eq(figures.met, 1);
	cr_assert_eq(top_since(5, 3), 2);
	cr_assert_eq(top_since(3, 5), 3);
	json_document_free(&now);
	json_document_free(&from);
}

Test(top_since, bins)
{
	struct json_document now, from;
	double bins[TOP_BINS] = {0};

	timer(&from, 0, 0, true);
	timer(&now, 20, 3, false);
	cr_assert(top_bins_add(bins, &now.document.root, NULL));
	cr_assert_eq(bins[0], 3);
	cr_assert_eq(bins[81], 100); /* (2^(79/8), 2^10] */
	cr_assert_eq(bins[89], 20);
	cr_assert_eq(top_bin_limit(81), 1024);
	cr_assert_eq(top_bin_limit(89), 2048);
	memset(bins, 0, sizeof bins);
	cr_assert(top_bins_add(bins, &now.document.root, &from.document.root));
	cr_assert_eq(bins[0] + bins[89], 23);
	cr_assert_eq(bins[81], 0);
	json_document_free(&now);
	json_document_free(&from);
}

Test(top_since, histograms_that_make_no_sense)
{
	static const char *const histograms[] = {
		"{}",
		"{'histogram':7}",
		"{'histogram':{'schema':-1,'offset':0,'buckets':[1]}}",
		"{'histogram':{'schema':2,'offset':0,'buckets':[1]}}",
		"{'histogram':{'schema':21,'offset':0,'buckets':[1]}}",
		"{'histogram':{'schema':5,'offset':4611686018427387904,'buckets':[1]}}",
	};
	double bins[TOP_BINS] = {0};
	struct json_document document;

	for (size_t i = 0; i < sizeof histograms / sizeof histograms[0]; i++) {
		json_document_make(&document, "%s", histograms[i]);
		cr_assert_not(top_bins_add(bins, &document.document.root, NULL), "%zu", i);
		json_document_free(&document);
	}
	/* The last bucket of all, and counts that are none. */
	json_document_make(&document,
			   "{'histogram':{'schema':3,'offset':512,'buckets':[5,'x',-1,9]}}");
	cr_assert(top_bins_add(bins, &document.document.root, NULL));
	cr_assert_eq(bins[TOP_BINS - 1], 14);
	json_document_free(&document);
}

Test(top_since, the_same_session)
{
	struct json_document now, then;
	const msgpack_object *sessions = NULL;
	size_t hint = 0;

	json_document_make(&then, "{'sessions':[{'segment':'a','incarnation':1},"
				  "{'segment':'b','incarnation':1}]}");
	json_document_make(&now,
			   "{'sessions':[{'segment':'b','incarnation':1},"
			   "{'segment':'a','incarnation':2},{'segment':'a','incarnation':1}]}");
	cr_assert_eq(member_array(&now.document.root, "sessions", &sessions), 3);
	cr_assert_not_null(top_session_find(&then.document, &sessions[0], &hint));
	cr_assert_eq(hint, 2);
	cr_assert_null(top_session_find(&then.document, &sessions[1], &hint)); /* another life */
	cr_assert_not_null(top_session_find(&then.document, &sessions[2], &hint));
	cr_assert_eq(hint, 1);
	cr_assert_null(top_session_find(NULL, &sessions[2], &hint));
	json_document_free(&now);
	json_document_free(&then);
}
