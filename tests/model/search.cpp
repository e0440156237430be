/* SPDX-License-Identifier: MIT */
/* search.cpp - runs the cases of a model (model.h) in Relacy, then each of its mutants. */
#include <fstream>
#include <iostream>
#include <streambuf>

#include <relacy/relacy.hpp>

#include "model.h"
#include "tap.h"

#define HERE(site) rl::debug_info((site).function, "", static_cast<unsigned>((site).line))

namespace
{

const unsigned words_max = 1024;
const size_t edges_max = 64;
/* A weakened edge is found within a few thousand executions; one that is not found in so many is
 * one that the cases do not need. */
const uint64_t mutant_executions = 300000;

enum kind : unsigned char { none, atomic, ordered };

/* Relacy's own object for a word of the shared memory; alive during one execution. */
struct word {
	kind is;
	size_t place;
	size_t size; /* of an atomic */
	alignas(rl::atomic<uint64_t>) unsigned char as_atomic[sizeof(rl::atomic<uint64_t>)];
	alignas(rl::var<uint64_t>) unsigned char as_ordered[sizeof(rl::var<uint64_t>)];
};

struct word words[words_max];
unsigned word_count;
/* The number of a word plus 1, by its place in the shared memory. */
uint16_t word_at[MODEL_MEMORY / 4];

const struct model_case *running;
const struct model_edge *weakened;
uint64_t edge_uses[edges_max];
int edge_lines[edges_max]; /* where it was found to stand */
const char *unlisted;      /* a function with an edge that is not listed */

size_t place_of(const volatile void *address)
{
	size_t place = static_cast<const volatile uint8_t *>(address) - model_memory;

	if (place >= MODEL_MEMORY || place % 4 != 0)
		tap_bail("the address of a word is not in the shared memory");
	return place / 4;
}

struct word &word_find(const volatile void *address, struct model_site site)
{
	unsigned number = word_at[place_of(address)];

	if (number == 0)
		tap_bail("%s: a word that the case has not declared", site.function);
	return words[number - 1];
}

rl::atomic<uint64_t> &as_atomic(struct word &word)
{
	return *reinterpret_cast<rl::atomic<uint64_t> *>(word.as_atomic);
}

rl::var<uint64_t> &as_ordered(struct word &word)
{
	return *reinterpret_cast<rl::var<uint64_t> *>(word.as_ordered);
}

struct word &word_declare(const volatile void *address, kind is, size_t size)
{
	if (word_count == words_max)
		tap_bail("too many words");
	struct word &word = words[word_count++];
	word.is = is;
	word.place = place_of(address);
	word.size = size;
	word_at[word.place] = static_cast<uint16_t>(word_count);
	return word;
}

void words_forget()
{
	for (unsigned i = 0; i < word_count; i++)
		word_at[words[i].place] = 0;
	word_count = 0;
}

/* The edge that stands here; of several of one function the first one is met first. */
const struct model_edge *edge_at(enum model_order order, struct model_site site)
{
	for (size_t i = 0; i < model_edge_count; i++) {
		const struct model_edge &edge = model_edges[i];

		if (edge.order != order || strcmp(edge.function, site.function) != 0)
			continue;
		if (edge_lines[i] == 0)
			edge_lines[i] = site.line;
		if (edge_lines[i] != site.line)
			continue;
		edge_uses[i]++;
		return &edge;
	}
	return nullptr;
}

/* The order that an operation has in this run. */
rl::memory_order order_of(enum model_order order, struct model_site site)
{
	if (order == MODEL_RELAXED)
		return rl::mo_relaxed;
	const struct model_edge *edge = edge_at(order, site);
	if (edge == nullptr)
		unlisted = site.function;
	if (edge == nullptr || edge == weakened)
		return rl::mo_relaxed;
	return order == MODEL_ACQUIRE ? rl::mo_acquire : rl::mo_release;
}

struct suite : rl::test_suite<suite, MODEL_THREADS> {
	void before()
	{
		words_forget();
		memset(model_memory, 0, sizeof model_memory);
		running->before();
	}

	void thread(unsigned number)
	{
		running->threads[number]();
	}

	void after()
	{
		running->after();
		for (unsigned i = 0; i < word_count; i++) {
			if (words[i].is == atomic)
				as_atomic(words[i]).~atomic();
			else
				as_ordered(words[i]).~var();
		}
	}
};

/* Runs one case; `said` is what Relacy has to tell. Returns whether nothing was wrong. */
bool run(const struct model_case &which, uint64_t executions, std::ostream &said)
{
	std::ofstream nowhere;
	rl::test_params params;

	params.iteration_count = static_cast<rl::iteration_t>(executions);
	params.output_stream = &said;
	params.progress_stream = &nowhere;
	params.search_type = rl::sched_random;
	running = &which;
	return rl::simulate<suite>(params) && params.stop_iteration >= executions;
}

/* What Relacy has to tell, up to so much. Its operators new and delete are not those of the
 * library, so a string's stream cannot grow while it tells. */
struct told : std::streambuf {
	char bytes[1 << 16];

