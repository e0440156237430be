/* SPDX-License-Identifier: MIT */
#include "machine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <shmbus/clock.h>
#include <shmbus/producer.h>

const char *const machine_method[] = {
	"Two sides, each pinned to a processor of its own: the producer's and the consumer's.",
	"A warm-up that does not count, then rounds in which what is compared takes turns.",
	"A figure is the median of its rounds, between quartiles; ratios are taken in each round.",
	"Latencies are of single calls, net of the same measurement with nothing in it.",
	"Samples that a full ring refused are counted and shown; losing one otherwise is an error.",
	"What cannot be measured here is listed with its reason.",
	NULL,
};

/* The first line of a file, "" where there is none. */
static void line_read(const char *path, char *out, size_t size)
{
	FILE *file = fopen(path, "re");

	out[0] = '\0';
	if (!file)
		return;
	if (!fgets(out, (int)size, file))
		out[0] = '\0';
	out[strcspn(out, "\n")] = '\0';
	fclose(file);
}

/* A value of /proc/cpuinfo, "" where it has none. */
static void cpuinfo_read(const char *key, char *out, size_t size)
{
	FILE *file = fopen("/proc/cpuinfo", "re");
	char line[4096], *colon;

	out[0] = '\0';
	if (!file)
		return;
	while (out[0] == '\0' && fgets(line, sizeof(line), file)) {
		colon = strchr(line, ':');
		if (strncmp(line, key, strlen(key)) != 0 || !colon)
			continue;
		snprintf(out, size, "%.*s", (int)size - 1, colon + 2);
		out[strcspn(out, "\n")] = '\0';
	}
	fclose(file);
}

static void hypervisor_read(char *out, size_t size)
{
	char flags[4096];

	line_read("/sys/hypervisor/type", out, size);
	if (out[0] != '\0')
		return;
	cpuinfo_read("flags", flags, sizeof(flags));
	if (strstr(flags, " hypervisor"))
		snprintf(out, size, "yes");
}

int machine_read(struct machine *machine)
{
	static const char *const clocks[] = {"", "monotonic", "tsc", "cntvct", "injected"};
	struct utsname system;
	char path[96];
	int error = bench_cpus_find(&machine->cpus);

	if (error)
		return error;
	uname(&system);
	snprintf(machine->architecture, sizeof(machine->architecture), "%s", system.machine);
	snprintf(machine->kernel, sizeof(machine->kernel), "%s", system.release);
	cpuinfo_read("model name", machine->processor, sizeof(machine->processor));
	line_read("/sys/devices/system/clocksource/clocksource0/current_clocksource",
		  machine->clock_source, sizeof(machine->clock_source));
	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list",
		 machine->cpus.producer);
	line_read(path, machine->siblings, sizeof(machine->siblings));
	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/cpufreq/scaling_governor",
		 machine->cpus.producer);
	line_read(path, machine->governor, sizeof(machine->governor));
	hypervisor_read(machine->hypervisor, sizeof(machine->hypervisor));
	machine->clock = clocks[shmbus_clock_source()];
	machine->ns_per_tick = bench_ns_per_tick();
	machine->step_ns = (double)bench_tick_step() * machine->ns_per_tick;
	machine->processors = sysconf(_SC_NPROCESSORS_ONLN);
	if (getloadavg(&machine->load, 1) != 1)
		machine->load = 0;
	return 0;
}

void machine_print(const struct machine *machine)
{
	printf("shmbus %s on %s, %s, Linux %s%s\n", shmbus_version(),
	       machine->processor[0] ? machine->processor : "a processor without a name",
	       machine->architecture, machine->kernel,
	       machine->hypervisor[0] ? ", in a virtual machine" : "");
	printf("%ld processors, producer on %d (its core: %s), consumer on %d; load before: %.2f\n",
	       machine->processors, machine->cpus.producer,
	       machine->siblings[0] ? machine->siblings : "?", machine->cpus.consumer,
	       machine->load);
	printf("clock: %s (the kernel's: %s), %.4g ns a tick, in steps of %.3g ns\n",
	       machine->clock, machine->clock_source[0] ? machine->clock_source : "?",
	       machine->ns_per_tick, machine->step_ns);
	if (machine->cpus.producer == machine->cpus.consumer)
		printf("one processor only: what needs two cannot be measured\n");
	for (size_t i = 0; machine_method[i]; i++)
		printf("  %s\n", machine_method[i]);
}

json_t *machine_json(const struct machine *machine)
{
	json_t *method = json_array();

	for (size_t i = 0; machine_method[i]; i++)
		json_array_append_new(method, json_string(machine_method[i]));
	return json_pack(
		"{s:s, s:s, s:s, s:s, s:I, s:i, s:i, s:s, s:s, s:s, s:s, s:s, s:f, s:f, s:f, s:o}",
		"processor", machine->processor, "architecture", machine->architecture, "kernel",
		machine->kernel, "compiler", __VERSION__, "processors",
		(json_int_t)machine->processors, "producer_cpu", machine->cpus.producer,
		"consumer_cpu", machine->cpus.consumer, "smt_siblings", machine->siblings,
		"governor", machine->governor, "hypervisor", machine->hypervisor, "clock",
		machine->clock, "kernel_clock", machine->clock_source, "ns_per_tick",
		machine->ns_per_tick, "clock_step_ns", machine->step_ns, "load", machine->load,
		"method", method);
}
