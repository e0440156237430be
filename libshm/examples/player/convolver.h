/* SPDX-License-Identifier: MIT */
/*
 * convolver.h - a long impulse response, convolved block by block: uniformly partitioned
 * overlap-save (Stockham, "High-speed convolution and correlation", 1966; the partitions as a
 * delay line in the frequency domain). One owner thread; processing allocates nothing.
 */
#ifndef PLAYER_CONVOLVER_H
#define PLAYER_CONVOLVER_H

#include <stdint.h>

struct convolver;

/* For blocks of `block` samples. NULL: no memory. */
struct convolver *convolver_new(const float *impulse, uint32_t length, uint32_t block);
void convolver_free(struct convolver *convolver);

/* Convolves the next block; in and out hold `block` samples and may be the same. */
void convolver_process(struct convolver *convolver, const float *in, float *out);

#endif /* PLAYER_CONVOLVER_H */