	told()
	{
		setp(bytes, bytes + sizeof bytes);
	}

	void print()
	{
		const char *line = bytes;

		for (const char *at = bytes; at < pptr(); at++) {
			if (*at != '\n')
				continue;
			tap_diag("%.*s", static_cast<int>(at - line), line);
			line = at + 1;
		}
	}
};

void run_cases()
{
	uint64_t each = (model_executions + model_case_count - 1) / model_case_count;

	for (size_t i = 0; i < model_case_count; i++) {
		struct told told;
		std::ostream said(&told);

		if (!tap_ok(run(model_cases[i], each, said), "%s: %llu executions",
			    model_cases[i].name, static_cast<unsigned long long>(each)))
			told.print();
	}
}

void run_mutants()
{
	for (size_t i = 0; i < model_edge_count; i++) {
		const char *found = nullptr;

		weakened = &model_edges[i];
		for (size_t c = 0; c < model_case_count && found == nullptr; c++) {
			std::ofstream nowhere;

			if (!run(model_cases[c], mutant_executions, nowhere))
				found = model_cases[c].name;
		}
		tap_ok(found != nullptr, "%s, %s in %s, weakened: found by \"%s\"", weakened->name,
		       weakened->order == MODEL_ACQUIRE ? "acquire" : "release", weakened->function,
		       found != nullptr ? found : "no case");
	}
	weakened = nullptr;
}

} // namespace

uint8_t model_memory[MODEL_MEMORY] __attribute__((aligned(64)));

void model_atomic_at(const volatile void *address, size_t size, uint64_t value)
{
	struct word &word = word_declare(address, atomic, size);

	new (word.as_atomic) rl::atomic<uint64_t>(value);
}

void model_ordered(const volatile void *address)
{
	struct word &word = word_declare(address, ordered, 0);

	new (word.as_ordered) rl::var<uint64_t>(0);
}

void model_written(const volatile void *object)
{
	const struct model_site site = {"an object", 0};

	as_ordered(word_find(object, site))(HERE(site)).store(0);
}

void model_copy(void *out, const void *from, size_t size)
{
	const struct model_site site = {"a copy", 0};
	size_t first = place_of(from), end = first + size / 4;

	memcpy(out, from, size);
	for (size_t place = first; place < end; place++) {
		if (word_at[place] == 0)
			continue;
		struct word &word = words[word_at[place] - 1];
		if (word.is == ordered) {
			static_cast<void>(as_ordered(word)(HERE(site)).load());
			continue;
		}
		uint64_t value = as_atomic(word).load(rl::mo_relaxed, HERE(site));
		memcpy(static_cast<uint8_t *>(out) + (place - first) * 4, &value, word.size);
	}
}

uint64_t model_load(const volatile void *address, enum model_order order, struct model_site site)
{
	struct word &word = word_find(address, site);

	if (word.is == ordered)
		return as_ordered(word)(HERE(site)).load();
	return as_atomic(word).load(order_of(order, site), HERE(site));
}

void model_store(volatile void *address, uint64_t value, enum model_order order,
		 struct model_site site)
{
	struct word &word = word_find(address, site);

	if (word.is == ordered)
		as_ordered(word)(HERE(site)).store(value);
	else
		as_atomic(word).store(value, order_of(order, site), HERE(site));
}

void model_fence(enum model_order order, struct model_site site)
{
	switch (order_of(order, site)) {
	case rl::mo_acquire:
		rl::atomic_thread_fence(rl::mo_acquire, HERE(site));
		break;
	case rl::mo_release:
		rl::atomic_thread_fence(rl::mo_release, HERE(site));
		break;
	default:
		break;
	}
}

void model_check(bool condition, const char *text)
{
	const struct model_site site = {text, 0};

	if (!condition)
		rl::ctx().fail_test(text, rl::test_result_user_assert_failed, HERE(site));
}

int main()
{
	if (model_edge_count > edges_max)
		tap_bail("too many edges");
	run_cases();
	for (size_t i = 0; i < model_edge_count; i++)
		tap_ok(edge_uses[i] > 0, "%s is used", model_edges[i].name);
	tap_ok(unlisted == nullptr, "every acquire and release is a listed edge%s%s",
	       unlisted != nullptr ? ": not the one in " : "", unlisted != nullptr ? unlisted : "");
	run_mutants();
	return tap_done();
}
