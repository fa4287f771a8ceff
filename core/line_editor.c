#include <errno.h>
#include <histedit.h>
#include <locale.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/interrupt.h"
#include "core/line_editor.h"
#include "core/shared_library.h"

#define REMEMBERED 1000

/* clang-format off */
#define LIBEDIT_FUNCTIONS(X)                                                                       \
	X(el_init) X(el_end) X(el_set) X(el_get) X(el_gets) X(el_line) X(el_insertstr)             \
	X(el_resize) X(el_source) X(history_init) X(history_end) X(history)
/* clang-format on */

static struct {
	LIBEDIT_FUNCTIONS(LIBRARY_MEMBER)
} libedit;

struct line_editor {
	EditLine *line;
	History *past;
	const char *prompt;
	line_complete_fn complete;
	void *context;
};

static int open_libedit(void)
{
	static const char *const names[] = {"libedit.so.2", NULL};
	static const char *const functions[] = {LIBEDIT_FUNCTIONS(LIBRARY_NAME) NULL};
	static bool opened;
	int err = opened ? 0 : shared_library_open(names, functions, &libedit);

	opened = !err;
	return err;
}

static struct line_editor *editor_of(EditLine *line)
{
	void *self = NULL;

	libedit.el_get(line, EL_CLIENTDATA, &self);
	return self;
}

static char *prompt_of(EditLine *line)
{
	return (char *)editor_of(line)->prompt;
}

/* One character; unlike libedit's own it does not try again after Ctrl-C. */
static int read_character(EditLine *line, wchar_t *character)
{
	mbstate_t state = {};
	char byte;

	(void)line;
	for (;;) {
		struct pollfd input = {.fd = STDIN_FILENO, .events = POLLIN};
		int ready = interrupt_poll(&input, 1, -1);
		ssize_t count = -1;
		size_t length;

		if (ready < 0)
			errno = -ready;
		else
			count = read(STDIN_FILENO, &byte, 1);
		if (count < 0 && errno == EINTR && !interrupt_pending())
			continue;
		if (count <= 0)
			return (int)count;
		length = mbrtowc(character, &byte, 1, &state);
		if (length == (size_t)-2)
			continue;
		if (length != (size_t)-1)
			return 1;
		state = (mbstate_t){};
	}
}

static unsigned char complete_here(EditLine *line, int key)
{
	struct line_editor *self = editor_of(line);
	const LineInfo *now = libedit.el_line(line);
	struct line_completion found = {};
	unsigned char next = CC_ERROR;

	(void)key;
	self->complete(self->context, now->buffer, (size_t)(now->cursor - now->buffer), &found);
	if (found.insertion && *found.insertion && !libedit.el_insertstr(line, found.insertion))
		next = CC_REFRESH;
	if (found.listing) {
		printf("\n%s\n", found.listing);
		next = CC_REDISPLAY;
	}
	free(found.insertion);
	free(found.listing);
	return next;
}

static void set_up(struct line_editor *self)
{
	HistEvent event;

	libedit.el_set(self->line, EL_CLIENTDATA, self);
	libedit.el_set(self->line, EL_PROMPT, prompt_of);
	libedit.el_set(self->line, EL_EDITOR, "emacs");
	libedit.el_set(self->line, EL_GETCFN, read_character);
	libedit.history(self->past, &event, H_SETSIZE, REMEMBERED);
	libedit.history(self->past, &event, H_SETUNIQUE, 1);
	libedit.el_set(self->line, EL_HIST, libedit.history, self->past);
	libedit.el_set(self->line, EL_ADDFN, "complete-here", "complete the word", complete_here);
	libedit.el_set(self->line, EL_BIND, "^I", "complete-here", NULL);
	libedit.el_set(self->line, EL_BIND, "^R", "em-inc-search-prev", NULL);
	libedit.el_source(self->line, NULL);
}

int line_editor_new(line_complete_fn complete, void *context, struct line_editor **made)
{
	int err = isatty(STDIN_FILENO) && isatty(STDOUT_FILENO) ? open_libedit() : -ENOTTY;
	struct line_editor *self;

	if (err)
		return err;
	self = calloc(1, sizeof(*self));
	if (!self)
		return -ENOMEM;
	setlocale(LC_CTYPE, "");
	self->complete = complete;
	self->context = context;
	self->prompt = "";
	self->line = libedit.el_init("bpfctl", stdin, stdout, stderr);
	self->past = libedit.history_init();
	if (!self->line || !self->past) {
		line_editor_free(self);
		return -ENOTTY;
	}
	set_up(self);
	*made = self;
	return 0;
}

void line_editor_free(struct line_editor *self)
{
	if (!self)
		return;
	if (self->line)
		libedit.el_end(self->line);
	if (self->past)
		libedit.history_end(self->past);
	free(self);
}

int line_editor_read(struct line_editor *self, const char *prompt, const char **line,
		     size_t *length)
{
	int count = 0;

	self->prompt = prompt;
	libedit.el_resize(self->line);
	*line = libedit.el_gets(self->line, &count);
	self->prompt = "";
	if (interrupt_pending())
		return -EINTR;
	if (!*line || count <= 0)
		return -ENODATA;
	*length = strcspn(*line, "\n");
	return 0;
}

void line_editor_remember(struct line_editor *self, const char *line)
{
	HistEvent event;

	libedit.history(self->past, &event, H_ENTER, line);
}
