/* SPDX-License-Identifier: MIT */
/* test_convolver.c - the player's convolution by parts against the sum that defines it. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "convolver.h"

enum { LENGTH_MAX = 4096 };

static float noise(uint32_t *state)
{
	*state = *state * 1664525u + 1013904223u;
	return (float)(*state >> 8) / 8388608.0f - 1;
}

static void noise_fill(float *out, uint32_t length, uint32_t seed)
{
	for (uint32_t i = 0; i < length; i++)
		out[i] = noise(&seed);
}

/* y[n] = sum over k of h[k] x[n - k], in doubles. */
static double direct(const float *impulse, uint32_t length, const float *in, uint32_t n)
{
	double sum = 0;

	for (uint32_t k = 0; k < length && k <= n; k++)
		sum += (double)impulse[k] * in[n - k];
	return sum;
}

static void convolve(const float *impulse, uint32_t length, uint32_t block, const float *in,
		     float *out, uint32_t frames)
{
	struct convolver *convolver = convolver_new(impulse, length, block);

	cr_assert_not_null(convolver);
	for (uint32_t i = 0; i < frames; i += block)
		convolver_process(convolver, in + i, out + i);
	convolver_free(convolver);
}

/* Relative in the maximum norm: the largest difference, as a part of the largest value. Single
 * precision rounds by 6e-8 a step, so 1e-6 leaves no room for a wrong sample. */
static double error_of(const float *impulse, uint32_t length, const float *in, const float *out,
		       uint32_t frames)
{
	double worst = 0, largest = 0;

	for (uint32_t n = 0; n < frames; n++) {
		double expected = direct(impulse, length, in, n);

		worst = fmax(worst, fabs(out[n] - expected));
		largest = fmax(largest, fabs(expected));
	}
	return worst / largest;
}

Test(convolver, like_the_direct_sum)
{
	static const uint32_t blocks[] = {16, 48, 64, 100, 127, 128, 512};
	static float impulse[LENGTH_MAX], in[LENGTH_MAX], out[LENGTH_MAX];

	for (size_t b = 0; b < sizeof blocks / sizeof *blocks; b++) {
		uint32_t block = blocks[b];
		/* Around each multiple of the block, and far from one. */
		uint32_t lengths[] = {1,         2,         block - 1,     block,
				      block + 1, 2 * block, 3 * block - 7, 2 * block + 1};

		for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
			uint32_t length = lengths[l];
			uint32_t frames = 6 * block; /* longer than the impulse: the line wraps */
			double error;

			noise_fill(impulse, length, 7 * length);
			noise_fill(in, frames, 11 * block);
			convolve(impulse, length, block, in, out, frames);
			error = error_of(impulse, length, in, out, frames);
			cr_expect_lt(error, 1e-6, "block %u, impulse of %u: %g", block, length,
				     error);
		}
	}
}

Test(convolver, long_room)
{
	static float impulse[LENGTH_MAX], in[LENGTH_MAX], out[LENGTH_MAX];
	uint32_t length = 3001;

	noise_fill(impulse, length, 5);
	for (uint32_t i = 0; i < length; i++)
		impulse[i] *= expf(-6.9f * (float)i / (float)length);
	noise_fill(in, LENGTH_MAX, 6);
	convolve(impulse, length, 128, in, out, LENGTH_MAX);
	cr_assert_lt(error_of(impulse, length, in, out, LENGTH_MAX), 1e-6);
}

Test(convolver, one_tap_scales)
{
	float impulse[] = {0.5f}, in[640], out[640];

	noise_fill(in, 640, 1);
	convolve(impulse, 1, 64, in, out, 640);
	for (uint32_t i = 0; i < 640; i++)
		cr_assert_float_eq(out[i], 0.5 * in[i], 1e-6);
}

Test(convolver, unit_impulse_changes_nothing)
{
	float impulse[200] = {1}, in[640], out[640];

	noise_fill(in, 640, 2);
	convolve(impulse, 200, 64, in, out, 640);
	for (uint32_t i = 0; i < 640; i++)
		cr_assert_float_eq(out[i], in[i], 1e-6);
}

/* A click in the last frame of a block gives the impulse across the blocks that follow. */
Test(convolver, click_at_a_boundary)
{
	enum { BLOCK = 32, FRAMES = 8 * BLOCK, LENGTH = 3 * BLOCK + 5 };
	float impulse[LENGTH], out[FRAMES];

	noise_fill(impulse, LENGTH, 3);
	for (uint32_t at = BLOCK - 1; at <= BLOCK + 1; at++) {
		float in[FRAMES] = {0};

		in[at] = 1;
		convolve(impulse, LENGTH, BLOCK, in, out, FRAMES);
		for (uint32_t i = 0; i < FRAMES; i++) {
			bool rings = i >= at && i - at < LENGTH;

			cr_assert_float_eq(out[i], rings ? impulse[i - at] : 0, 2e-6,
					   "click at %u, frame %u: %g", at, i, (double)out[i]);
		}
	}
}

Test(convolver, in_place)
{
	float impulse[50], in[640], apart[640];

	noise_fill(impulse, 50, 4);
	noise_fill(in, 640, 5);
	convolve(impulse, 50, 64, in, apart, 640);
	convolve(impulse, 50, 64, in, in, 640);
	cr_assert_arr_eq(in, apart, sizeof in);
}

/* Two of them know nothing of each other, and a new one nothing of what was played before. */
Test(convolver, starts_from_silence)
{
	float impulse[300], in[320], out[320], silence[64] = {0}, rest[64];
	struct convolver *one, *other;

	noise_fill(impulse, 300, 6);
	noise_fill(in, 320, 7);
	one = convolver_new(impulse, 300, 64);
	other = convolver_new(impulse, 300, 64);
	cr_assert(one != NULL && other != NULL);
	for (uint32_t i = 0; i < 320; i += 64)
		convolver_process(one, in + i, out + i);
	convolver_process(other, silence, rest);
	for (uint32_t i = 0; i < 64; i++)
		cr_assert_eq(rest[i], 0);
	convolver_free(one);
	convolver_free(other);
}
