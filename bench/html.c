/* SPDX-License-Identifier: MIT */
#include "html.h"

#include <errno.h>
#include <string.h>

#include "bench.h"
#include "plot.h"

static const char *text_of(const json_t *object, const char *key)
{
	const char *text = json_string_value(json_object_get(object, key));

	return text ? text : "";
}

static double real_of(const json_t *object, const char *key)
{
	return json_number_value(json_object_get(object, key));
}

static void cell(FILE *out, const char *class, const char *text)
{
	fprintf(out, "<td class=\"%s\">", class);
	html_text(out, text);
	fputs("</td>", out);
}

static void number_cell(FILE *out, const json_t *figure, const char *key)
{
	if (json_is_number(json_object_get(figure, key)))
		fprintf(out, "<td class=\"n\">%.4g</td>", real_of(figure, key));
	else
		fputs("<td class=\"n dim\">\xe2\x80\x93</td>", out);
}

/* ---- the machine ---- */

static void machine_write(FILE *out, const json_t *report)
{
	const json_t *machine = json_object_get(report, "machine"), *line;
	size_t i;

	fputs("<p>", out);
	html_text(out, text_of(machine, "processor"));
	fprintf(out, ", %.0f processors, ", real_of(machine, "processors"));
	html_text(out, text_of(machine, "architecture"));
	fputs(", Linux ", out);
	html_text(out, text_of(machine, "kernel"));
	if (text_of(machine, "hypervisor")[0])
		fputs(", in a virtual machine", out);
	fprintf(out,
		". Producer on processor %.0f (its core: %s), consumer on %.0f. Clock: %s, in "
		"steps "
		"of %.3g ns; the kernel's: %s. Load before: %.2f. Compiler: ",
		real_of(machine, "producer_cpu"), text_of(machine, "smt_siblings"),
		real_of(machine, "consumer_cpu"), text_of(machine, "clock"),
		real_of(machine, "clock_step_ns"), text_of(machine, "kernel_clock"),
		real_of(machine, "load"));
	html_text(out, text_of(machine, "compiler"));
	fprintf(out, ".%s</p>\n<ul class=\"dim\">\n",
		json_is_true(json_object_get(report, "full")) ? " Measured with --full." : "");
	json_array_foreach(json_object_get(machine, "method"), i, line)
	{
		fputs("<li>", out);
		html_text(out, json_string_value(line));
		fputs("</li>\n", out);
	}
	fputs("</ul>\n", out);
}

/* ---- tables ---- */

static void goal_write(FILE *out, const json_t *figure)
{
	const struct bench_goal *goal = bench_goal_find(text_of(figure, "id"));
	const json_t *met = json_object_get(figure, "met");
	const char *sign = goal->at_least ? "\xe2\x89\xa5" : "\xe2\x89\xa4";

	fputs("<tr>", out);
	cell(out, "", goal->what);
	number_cell(out, figure, "value");
	cell(out, "dim", text_of(figure, "unit"));
	fprintf(out, "<td class=\"n\">%s %g</td><td class=\"n\">%s %g</td>", sign, goal->gate, sign,
		goal->stretch);
	if (json_is_true(met))
		cell(out, "good",
		     bench_goal_met(goal, goal->stretch, real_of(figure, "value"))
			     ? "met, and its stretch"
			     : "met");
	else if (json_is_false(met))
		cell(out, "bad", "missed");
	else
		cell(out, "dim", text_of(figure, "reason"));
	fputs("</tr>\n", out);
}

static void goals_write(FILE *out, const json_t *figures)
{
	const json_t *figure;
	size_t i;

	fputs("<h2>Goals</h2>\n<table><tr><th>what</th><th class=\"n\">median</th><th></th>"
	      "<th class=\"n\">gate</th><th class=\"n\">stretch</th><th></th></tr>\n",
	      out);
	json_array_foreach(figures, i, figure)
	{
		if (json_object_get(figure, "gate"))
			goal_write(out, figure);
	}
	fputs("</table>\n", out);
}

static void figures_write(FILE *out, const json_t *figures)
{
	const json_t *figure;
	size_t i;

	fputs("<h2>All figures</h2>\n<table><tr><th>id</th><th>what</th><th class=\"n\">lower "
	      "quartile</th><th class=\"n\">median</th><th class=\"n\">upper quartile</th>"
	      "<th></th></tr>\n",
	      out);
	json_array_foreach(figures, i, figure)
	{
		const char *reason = text_of(figure, "reason");

		fputs("<tr>", out);
		cell(out, "dim", text_of(figure, "id"));
		cell(out, "", text_of(figure, "what"));
		number_cell(out, figure, "lower");
		number_cell(out, figure, "value");
		number_cell(out, figure, "upper");
		cell(out, "dim", reason[0] ? reason : text_of(figure, "unit"));
		fputs("</tr>\n", out);
	}
	fputs("</table>\n", out);
}

static void notes_write(FILE *out, const json_t *notes)
{
	const json_t *note;
	size_t i;

	fputs("<h2>Notes</h2>\n<ul class=\"dim\">\n", out);
	json_array_foreach(notes, i, note)
	{
		fputs("<li>", out);
		html_text(out, text_of(note, "part"));
		fputs(": ", out);
		html_text(out, text_of(note, "text"));
		fputs("</li>\n", out);
	}
	fputs("</ul>\n", out);
}

static void page_write(FILE *out, const json_t *report)
{
	const json_t *figures = json_object_get(report, "figures");
	const json_t *curves = json_object_get(report, "curves");

	page_open(out, "shmbus, measured", "");
	fputs("<h1>shmbus ", out);
	html_text(out, text_of(report, "version"));
	fputs(", measured ", out);
	html_text(out, text_of(report, "time"));
	fputs("</h1>\n", out);
	machine_write(out, report);
	goals_write(out, figures);
	plot_lines(out, curves, "latency", "Latency of single calls", true);
	plot_bars(out, figures, "record.", "ns", "A call, its ring in the cache");
	plot_bars(out, figures, "peer.", "ns", "An event, beside others");
	plot_bars(out, figures, "", "M/s", "Throughput");
	plot_lines(out, curves, "scale", "The agent's time for a session and second", false);
	figures_write(out, figures);
	notes_write(out, json_object_get(report, "notes"));
	page_close(out);
}

int html_write(const json_t *report, const char *path)
{
	FILE *out = fopen(path, "we");
	int failed;

	if (!out)
		return -1;
	page_write(out, report);
	failed = ferror(out);
	return fclose(out) != 0 || failed ? -1 : 0;
}
