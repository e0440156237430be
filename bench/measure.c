/* SPDX-License-Identifier: MIT */
#include "bench.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <shmbus/clock.h>

static cpu_set_t cpus_allowed;

int bench_cpus_find(struct bench_cpus *out)
{
	int found = 0;

	if (sched_getaffinity(0, sizeof(cpus_allowed), &cpus_allowed) != 0)
		return -errno;
	for (int cpu = 0; cpu < CPU_SETSIZE && found < 2; cpu++) {
		if (!CPU_ISSET(cpu, &cpus_allowed))
			continue;
		if (found++ == 0)
			out->producer = out->consumer = cpu;
		else
			out->consumer = cpu;
	}
	return 0;
}

int bench_cpu_pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set) == 0 ? 0 : -errno;
}

int bench_cpu_unpin(void)
{
	return sched_setaffinity(0, sizeof(cpus_allowed), &cpus_allowed) == 0 ? 0 : -errno;
}

uint64_t bench_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

double bench_ns_per_tick(void)
{
	static double ns_per_tick;
	uint64_t start_ns, start_ticks, ticks;

	if (ns_per_tick > 0)
		return ns_per_tick;
	start_ns = bench_now_ns();
	start_ticks = shmbus_now();
	while (bench_now_ns() - start_ns < 50000000)
		;
	ticks = shmbus_now() - start_ticks;
	ns_per_tick = (double)(bench_now_ns() - start_ns) / (double)ticks;
	return ns_per_tick;
}

/* A difference of clock reads with a little work between, which is another each time. */
static uint64_t tick_difference(uint32_t work)
{
	uint64_t start = shmbus_now();

	for (volatile uint32_t i = 0; i < work % 8; i++)
		;
	return shmbus_now() - start;
}

/* Where the counter moves in steps all differences are multiples of one, but for one tick: reads
 * within a step are told apart by that, and a step may be a fraction off a whole number. */
uint64_t bench_tick_step(void)
{
	static uint64_t step;
	uint64_t smallest = UINT64_MAX;
	uint32_t multiples = 0;

	if (step != 0)
		return step;
	for (uint32_t i = 0; i < 10000; i++) {
		uint64_t ticks = tick_difference(i);

		if (ticks > 2 && ticks < smallest)
			smallest = ticks;
	}
	for (uint32_t i = 0; i < 10000; i++)
		multiples += (tick_difference(i) + 1) % smallest <= 2;
	/* Of a fine counter hardly any would be. */
	step = smallest >= 8 && multiples > 9000 ? smallest : 1;
	return step;
}

uint64_t bench_now_ordered(void)
{
	uint64_t ticks;

	atomic_thread_fence(memory_order_seq_cst);
#if defined(__x86_64__)
	_mm_lfence();
	ticks = shmbus_now();
	_mm_lfence();
#elif defined(__aarch64__)
	__asm__ volatile("dsb sy; isb" : : : "memory");
	ticks = shmbus_now();
	__asm__ volatile("isb" : : : "memory");
#else
	ticks = shmbus_now();
#endif
	return ticks;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double bench_quantile(double *values, size_t count, double q)
{
	double rank = q * (double)(count - 1);
	size_t low = (size_t)rank;

	qsort(values, count, sizeof(*values), compare);
	if (low + 1 >= count)
		return values[count - 1];
	return values[low] + (rank - (double)low) * (values[low + 1] - values[low]);
}

void *bench_shared_alloc(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE,
			    MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

void bench_shared_free(void *memory, size_t size)
{
	if (memory)
		munmap(memory, size);
}

void bench_bus_name_of(pid_t process, char *out, size_t size)
{
	snprintf(out, size, "bench-%d", (int)process);
}

void bench_bus_name(char *out, size_t size)
{
	bench_bus_name_of(getpid(), out, size);
}

struct gate {
	_Atomic(uint32_t) ready;
};

/* Both sides wait for each other; yields, for machines with one processor. */
static void gate_pass(struct gate *gate)
{
	atomic_fetch_add(&gate->ready, 1);
	while (atomic_load(&gate->ready) < 2)
		sched_yield();
}

int bench_pair_run(const struct bench_cpus *cpus, void (*produce)(void *context),
		   void (*consume)(void *context), void *context)
{
	struct gate *gate = bench_shared_alloc(sizeof(*gate));
	int status, error = 0;
	pid_t child;

	if (!gate)
		return -ENOMEM;
	child = fork();
	if (child < 0) {
		error = -errno;
		goto free_gate;
	}
	if (child == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		bench_cpu_pin(cpus->consumer);
		gate_pass(gate);
		consume(context);
		_exit(0);
	}
	bench_cpu_pin(cpus->producer);
	gate_pass(gate);
	produce(context);
	if (waitpid(child, &status, 0) != child || !WIFEXITED(status) || WEXITSTATUS(status) != 0)
		error = -ECHILD;
	bench_cpu_unpin();
free_gate:
	bench_shared_free(gate, sizeof(*gate));
	return error;
}
