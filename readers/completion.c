/* SPDX-License-Identifier: MIT */
/* completion.c - shmbus completion: the shells' scripts, and what they ask for. */
#include <ctype.h>
#include <glob.h>
#include <string.h>

#include "completion.h"
#include "find.h"

static const char help[] =
	"Usage: shmbus completion bash|zsh\n"
	"       shmbus completion words [--] WORD...\n\n"
	"Prints the script that completes commands, options, buses, sessions and metrics\n"
	"in a shell. Packages install it; without one:\n\n"
	"  source <(shmbus completion bash)     in ~/.bashrc\n"
	"  source <(shmbus completion zsh)      in ~/.zshrc, after compinit\n\n"
	"'words' is what the scripts call: it prints what may stand in place of the last\n"
	"WORD, one a line.\n";

static const struct option own_options[] = {{NULL, 0, NULL, 0}};

/* ---- what the help says ---- */

/* Where "--name" stands in a help, and no longer name that begins so; NULL: nowhere. */
static const char *mention(const char *text, const char *name)
{
	size_t length = strlen(name);

	for (const char *at = strstr(text, "--"); at != NULL; at = strstr(at + 2, "--"))
		if (strncmp(at + 2, name, length) == 0 && at[2 + length] != '-' &&
		    !isalnum((unsigned char)at[2 + length]))
			return at;
	return NULL;
}

static enum value_kind kind_of_word(const char *word, size_t length)
{
	static const struct {
		const char *word;
		enum value_kind kind;
	} kinds[] = {{"SESSION", VALUE_SESSION}, {"OTHER", VALUE_SESSION_OR_FILE},
		     {"METRIC", VALUE_METRIC},   {"TIMER", VALUE_TIMER},
		     {"FILE", VALUE_FILE},       {"PATH", VALUE_FILE},
		     {"DIRECTORY", VALUE_FILE},  {"STATUS", VALUE_STATUS},
		     {"SHELL", VALUE_SHELL}};

	for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++)
		if (strlen(kinds[i].word) == length && memcmp(kinds[i].word, word, length) == 0)
			return kinds[i].kind;
	return VALUE_OTHER;
}

enum value_kind option_value_kind(const struct command *command, const struct option *option)
{
	const char *at = mention(command->help, option->name);

