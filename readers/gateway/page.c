/* SPDX-License-Identifier: MIT */
#include <string.h>

#include "page.h"

/* A file of page/dist, as it is, between two symbols. CMakeLists.txt knows that this one is made
 * anew when they change. */
#define FILE_EMBED(symbol, name)                                                                   \
	__asm__(".pushsection .rodata\n"                                                           \
		".balign 16\n"                                                                     \
		".global page_" #symbol "\n.hidden page_" #symbol "\n"                             \
		".global page_" #symbol "_end\n.hidden page_" #symbol "_end\n"                     \
		"page_" #symbol ":\n"                                                              \
		".incbin \"" PAGE_FOLDER "/" name "\"\n"                                           \
		"page_" #symbol "_end:\n"                                                          \
		".byte 0\n"                                                                        \
		".popsection\n");                                                                  \
	extern const char page_##symbol[] __attribute__((visibility("hidden")));                   \
	extern const char page_##symbol##_end[] __attribute__((visibility("hidden")))

FILE_EMBED(html, "index.html");
FILE_EMBED(script, "app.js");
FILE_EMBED(style, "app.css");
FILE_EMBED(licenses, "licenses.txt");

struct file {
	const char *path, *type;
	const char *begin, *end;
	struct rendering *rendering; /* made when it is first asked for; stays */
};

static struct file files[] = {
	{"/", "text/html; charset=utf-8", page_html, page_html_end, NULL},
	{"/app.js", "text/javascript; charset=utf-8", page_script, page_script_end, NULL},
	{"/app.css", "text/css; charset=utf-8", page_style, page_style_end, NULL},
	{"/licenses.txt", "text/plain; charset=utf-8", page_licenses, page_licenses_end, NULL},
};

enum MHD_Result handle_page(struct request *request)
{
	for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
		struct file *file = &files[i];

		if (strcmp(file->path, request->path) != 0)
			continue;
		if (file->rendering == NULL) {
			struct body body = BODY_EMPTY;

			body_bytes(&body, file->begin, (size_t)(file->end - file->begin));
			file->rendering = rendering_new(file->type, &body);
		}
		return answer_rendering(request, MHD_HTTP_OK, file->rendering);
	}
	return answer_error(request, MHD_HTTP_NOT_FOUND, "the page has no such file");
}
