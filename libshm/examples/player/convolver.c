/* SPDX-License-Identifier: MIT */
#include <stdlib.h>
#include <string.h>

#include <fftw3.h>

#include "convolver.h"

struct convolver {
	uint32_t block;
	uint32_t bins; /* block + 1: of a real transform of 2 * block samples */
	uint32_t partitions;
	uint32_t newest;         /* which spectrum of the line holds the newest block */
	float *time;             /* the last two blocks, then the result of the inverse transform */
	float *history;          /* the block before */
	fftwf_complex *response; /* partitions * bins */
	fftwf_complex *line;     /* spectra of the last blocks: partitions * bins */
	fftwf_complex *sum;
	fftwf_plan forward;
	fftwf_plan inverse;
};

void convolver_free(struct convolver *convolver)
{
	if (convolver == NULL)
		return;
	if (convolver->forward != NULL)
		fftwf_destroy_plan(convolver->forward);
	if (convolver->inverse != NULL)
		fftwf_destroy_plan(convolver->inverse);
	fftwf_free(convolver->time);
	fftwf_free(convolver->history);
	fftwf_free(convolver->response);
	fftwf_free(convolver->line);
	fftwf_free(convolver->sum);
	free(convolver);
}

/* The spectra of the impulse's parts, each padded to twice its length. */
static void response_make(struct convolver *convolver, const float *impulse, uint32_t length)
{
	uint32_t block = convolver->block;
	float scale = 1.0f / (float)(2 * block); /* FFTW's transforms are not normalised */

	for (uint32_t p = 0; p < convolver->partitions; p++) {
		memset(convolver->time, 0, 2 * block * sizeof(float));
		for (uint32_t i = 0; i < block && p * block + i < length; i++)
			convolver->time[i] = impulse[p * block + i] * scale;
		fftwf_execute(convolver->forward);
		memcpy(convolver->response + (size_t)p * convolver->bins, convolver->sum,
		       convolver->bins * sizeof(fftwf_complex));
	}
}

struct convolver *convolver_new(const float *impulse, uint32_t length, uint32_t block)
{
	struct convolver *c = calloc(1, sizeof *c);
	size_t spectra;

	if (c == NULL)
		return NULL;
	c->block = block;
	c->bins = block + 1;
	c->partitions = (length + block - 1) / block;
	spectra = (size_t)c->partitions * c->bins;
	c->time = fftwf_alloc_real(2 * (size_t)block);
	c->history = fftwf_alloc_real(block);
	c->response = fftwf_alloc_complex(spectra);
	c->line = fftwf_alloc_complex(spectra);
	c->sum = fftwf_alloc_complex(c->bins);
	if (!c->time || !c->history || !c->response || !c->line || !c->sum)
		goto fail;
	c->forward = fftwf_plan_dft_r2c_1d((int)(2 * block), c->time, c->sum, FFTW_ESTIMATE);
	c->inverse = fftwf_plan_dft_c2r_1d((int)(2 * block), c->sum, c->time, FFTW_ESTIMATE);
	if (c->forward == NULL || c->inverse == NULL)
		goto fail;
	response_make(c, impulse, length);
	memset(c->line, 0, spectra * sizeof(fftwf_complex));
	memset(c->history, 0, block * sizeof(float));
	return c;

fail:
	convolver_free(c);
	return NULL;
}

static void multiply_add(fftwf_complex *sum, const fftwf_complex *a, const fftwf_complex *b,
			 uint32_t bins)
{
	for (uint32_t i = 0; i < bins; i++) {
		sum[i][0] += a[i][0] * b[i][0] - a[i][1] * b[i][1];
		sum[i][1] += a[i][0] * b[i][1] + a[i][1] * b[i][0];
	}
}

void convolver_process(struct convolver *c, const float *in, float *out)
{
	size_t bytes = c->block * sizeof(float);

	c->newest = (c->newest + c->partitions - 1) % c->partitions;
	memcpy(c->time, c->history, bytes);
	memcpy(c->time + c->block, in, bytes);
	memcpy(c->history, in, bytes);
	fftwf_execute(c->forward);
	memcpy(c->line + (size_t)c->newest * c->bins, c->sum, c->bins * sizeof(fftwf_complex));
	memset(c->sum, 0, c->bins * sizeof(fftwf_complex));
	for (uint32_t p = 0; p < c->partitions; p++)
		multiply_add(c->sum, c->response + (size_t)p * c->bins,
			     c->line + (size_t)((c->newest + p) % c->partitions) * c->bins,
			     c->bins);
	fftwf_execute(c->inverse);
	/* The first half holds what wrapped around. */
	memcpy(out, c->time + c->block, bytes);
}