	if (option->has_arg == no_argument)
		return VALUE_NONE;
	if (strcmp(option->name, "bus") == 0)
		return VALUE_BUS;
	if (at == NULL)
		return VALUE_OTHER;
	at += 3 + strlen(option->name);
	return kind_of_word(at, strspn(at, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"));
}

const char *option_summary(const struct command *command, const char *name, char *out, size_t size)
{
	const char *options = strstr(command->help, "\n\n"), *at = NULL, *end;

	out[0] = '\0';
	if (strcmp(name, "bus") == 0)
		return strncpy(out, "the bus to read", size - 1), out;
	if (strcmp(name, "help") == 0)
		return strncpy(out, "what the command takes", size - 1), out;
	/* Its own line begins with it, or with its letter. */
	for (; options != NULL && (at = mention(options, name)) != NULL; options = at + 2) {
		const char *line = at;

		while (line[-1] != '\n')
			line--;
		line += strspn(line, " ");
		if (line == at || (line[0] == '-' && at - line == 4))
			break;
	}
	if (options == NULL || at == NULL)
		return out;
	end = strchr(at, '\n');
	at = strstr(at, "  ");
	if (at == NULL || end == NULL || at > end)
		return out;
	at += strspn(at, " ");
	if ((size_t)(end - at) >= size)
		end = at + size - 1;
	memcpy(out, at, (size_t)(end - at));
	out[end - at] = '\0';
	return out;
}

/* ---- candidates ---- */

struct completing {
	FILE *out;
	const struct command *command;
	const char *word, *prefix; /* what is completed; what stands before it in the same word */
	const char *bus, *session; /* that were given */
	bool totals, ended;        /* --totals; -- */
	int operands;
};

static void offer(const struct completing *c, const char *text, const char *what)
{
	if (text[0] != '\0' && strncmp(text, c->word, strlen(c->word)) == 0)
		fprintf(c->out, "%s%s%s%s\n", c->prefix, text, what[0] != '\0' ? "\t" : "", what);
}

static void offer_buses(const struct completing *c)
{
	glob_t found;

	if (glob("/dev/shm/shmbus.*.snapshot", GLOB_NOSORT, NULL, &found) != 0)
		return;
	for (size_t i = 0; i < found.gl_pathc; i++) {
		char *bus = strchr(found.gl_pathv[i], '.') + 1, *end = strchr(bus, '.');

		*end = '\0';
		if (strcmp(end + 1, "snapshot") == 0)
			offer(c, bus, "");
	}
	globfree(&found);
}

/* Whether one of the first `count` sessions has that id. */
static bool id_before(const msgpack_object *sessions, size_t count, const char *id)
{
	char other[80];

	for (size_t i = 0; i < count; i++)
		if (strcmp(member_text(&sessions[i], "id", other, sizeof other), id) == 0)
			return true;
	return false;
}

static void offer_sessions(const struct completing *c, const struct document *document)
{
	const msgpack_object *sessions = NULL;
	size_t count = member_array(&document->root, "sessions", &sessions);
	char id[80], service[80], state[16], what[112];

	for (size_t i = 0; i < count; i++) {
		member_text(&sessions[i], "id", id, sizeof id);
		if (id_before(sessions, i, id))
			continue;
		snprintf(what, sizeof what, "%s, %s",
			 member_text(&sessions[i], "service", service, sizeof service),
			 member_text(&sessions[i], "state", state, sizeof state));
		offer(c, id, what);
	}
}

static void offer_metrics(const struct completing *c, const struct document *document, bool timers)
{
	bool totals = c->totals || c->session == NULL || strcmp(c->session, "totals") == 0;
	const msgpack_object *holder =
		totals ? member(&document->root, "totals") : session_or_say(document, c->session);
	const msgpack_object *metrics = NULL;
	size_t count = member_array(holder, "metrics", &metrics);
	char name[80], text[160];

	for (size_t i = 0; i < count; i++) {
		if (timers && !metric_is_timer(&metrics[i]))
			continue;
		member_text(&metrics[i], "help", text, sizeof text);
		offer(c, member_text(&metrics[i], "name", name, sizeof name), text);
	}
}

static void offer_document(const struct completing *c, enum value_kind kind)
{
	struct shmbus_snapshot_reader *reader;
	struct document document;

	if (shmbus_snapshot_open(c->bus, &reader) != 0)
		return;
	if (document_read(&document, reader) == 0) {
		if (kind == VALUE_METRIC || kind == VALUE_TIMER)
			offer_metrics(c, &document, kind == VALUE_TIMER);
		else
			offer_sessions(c, &document);
		document_free(&document);
	}
	shmbus_snapshot_close(reader);
}

static void offer_each(const struct completing *c, const char *const *texts)
{
	for (; *texts != NULL; texts++)
		offer(c, *texts, "");
}

static void offer_values(const struct completing *c, enum value_kind kind)
{
	static const char *const statuses[] = {"ok", "warning", "critical", "unknown", NULL};
	static const char *const shells[] = {"bash", "zsh", NULL};

	switch (kind) {
	case VALUE_BUS:
		offer_buses(c);
		break;
	case VALUE_SESSION:
	case VALUE_METRIC:
	case VALUE_TIMER:
		offer_document(c, kind);
		break;
	case VALUE_SESSION_OR_FILE:
		offer_document(c, kind);
		fputs("\tfiles\n", c->out);
		break;
	case VALUE_FILE:
		fputs("\tfiles\n", c->out);
		break;
	case VALUE_STATUS:
		offer_each(c, statuses);
		break;
	case VALUE_SHELL:
		offer_each(c, shells);
		break;
	default:
		break;
	}
}

/* ---- options ---- */

static void offer_option(const struct option *option, int letter, void *data)
{
	const struct completing *c = data;
	char text[64], what[96];

	(void)letter;
	snprintf(text, sizeof text, "--%s", option->name);
	offer(c, text, option_summary(c->command, option->name, what, sizeof what));
}

struct finding {
	const char *word;
	size_t length;
	struct option option; /* name NULL: none */
};

/* "--name" is one option, or "-abc" ends with the letter of it. */
static void find_option(const struct option *option, int letter, void *data)
{
	struct finding *finding = data;
	const char *word = finding->word;
	size_t length = finding->length;

	if (strncmp(word, "--", 2) == 0) {
		if (strlen(option->name) == length - 2 &&
		    memcmp(option->name, word + 2, length - 2) == 0)
			finding->option = *option;
	} else if (letter != 0 && word[0] == '-' && length >= 2 && word[length - 1] == letter) {
		finding->option = *option;
	}
}

static struct option option_of(const struct command *command, const char *word, size_t length)
{
	struct finding finding = {.word = word, .length = length};

	options_each(command, find_option, &finding);
	return finding.option;
}

static void take_value(struct completing *c, const struct option *option, const char *value)
{
	if (strcmp(option->name, "bus") == 0)
		c->bus = value;
}

/* A word before the one that is completed; the one that follows it is `next`. Returns whether that
 * is its value. */
static bool pass(struct completing *c, const char *word, const char *next)
{
	size_t length = strcspn(word, "=");
	struct option option;

	if (c->ended || word[0] != '-' || word[1] == '\0') {
		if (c->operands++ == 0)
			c->session = word;
		return false;
	}
	if (strcmp(word, "--") == 0) {
		c->ended = true;
		return false;
	}
	option = option_of(c->command, word, length);
	if (option.name == NULL)
		return false;
	if (strcmp(option.name, "totals") == 0)
		c->totals = true;
	if (option.has_arg == no_argument)
		return false;
	take_value(c, &option, word[length] == '=' ? word + length + 1 : next);
	return word[length] != '=';
}

static void offer_operand(const struct completing *c)
{
	const char *word = c->command->operand;
	int number = c->operands + c->totals; /* which stands in a session's place */

	for (; word != NULL && *word != '\0'; number--) {
		size_t length = strcspn(word, " ");
		bool may = word[0] == '[';

		if (number == 0) {
			offer_values(c, kind_of_word(word + may, strcspn(word + may, " ].")));
			return;
		}
		word += length + strspn(word + length, " ");
	}
}

static void complete_command(struct completing *c, int count, char **words)
{
	char *word = words[count - 1], *equals = strchr(word, '=');
	struct option option = {0};
	char prefix[80];
	bool value = false;

	for (int i = 0; i + 1 < count; i++)
		if (value)
			value = false;
		else if ((value = pass(c, words[i], words[i + 1])))
			option = option_of(c->command, words[i], strlen(words[i]));
	c->word = word;
	if (!value && !c->ended && strncmp(word, "--", 2) == 0 && equals != NULL) {
		option = option_of(c->command, word, (size_t)(equals - word));
		snprintf(prefix, sizeof prefix, "%.*s", (int)(equals - word + 1), word);
		c->prefix = prefix;
		c->word = equals + 1;
		value = true;
	}
	if (value && option.name != NULL)
		offer_values(c, option_value_kind(c->command, &option));
	else if (!value && !c->ended && word[0] == '-')
		options_each(c->command, offer_option, c);
	else if (!value)
		offer_operand(c);
}

void completion_print(FILE *out, const struct command *const *all, int count, char **words)
{
	struct completing c = {.out = out, .prefix = "", .word = ""};

	if (count < 1)
		return;
	if (count == 1 || (count == 2 && strcmp(words[0], "help") == 0)) {
		c.word = words[count - 1];
		for (size_t i = 0; all[i] != NULL; i++)
			offer(&c, all[i]->name, all[i]->summary);
		if (count == 1) {
			offer(&c, "help", "what a command takes");
			offer(&c, "--help", "the commands");
			offer(&c, "--version", "the version");
		}
		return;
	}
	for (size_t i = 0; all[i] != NULL; i++)
		if (strcmp(all[i]->name, words[0]) == 0) {
			c.command = all[i];
			complete_command(&c, count - 1, words + 1);
		}
}

/* ---- the command ---- */

static int run(const struct command *command, int argc, char **argv)
{
	const char *bus, *what;
	int status = options_parse(command, argc, argv, "", own_options, NULL, NULL, &bus);

	if (status >= 0)
		return status;
	what = argv[optind++];
	if (strcmp(what, "words") == 0) {
		completion_print(stdout, commands, argc - optind, argv + optind);
		return 0;
	}
	if (strcmp(what, "bash") != 0 && strcmp(what, "zsh") != 0) {
		fprintf(stderr, "shmbus completion: \"%s\" is not allowed: bash or zsh\n", what);
		return EXIT_USAGE;
	}
	if (optind < argc) {
		fprintf(stderr, "shmbus completion: unexpected \"%s\"\n", argv[optind]);
		return EXIT_USAGE;
	}
	fputs(strcmp(what, "bash") == 0 ? completion_bash : completion_zsh, stdout);
	return 0;
}

const struct command command_completion = {"completion", "print a shell's completion", help, run,
					   "SHELL [WORD]..."};
